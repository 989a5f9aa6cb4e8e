"""What a method may do to the convolution's result besides the weight's scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from bitwright.binarize.part import LayerShape, Part

if TYPE_CHECKING:
    from bitwright.binarize.verbs import BinaryModule


class OutputRule(Part):
    """Base class: `forward(y, x)` with `y` the layer's result before the bias `[N, O, ...]` and `x` its real input."""

    identity_in_eval = False
    """True: deployment can ignore the rule."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def inner_shape(self) -> LayerShape:
        """The shape of the layer whose weights are binarized: another number of output channels where the rule combines
        them (`shape` itself has the channels that leave the layer).
        """
        return self.shape

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        raise NotImplementedError

    def initialize_from_result(self, y: Tensor, x: Tensor, layer: BinaryModule) -> None:
        """Sets parameter values from the first batch (only if `needs_data`): y and x as in `forward`, `layer` the layer
        that the rule belongs to (`layer.real_result(x)` is what real weights and inputs would give).
        """
        raise NotImplementedError(f"{type(self).__name__} says needs_data but has no initialize_from_result")

    def channel_scale(self) -> Tensor | None:
        """`[O]` when the rule is one factor per output channel, which deployment folds into the weight's scale; else
        None.
        """
        return None
