"""ProxyBNN's weight: a learned combination of learned basis vectors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.precision import no_autocast
from bitwright.binarize.registry import UnknownNameError
from bitwright.binarize.sign import at_least_float32
from bitwright.binarize.weights.sign import SignWeight

AXES = ("input", "filter")
STARTS = ("identity", "orthogonal")


@WEIGHTS.register("proxy")
class ProxyWeight(SignWeight):
    """`scale * bsign(A P)`: the latent weight A holds coefficients, the matrix P (`basis`) the learned basis vectors.

    P is dropped at inference.

    Args:
        shape: the layer's shape.
        axis: which elements of a filter P mixes: "input", the input channels at each kernel position, P `[I, I]`; or
            "filter", all of them, P `[n, n]` (large).
        start: P at the start: "identity" (then the first forward is that of the layer without P) or "orthogonal".
        estimator, scale, gradient, latent_range: as in `SignWeight`.
    """

    def __init__(
        self,
        shape: LayerShape,
        axis: str = "input",
        start: str = "identity",
        estimator: EstimatorSpec = "clipped",
        scale: str = "filter",
        gradient: str = "ste",
        latent_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__(shape, estimator=estimator, scale=scale, gradient=gradient, latent_range=latent_range)
        if axis not in AXES:
            raise UnknownNameError("axis of the proxy matrix", axis, AXES)
        if start not in STARTS:
            raise UnknownNameError("start of the proxy matrix", start, STARTS)
        self.axis, self.start = axis, start
        size = shape.filter_shape[1] if axis == "input" else shape.fan_in
        self.basis = nn.Parameter(torch.eye(size))
        if start == "orthogonal":
            nn.init.orthogonal_(self.basis)

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        return {"basis": {"weight_decay": 0.0}}

    def normalize(self, latent: Tensor) -> Tensor:
        a = at_least_float32(latent)
        p = self.basis.to(a.dtype)
        with no_autocast(a):
            if self.axis == "filter":
                mixed = (a.flatten(1) @ p).view_as(a)
            else:
                mixed = (a.movedim(1, -1) @ p).movedim(-1, 1)
        return super().normalize(mixed)

    def extra_repr(self) -> str:
        return f"axis={self.axis}, start={self.start}, {super().extra_repr()}"
