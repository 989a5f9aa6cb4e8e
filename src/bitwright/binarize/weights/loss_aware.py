"""LAB's weights: the scale that minimises the loss's second-order model, with curvatures from squared gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.codes import WeightCode
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("loss_aware")
class LossAwareWeight(WeightBinarizer):
    """`alpha bsign(w)`, `alpha = sum(d |w|) / sum(d)` over the layer (or each filter), `d = sqrt(v) + eps`.

    v is the running mean of the squared gradient with respect to the binary weight, without bias correction, from the
    steps before this one: `before_step` has to be called (the Lightning module does). The gradient passes unchanged
    and the latent weight is clipped to [-1, 1]. Code read (the authors' Theano code).

    Args:
        shape: the layer's shape.
        granularity: "layer" (the paper) or "filter".
        beta: decay of v.
        eps: added to the root; as long as v is far smaller, alpha is the plain mean.
    """

    latent_range = (-1.0, 1.0)
    second_moment: Tensor

    def __init__(self, shape: LayerShape, granularity: str = "layer", beta: float = 0.999, eps: float = 1e-8) -> None:
        super().__init__(shape)
        if granularity not in ("layer", "filter"):
            raise ValueError(f"granularity must be 'layer' or 'filter', got {granularity!r}")
        if not 0 <= beta < 1 or eps <= 0:
            raise ValueError(f"need 0 <= beta < 1 and eps > 0, got beta={beta}, eps={eps}")
        self.granularity, self.beta, self.eps = granularity, float(beta), float(eps)
        self.register_buffer("second_moment", torch.zeros(shape.filter_shape))

    def scale(self, latent: Tensor) -> Tensor:
        """alpha, `[1, 1, ...]` or `[O, 1, ...]`."""
        w = at_least_float32(latent.detach())
        d = self.second_moment.to(w.dtype).sqrt() + self.eps
        axes = tuple(range(0 if self.granularity == "layer" else 1, w.dim()))
        return (d * w.abs()).sum(axes, keepdim=True) / d.sum(axes, keepdim=True)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        return replace_value(w, self.scale(w) * bsign(w.detach()), torch.ones((), dtype=w.dtype, device=w.device))

    def on_gradient(self, latent: Tensor, gradient: Tensor) -> None:
        square = gradient.to(self.second_moment.dtype).square()
        self.second_moment.mul_(self.beta).add_(square, alpha=1 - self.beta)

    @torch.no_grad()
    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        scale = self.scale(latent).reshape(-1).expand(latent.shape[0])
        return (WeightCode(latent >= 0, scale.contiguous()),)

    def extra_repr(self) -> str:
        return f"granularity={self.granularity}, beta={self.beta:g}"
