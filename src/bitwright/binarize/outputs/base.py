"""What a method may do to the convolution's result besides the weight's scale."""

from __future__ import annotations

from torch import Tensor

from bitwright.binarize.part import LayerShape, Part


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

    def channel_scale(self) -> Tensor | None:
        """`[O]` when the rule is one factor per output channel, which deployment folds into the weight's scale; else
        None.
        """
        return None
