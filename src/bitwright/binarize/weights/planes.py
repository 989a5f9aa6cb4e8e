"""Integers and ternary values as sums of ±1 planes: what several weight binarizers tell deployment."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode


def affine_planes(q: Tensor, bits: int, step: Tensor, zero: Tensor) -> tuple[WeightCode, ...]:
    """`step * (q - zero)` as `bits + 1` planes: bit i of q counts `step 2^i (1 ± 1) / 2`, the rest is a constant plane.

    Args:
        q: levels 0 ... 2^bits - 1, filter form.
        bits: of q.
        step, zero: `[O]`, float.
    """
    q = q.to(torch.int64)
    planes = [WeightCode((q >> i) & 1 == 1, step * 2.0 ** (i - 1)) for i in range(bits)]
    constant = step * ((2**bits - 1) / 2 - zero)
    return (*planes, WeightCode(torch.ones_like(q, dtype=torch.bool), constant))


def ternary_planes(plus: Tensor, minus: Tensor, scale: Tensor) -> tuple[WeightCode, WeightCode]:
    """`scale` where `plus`, `-scale` where `minus`, else 0, as two planes of half the scale.

    Args:
        plus, minus: bool, filter form, never both.
        scale: `[O]`.
    """
    return WeightCode(plus, scale / 2), WeightCode(~minus, scale / 2)
