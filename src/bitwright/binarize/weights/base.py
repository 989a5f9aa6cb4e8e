"""What every weight binarizer does: from the latent weight (filter form) to binary values, with a gradient."""

from __future__ import annotations

from torch import Tensor

from bitwright.binarize.codes import NotPackableError, WeightCode
from bitwright.binarize.inits.base import Init
from bitwright.binarize.part import LayerShape, Part


class WeightBinarizer(Part):
    """Base class. Every tensor in and out has filter form `[O, I/groups, *kernel]` unless a subclass changes
    `latent_shape`.
    """

    latent_range: tuple[float, float] | None = None
    """`clip_latent_` clamps the latent weight to it after the optimizer's step; None: never."""
    planes: int = 1
    """Bit planes of `codes`. 0: the weight cannot be expressed by bit planes at all."""
    adopts: bool = True
    """Whether the latent weight may be a float layer's own weight; False: `latent_from` derives it."""
    trainable: bool = True
    """False: the latent weight is fixed (no gradient, no weight decay)."""
    per_sample: bool = False
    """True: the layer calls `sample_weights` instead of `forward`: every sample of a batch has weights of its own."""

    factored: bool = False
    """True: a filter combines the K terms that `codes` gives, with the signs of `mixing`; `planes` is 0."""

    chooses: bool = False
    """True: a sample's weight is the one of `codes` that `chosen` names; `per_sample` is True and `planes` 0."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__()
        self.shape = shape

    def latent_shape(self) -> tuple[int, ...]:
        """Shape of the parameter the optimizer moves; experts or factorised weights return another one than the filter
        form.
        """
        return self.shape.filter_shape

    def forward(self, latent: Tensor) -> Tensor:
        """The weight that training convolves with; carries the method's gradient to `latent`."""
        raise NotImplementedError

    def normalize(self, latent: Tensor) -> Tensor:
        """The real weight that is quantized, such as the centred latent weight; differentiable."""
        return latent

    def real(self, latent: Tensor) -> Tensor:
        """The weight of the stages in which weights are real."""
        return latent

    def initialize(self, latent: Tensor, init: Init) -> None:
        """Draws the latent weight, in place. `init` is the method's initialisation; a binarizer whose latent weight is
        no ordinary weight may do otherwise.
        """
        init(latent, self.shape)

    def sample_weights(self, latent: Tensor, x: Tensor) -> Tensor:
        """`[N, *filter_shape]`: the weights of each sample of the layer's real input `x` (only if `per_sample`)."""
        raise NotImplementedError(f"{type(self).__name__} says per_sample but has no sample_weights")

    def bias(self, bias: Tensor, stage: str) -> Tensor:
        """The bias that the layer adds in `stage`; methods that binarize biases return another one."""
        return bias

    def latent_from(self, filters: Tensor) -> Tensor:
        """The latent weight that stands for a float layer's weight (filter form), when `binarize_` takes one over.

        Raises:
            ValueError: the latent weight has another shape and cannot be derived from one weight.
        """
        if self.adopts and tuple(filters.shape) == tuple(self.latent_shape()):
            return filters
        raise ValueError(
            f"{type(self).__name__} has a latent weight of shape {tuple(self.latent_shape())}, which a float weight of "
            f"shape {tuple(filters.shape)} does not determine; build the binary layer instead of converting a float one"
        )

    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        """The eval values as bit planes that are summed, no gradient. Raises NotPackableError when `planes` is 0,
        unless `factored`: then they are the terms `[groups * K, I/groups, *kernel]` that `mixing` combines; or
        `chooses`: then they are the weights of which every sample uses one.
        """
        raise NotPackableError(f"{type(self).__name__} has weights that are not bit planes")

    def mixing(self, latent: Tensor) -> WeightCode:
        """Bits `[O, K]` and scales `[O]`: output o is the scaled sum of its group's K terms (only if `factored`)."""
        raise NotImplementedError(f"{type(self).__name__} says factored but has no mixing")

    def chosen(self, x: Tensor) -> Tensor:
        """Integers `[N]`: which of `codes` each sample of the layer's real input `x` uses (only if `chooses`)."""
        raise NotImplementedError(f"{type(self).__name__} says chooses but has no chosen")
