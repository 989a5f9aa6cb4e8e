"""ABC-Net's weights: a sum of binary bases with least-squares coefficients."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.precision import no_autocast
from bitwright.binarize.sign import at_least_float32, replace_value
from bitwright.binarize.weights.base import WeightBinarizer

MODES = ("layer", "channel")


@WEIGHTS.register("bases")
class BasesWeight(WeightBinarizer):
    """`sum_i alpha_i B_i`, `B_i = bsign(w - mean + u_i std)`, alpha the least-squares solution of `w = B alpha`.

    Mean, (population) standard deviation and alpha are those of the layer, or of each filter. Where bases coincide the
    solution of least norm is taken. The gradient to w is `g sum_i alpha_i`: each base passes it unchanged, alpha is a
    constant.

    Args:
        shape: the layer's shape.
        shifts: the u_i, one a base.
        mode: "layer" (published) or "channel".
    """

    def __init__(self, shape: LayerShape, shifts: Sequence[float] = (-1.0, 0.0, 1.0), mode: str = "layer") -> None:
        super().__init__(shape)
        if not 1 <= len(shifts) <= 8:
            raise ValueError(f"ABC-Net needs 1 to 8 bases, got shifts={tuple(shifts)}")
        if mode not in MODES:
            raise ValueError(f"mode must be one of {MODES}, got {mode!r}")
        if mode == "channel" and shape.fan_in < 2:
            raise ValueError("mode='channel' centres every filter, and a filter with one weight has nothing left then")
        self.shifts = tuple(float(u) for u in shifts)
        self.mode = mode
        self.planes = len(self.shifts)

    def bases(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """(bits `[M, rows, n]`, alpha `[M, rows]`); one row for the layer, or one per filter. No gradient."""
        w = at_least_float32(latent.detach())
        w = w.flatten(1) if self.mode == "channel" else w.reshape(1, -1)
        centred = w - w.mean(1, keepdim=True)
        std = centred.square().mean(1, keepdim=True).sqrt()
        bits = torch.stack([centred + u * std >= 0 for u in self.shifts])
        signs = bits.to(w.dtype) * 2 - 1
        with no_autocast(w):
            gram = torch.einsum("irn,jrn->rij", signs, signs).double() / w.shape[1]
            right = torch.einsum("irn,rn->ri", signs, w).double() / w.shape[1]
            alpha = torch.linalg.pinv(gram, hermitian=True, rtol=1e-9) @ right.unsqueeze(-1)
        return bits, alpha.squeeze(-1).t().to(w.dtype)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        bits, alpha = self.bases(w)
        with no_autocast(w):
            value = torch.einsum("ir,irn->rn", alpha, bits.to(w.dtype) * 2 - 1).view(w.shape)
        slope = alpha.sum(0).view(-1, *(1,) * (w.dim() - 1))
        return replace_value(w, value, slope)

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        bits, alpha = self.bases(latent)
        rows = latent.shape[0]
        return tuple(
            WeightCode(b.reshape(latent.shape), a.float().expand(rows).contiguous())
            for b, a in zip(bits, alpha, strict=True)
        )

    def extra_repr(self) -> str:
        return f"shifts={self.shifts}, mode={self.mode}"
