"""FDA-BNN's activation: the sign plus a small learned correction that fades out during training."""

from __future__ import annotations

from torch import Tensor

from bitwright.binarize.activations.sign import SignActivation
from bitwright.binarize.adaptation import NoiseAdaptation
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS
from bitwright.binarize.sign import at_least_float32


@ACTIVATIONS.register("noisy_sign")
class NoisySignActivation(SignActivation):
    """Training: `bsign(x) + alpha eta(x)`, eta on the channels of each pixel; eval mode: `bsign(x)`.

    Args:
        shape: the layer's shape.
        estimator: backward rule.
        strength, reduction: of eta, see `NoiseAdaptation`.
    """

    def __init__(
        self,
        shape: LayerShape,
        estimator: EstimatorSpec = "fourier",
        strength: float = 0.1,
        reduction: int = 64,
    ) -> None:
        super().__init__(shape, estimator=estimator)
        self.noise = NoiseAdaptation(shape.in_channels, strength=strength, reduction=reduction)

    def forward(self, x: Tensor) -> Tensor:
        value = super().forward(x)
        if not self.training:
            return value
        axis = self.shape.channel_dim
        z = at_least_float32(x)
        noise: Tensor = self.noise(z.movedim(axis, -1)).movedim(-1, axis)
        return value + noise.to(x.dtype)
