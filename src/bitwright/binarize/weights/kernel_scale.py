"""The weights that BiFSMN's released code computes: one scale per kernel window instead of one per filter."""

from __future__ import annotations

from torch import Tensor

from bitwright.binarize.estimators import EstimatorSpec, make_estimator
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.sign import at_least_float32, bsign
from bitwright.binarize.weights.base import WeightBinarizer


@WEIGHTS.register("kernel_scale")
class KernelScaleWeight(WeightBinarizer):
    """`s bsign(v)`, `v = w - mean(w)` of the layer, `s = mean|v|` over the kernel window of every (output, input) pair.

    A defect kept for comparison: behind a 1x1 kernel the window has one element, so the weight is v itself, a real
    number. No bit planes.

    Args:
        shape: a convolution's shape.
        estimator: backward rule, times s.
    """

    planes = 0

    def __init__(self, shape: LayerShape, estimator: EstimatorSpec = "clipped") -> None:
        super().__init__(shape)
        if not shape.kernel_size:
            raise ValueError(f"a scale per kernel window needs a kernel; the layer is {shape.kind!r}")
        self.estimator = make_estimator(estimator)

    def forward(self, latent: Tensor) -> Tensor:
        w = at_least_float32(latent)
        v = w - w.mean()
        scale = v.detach().abs().mean(tuple(range(2, v.dim())), keepdim=True)
        return scale * self.estimator(v, bsign(v.detach()))
