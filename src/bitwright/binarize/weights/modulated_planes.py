"""MCN's weights: signs times a learned kernel that all filters of a layer share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from bitwright.binarize.codes import NotPackableError, WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.copies import copied_rows, copied_shape


@WEIGHTS.register("modulated_planes")
class ModulatedPlanesWeight(WeightBinarizer):
    """`a bsign(w) M_j`: every latent filter gives K neighbouring output channels, one for each kernel M_j.

    With g_j the gradient of version j: the latent weight gets `sum_j g_j M_j`, M_j the sum of `g_j a bsign(w)` over
    filters and channels. The extra loss is `strength / 2 sum_j (w - a bsign(w) M_j)^2`, `a bsign(w)` constant.

    Deployment. A layer sums `a sum_k M_j[k] sum_c bsign(w)[c, k] x[c, p + k]` over taps k and channels c. A scale per
    output channel can leave that sum, `M_j[k]` only where it is the same for all k: MCN-1, 1x1 convolutions and linear
    layers. Elsewhere each of the taps would be a sum of its own, so these weights are no bit plane.

    Args:
        shape: the layer's shape.
        planes: K.
        scale: a: "mean" (mean|w| of the layer, the best pair ±a) or a number.
        scalar: one number in place of each kernel M_j (MCN-1); these weights are bits.
        absolute: |M_j| in place of M_j.
        strength: theta of the extra loss.
    """

    rows: Tensor
    version: Tensor

    def __init__(
        self,
        shape: LayerShape,
        planes: int = 4,
        scale: str | float = "mean",
        scalar: bool = False,
        absolute: bool = False,
        strength: float = 1e-4,
    ) -> None:
        super().__init__(shape)
        if scale != "mean" and not (isinstance(scale, (int, float)) and math.isfinite(scale) and scale > 0):
            raise ValueError(f"scale must be 'mean' or a positive number, got {scale!r}")
        if strength < 0:
            raise ValueError(f"strength must not be negative, got {strength}")
        self._latent_shape = copied_shape(shape, planes)
        self.versions, self.scale, self.absolute, self.strength = planes, scale, bool(absolute), float(strength)
        kernel = (1,) * len(shape.kernel_size) if scalar else shape.kernel_size
        # uniform around 1: versions of a filter have to differ
        self.kernels = nn.Parameter(torch.empty(planes, 1, *kernel).uniform_(0.5, 1.5))
        self.planes = 1 if math.prod(kernel) == 1 else 0
        rows, version = copied_rows(shape, planes)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("version", version, persistent=False)

    def latent_shape(self) -> tuple[int, ...]:
        return self._latent_shape

    def real(self, latent: Tensor) -> Tensor:
        return latent[self.rows] * self._kernels().to(latent.dtype)

    def _kernels(self) -> Tensor:
        """The kernel of every output channel, `[O, 1, *kernel]`."""
        m = at_least_float32(self.kernels)
        return (m.abs() if self.absolute else m)[self.version]

    def _binary(self, w: Tensor) -> Tensor:
        return self._scale(w) * bsign(w.detach())

    def _scale(self, w: Tensor) -> Tensor:
        return w.detach().abs().mean() if self.scale == "mean" else w.new_tensor(self.scale)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        binary = replace_value(w, self._binary(w), torch.ones((), dtype=w.dtype, device=w.device))
        return binary[self.rows] * self._kernels()

    def regularization(self, latent: Tensor | None = None) -> Tensor | None:
        if not self.strength or latent is None:
            return None
        w = at_least_float32(latent)
        difference = w[self.rows] - self._binary(w)[self.rows] * self._kernels()
        return self.strength / 2 * difference.square().sum()

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        if self.planes == 0:
            raise NotPackableError(
                "MCN's weights have a factor for every kernel position, which no scale per channel expresses; "
                "scalar=True (MCN-1) has one for each channel"
            )
        w = at_least_float32(latent)
        return (WeightCode((w >= 0)[self.rows], self._scale(w) * self._kernels().flatten()),)

    def extra_repr(self) -> str:
        return f"planes={self.versions}, scale={self.scale}, absolute={self.absolute}, strength={self.strength:g}"
