"""The operators that only compare or unpack bits, by own kernels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bitwright.compiler.dialect import BinarizeAttrs, BinaryEmbeddingAttrs, UnpackWeightAttrs
from bitwright.tune.cuda.elementwise import BINARIZE, UNPACK, Binarize, Unpack, grid_of

if TYPE_CHECKING:
    from .executor import Executor


def binarize(run: Executor, x: Tensor, threshold: Tensor, attrs: BinarizeAttrs) -> Tensor:
    """`bitwright::binarize` of checked tensors."""
    x, threshold = x.contiguous(), threshold.contiguous()
    out = torch.empty_like(x)
    p = Binarize(x.data_ptr(), threshold.data_ptr(), out.data_ptr(), x.numel())
    p.inner, p.low, p.channels = math.prod(x.shape[attrs.axis % x.ndim + 1 :]), attrs.low, threshold.numel()
    if x.numel():
        run.start(BINARIZE, grid_of(x.numel()), p, [x, threshold], [out])
    return out


def binary_embedding(run: Executor, ids: Tensor, weight: Tensor, scale: Tensor, attrs: BinaryEmbeddingAttrs) -> Tensor:
    """`bitwright::binary_embedding` of checked tensors. An id outside of the table stops the kernel, as torch's do."""
    ids, scale = ids.contiguous(), scale.contiguous()
    out = torch.empty((*ids.shape, attrs.channels), dtype=torch.float32, device=weight.device)
    _unpack(run, weight, out, attrs.channels, 1, ids, scale)
    return out


def unpack_weight(run: Executor, weight: Tensor, attrs: UnpackWeightAttrs) -> Tensor:
    """`bitwright::unpack_weight` of checked tensors."""
    out = torch.empty(attrs.shape, dtype=torch.float32, device=weight.device)
    _unpack(run, weight, out, attrs.shape[1], math.prod(attrs.shape[2:]))
    return out


def _unpack(
    run: Executor,
    weight: Tensor,
    out: Tensor,
    channels: int,
    taps: int,
    ids: Tensor | None = None,
    scale: Tensor | None = None,
) -> None:
    weight = weight.contiguous()
    if weight.data_ptr() % 4:
        weight = weight.clone()
    p = Unpack(w=weight.data_ptr(), out=out.data_ptr(), count=out.numel(), entries=weight.shape[0])
    p.channels, p.taps, p.words = channels, taps, weight.shape[-1] // 4
    reads = [weight]
    if ids is not None and scale is not None:
        p.ids, p.scale, p.per_row = ids.data_ptr(), scale.data_ptr(), int(scale.numel() > 1)
        reads += [ids, scale]
    if out.numel():
        run.start(UNPACK, grid_of(out.numel()), p, reads, [out])
