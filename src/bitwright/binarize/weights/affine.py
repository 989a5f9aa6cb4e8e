"""k-bit weights with a scale and a zero point, from the range of the weights."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, replace_value
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.planes import affine_planes


@WEIGHTS.register("affine")
class AffineWeight(WeightBinarizer):
    """`step * (q - zero)`, `q = clamp(round(w / step) + zero, 0, 2^k - 1)`; gradient unchanged.

    symmetric: `step = max|w| / (2^(k-1) - 1)`, `zero = 2^(k-1)`, so that -max|w| ... max|w| are the ends. Otherwise
    the range is min(w, 0) ... max(w, 0): `step = range / (2^k - 1)`, `zero = round(-low / step)`. 0 is always a level.

    Args:
        shape: the layer's shape.
        bits: k, 2 to 8.
        per_channel: a range for every filter, else one for the layer.
        symmetric: see above.
    """

    def __init__(self, shape: LayerShape, bits: int = 8, per_channel: bool = True, symmetric: bool = True) -> None:
        super().__init__(shape)
        if not 2 <= bits <= 8:
            raise ValueError(f"affine weights need 2 <= bits <= 8, got {bits} (for 1 bit use kind='sign')")
        self.bits, self.per_channel, self.symmetric = int(bits), bool(per_channel), bool(symmetric)
        self.planes = self.bits + 1

    def _quantize(self, latent: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(q, step, zero), without gradient; step and zero broadcast."""
        w = at_least_float32(latent.detach())
        axes = tuple(range(1 if self.per_channel else 0, w.dim()))
        tiny = torch.finfo(w.dtype).tiny
        if self.symmetric:
            step = (w.abs().amax(axes, keepdim=True) / (2 ** (self.bits - 1) - 1)).clamp_min(tiny)
            zero = torch.full_like(step, 2 ** (self.bits - 1))
        else:
            low, high = w.amin(axes, keepdim=True).clamp_max(0), w.amax(axes, keepdim=True).clamp_min(0)
            step = ((high - low) / (2**self.bits - 1)).clamp_min(tiny)
            zero = torch.round(-low / step)
        return (torch.round(w / step) + zero).clamp(0, 2**self.bits - 1), step, zero

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        q, step, zero = self._quantize(w)
        return replace_value(w, step * (q - zero), torch.ones((), dtype=w.dtype, device=w.device))

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        q, step, zero = self._quantize(latent)
        o = latent.shape[0]
        return affine_planes(q, self.bits, step.reshape(-1).expand(o), zero.reshape(-1).expand(o))

    def extra_repr(self) -> str:
        return f"bits={self.bits}, per_channel={self.per_channel}, symmetric={self.symmetric}"
