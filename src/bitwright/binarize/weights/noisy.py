"""FDA-BNN's weight: the sign plus a small learned correction that fades out during training."""

from __future__ import annotations

from torch import Tensor

from bitwright.binarize.adaptation import NoiseAdaptation
from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.scales import SCALES
from bitwright.binarize.weights.sign import SignWeight


@WEIGHTS.register("noisy_sign")
class NoisySignWeight(SignWeight):
    """Training: `scale * (bsign(w) + alpha eta(w))`, eta on flattened filters; eval mode: `scale * bsign(w)`.

    Args:
        shape: the layer's shape.
        estimator, scale: as in `SignWeight`; the scale is a constant for the gradient.
        strength, reduction: of eta, see `NoiseAdaptation`.
    """

    def __init__(
        self,
        shape: LayerShape,
        estimator: EstimatorSpec = "fourier",
        scale: str = "filter",
        strength: float = 0.1,
        reduction: int = 64,
    ) -> None:
        super().__init__(shape, estimator=estimator, scale=scale, gradient="scaled")
        self.noise = NoiseAdaptation(shape.fan_in, strength=strength, reduction=reduction)

    def forward(self, latent: Tensor) -> Tensor:
        w = self.normalize(latent)
        scale = SCALES.get(self.scale_rule)(w.detach())
        value = self.estimator(w)
        if self.training:
            value = value + self.noise(w.flatten(1)).view_as(w)
        return scale * value
