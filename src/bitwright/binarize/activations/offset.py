"""BiPointNet's entropy-maximising shift for inputs that were pooled over points."""

from __future__ import annotations

import torch
from torch import Tensor

from bitwright.binarize.activations.sign import SignActivation
from bitwright.binarize.codes import ActivationCode
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS


@ACTIVATIONS.register("offset_sign")
class OffsetSign(SignActivation):
    """`bsign(x + offset)` with a fixed offset, a buffer.

    Args:
        shape: the layer's shape.
        offset: the number that is added before the sign.
        estimator: backward rule, evaluated at `x + offset`.
    """

    offset: Tensor

    def __init__(self, shape: LayerShape, offset: float = 0.0, estimator: EstimatorSpec = "clipped") -> None:
        super().__init__(shape, estimator=estimator)
        self.register_buffer("offset", torch.tensor(float(offset)))

    def _shifted(self, x: Tensor) -> Tensor:
        return x + self.offset.to(x.dtype)

    @torch.no_grad()
    def codes(self) -> tuple[ActivationCode, ...]:
        # x + offset >= 0 exactly where x >= -offset: rounding keeps signs
        return (ActivationCode(threshold=-self.offset.float().view(1) + 0.0, low=self.low),)

    def extra_repr(self) -> str:
        return f"offset={float(self.offset):g}"
