"""DBF's orthogonal codes: filters as real combinations of fixed ±1 codes (OVSF)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from bitwright.binarize.codes import NotPackableError, WeightCode
from bitwright.binarize.inits.base import Init
from bitwright.binarize.ovsf import code_coefficients, code_count, ovsf_codes
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("code_bank")
class CodeBank(WeightBinarizer):
    """Fixed filters of ±1: the first J = `share` L codes of length L (cropped to the filter), each group's the same.

    An output rule ("mix") combines them; every filter of the layer is a real combination of codes.

    Args:
        shape: the shape whose outputs are the codes, J for every group.
    """

    trainable = False

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        inside, (_, self.length) = shape.out_channels // shape.groups, code_count(shape.fan_in, 1.0)
        if inside > self.length:
            raise ValueError(f"there are {self.length} codes of that length, got {inside} filters in a group")

    @torch.no_grad()
    def initialize(self, latent: Tensor, init: Init) -> None:
        if latent.is_meta:
            return
        inside = self.shape.out_channels // self.shape.groups
        codes = ovsf_codes(self.length)[:inside, : self.shape.fan_in]
        latent.copy_(codes.repeat(self.shape.groups, 1).view(latent.shape))

    def forward(self, latent: Tensor) -> Tensor:
        return latent

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        return (WeightCode(latent >= 0, torch.ones(latent.shape[0], dtype=torch.float32, device=latent.device)),)


@WEIGHTS.register("kernel_codes")
class KernelCodes(WeightBinarizer):
    """Every kernel (one input channel of one filter) is a real combination of J = `share` L codes; the latent weight
    holds the coefficients `[O, I/groups, J]`.

    Codes are cropped to the kernel, after which they are no longer orthogonal: coefficients start as the least-squares
    fit of ordinary initial weights.

    Args:
        shape: the layer's shape.
        share: part of the codes that is kept, in OVSF order.
    """

    planes = 0
    adopts = False
    basis: Tensor

    def __init__(self, shape: LayerShape, share: float = 0.5) -> None:
        super().__init__(shape)
        size = math.prod(shape.kernel_size)
        self.share = float(share)
        count, length = code_count(size, self.share)
        self.register_buffer("basis", ovsf_codes(length)[:count, :size].contiguous())

    def latent_shape(self) -> tuple[int, ...]:
        return (*self.shape.filter_shape[:2], self.basis.shape[0])

    @torch.no_grad()
    def initialize(self, latent: Tensor, init: Init) -> None:
        filters = torch.empty(self.shape.filter_shape, device=latent.device, dtype=latent.dtype)
        init(filters, self.shape)
        if not latent.is_meta:
            latent.copy_(self.latent_from(filters))

    @torch.no_grad()
    def latent_from(self, filters: Tensor) -> Tensor:
        kernels = at_least_float32(filters).reshape(*filters.shape[:2], -1)
        return code_coefficients(kernels, self.basis).to(filters.dtype)

    def forward(self, latent: Tensor) -> Tensor:
        return (latent @ self.basis.to(latent.dtype)).view(self.shape.filter_shape)

    def real(self, latent: Tensor) -> Tensor:
        return self.forward(latent)

    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        raise NotPackableError(
            "combinations of codes for every kernel have a factor for each input channel; granularity='filter' packs"
        )

    def extra_repr(self) -> str:
        return f"share={self.share:g}, codes={self.basis.shape[0]}"
