"""Orthogonal codes of ±1 (OVSF) and the combinations of them that come nearest to given filters."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def ovsf_codes(length: int) -> Tensor:
    """Orthogonal variable spreading factor codes, float `[L, L]` of ±1; row c of one level spawns `[c, c]`, `[c, -c]`.

    Raises:
        ValueError: a length that is no power of two.
    """
    if length < 1 or length & (length - 1):
        raise ValueError(f"OVSF codes have a length that is a power of two, got {length}")
    codes = torch.ones(1, 1)
    while codes.shape[1] < length:
        codes = torch.stack((torch.cat((codes, codes), 1), torch.cat((codes, -codes), 1)), 1).flatten(0, 1)
    return codes


def code_count(weights: int, share: float) -> tuple[int, int]:
    """(J, L): codes that are kept and their length, for `weights` weights."""
    if not 0 < share <= 1:
        raise ValueError(f"share is the part of the codes that is kept, 0 < share <= 1, got {share}")
    length = 1 << (weights - 1).bit_length()
    return max(1, math.ceil(round(share * length, 9))), length


def code_coefficients(filters: Tensor, codes: Tensor) -> Tensor:
    """The least-squares coefficients `[..., J]` of `filters` `[..., n]` in `codes` `[J, n]` (exactly `H w / L` where
    the codes are orthogonal).
    """
    flat = filters.reshape(-1, filters.shape[-1])
    solution = torch.linalg.pinv(codes.to(flat.dtype).T) @ flat.T
    return solution.T.reshape(*filters.shape[:-1], codes.shape[0])
