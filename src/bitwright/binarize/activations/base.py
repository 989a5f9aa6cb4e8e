"""What every activation binarizer does: from the layer's real input to few levels, with a gradient."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from bitwright.binarize.codes import ActivationCode, LevelsCode, NotPackableError
from bitwright.binarize.part import LayerShape, Part


class PreparedTerm(NamedTuple):
    """What one of an activation's `terms` compares, and what multiplies its share of the layer's output."""

    z: Tensor
    factor: Tensor | None
    """None for 1; broadcasts against the layer's output."""


class ActivationBinarizer(Part):
    """Base class. Shapes: `[N, C, *spatial]` for convolutions, `[..., C]` for linear layers."""

    planes: int = 1
    """Bit planes of `codes`. 0: the activation cannot be expressed by comparisons with a threshold."""
    low: float = -1.0
    """The lower level, before `scale`: -1.0 (±1) or 0.0 ({0,1})."""
    weight_only: bool = False
    """True: deployment multiplies the real values that `prepare` gives with the weight's signs; `planes` is 0."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Levels (1 and `low`, before `scale()`), dtype of `x`; carries the method's gradient."""
        raise NotImplementedError

    def scale(self) -> Tensor | None:
        """Scalar tensor that multiplies the layer's output, or None for 1. Kept apart so that padding is exact."""
        return None

    def real(self, x: Tensor) -> Tensor:
        """What the "float" stage uses instead of bits."""
        return x.clamp(self.low, 1)

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Deployment's first step where comparisons with fixed thresholds are not enough: (what `terms` compare, a
        factor that multiplies the layer's output or None). Float operations on the real input, in eval mode; `prepares`
        says that there are some.

        The factor broadcasts against the layer's output, such as a scale per sample `[N, 1, 1, 1]`.
        """
        return x, None

    def prepare_terms(self, x: Tensor) -> tuple[PreparedTerm, ...] | None:
        """As `prepare`, where the terms compare different things or have factors of their own: one for each of `terms`.
        None: `prepare` says it all.
        """
        return None

    @property
    def prepares(self) -> bool:
        """Whether `prepare` or `prepare_terms` does anything."""
        base = ActivationBinarizer
        return type(self).prepare is not base.prepare or type(self).prepare_terms is not base.prepare_terms

    def addend(self) -> Tensor | None:
        """`[C]` that is added to the terms, where no padding can cut it off (layers without positions); None for 0."""
        return None

    def codes(self) -> tuple[ActivationCode, ...]:
        """The same levels as bit planes, without gradient. Raises NotPackableError when `planes` is 0."""
        raise NotPackableError(f"{type(self).__name__} has activations that are not comparisons with a fixed threshold")

    def levels(self) -> LevelsCode | None:
        """The same values as equally spaced levels, or None where they are one comparison or cannot be expressed so."""
        return None

    def terms(self) -> tuple[ActivationCode | LevelsCode, ...]:
        """What deployment sums to get the activation: `levels` if there are any, else the bit planes of `codes`."""
        levels = self.levels()
        return self.codes() if levels is None else (levels,)
