"""ReCU's activation: the sign, with a gradient that sees the input in units of its sample's standard deviation."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.sign import SignActivation
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32, bsign


@ACTIVATIONS.register("sample_scaled_sign")
class SampleScaledSign(SignActivation):
    """`bsign(x)`; gradient of `bsign(z)` with `z = x / sqrt(var + eps)`, var over everything but the first axis.

    A division by a positive number changes no sign, so eval mode and deployment compare x with 0.

    Args:
        shape: the layer's shape.
        estimator: backward rule, evaluated at z; it passes the division by the chain rule.
        eps: added to the variance (n - 1 in its denominator).
    """

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "approxsign", eps: float = 1e-5) -> None:
        super().__init__(shape, estimator=estimator)
        if not eps > 0:
            raise ValueError(f"eps must be positive, got {eps}")
        self.eps = float(eps)

    def forward(self, x: Tensor) -> Tensor:
        value = bsign(x.detach())
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        wide = at_least_float32(x)
        axes = tuple(range(1, x.dim())) or (0,)
        count = wide.numel() // (x.shape[0] if x.dim() > 1 else 1)
        # a sample of one number has no spread
        variance = wide.var(dim=axes, keepdim=True) if count > 1 else torch.zeros_like(wide)
        z = wide / torch.sqrt(variance + self.eps)
        out: Tensor = self.estimator(z, value.to(z.dtype))
        return out.to(x.dtype)

    def extra_repr(self) -> str:
        return f"eps={self.eps:g}"
