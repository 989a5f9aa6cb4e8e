"""What every regulariser does: a loss over one binary layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from bitwright.binarize.part import LayerShape, Part

if TYPE_CHECKING:
    from bitwright.binarize.verbs import BinaryModule


class Regularizer(Part):
    """Base class. A regulariser is a part of its own, so that it can be added to any method."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def loss(self, layer: BinaryModule) -> Tensor | None:
        """A scalar to add to the loss, with gradient, or None (such as in a stage in which it does not apply).

        The layer has `latent_filters()`, `weight_binarizer`, `activation`, `output` and `stage`.
        """
        raise NotImplementedError
