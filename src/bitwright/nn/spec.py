"""What a binary layer tells `freeze`: see docs/develop/layer-contract.md."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bitwright.binarize.codes import ActivationCode, LevelsCode, NotPackableError
from bitwright.binarize.weights.base import WeightBinarizer

__all__ = [
    "ActivationCode",
    "BinarySpec",
    "BinaryTerms",
    "LevelsCode",
    "NotPackableError",
    "WeightBinarizer",
    "WeightPlane",
]


@dataclass(frozen=True)
class WeightPlane:
    """One ±1 tensor of a layer's weight and its scales."""

    bits: Tensor  # bool, shape of the weight that the layer convolves with; True = +1
    scale: Tensor  # float32 [O]


@dataclass(frozen=True)
class BinaryTerms:
    """A binary layer in eval mode, whatever its method.

    With `z, factor = activation.prepare(x)`: the sum over `weights`, and inside over `activations`, of
    `(plane.scale * term.scale) * conv(levels of z, ±1)`, times `factor`; then `output(y, x)` unless it is None; then
    `+ bias`. Without `activations` z stays real. An activation with `prepare_terms` has a z and a factor for each term:
    the factor multiplies after the scale. `constant` joins the sum. Everything in float32, in this order.
    """

    weights: tuple[WeightPlane, ...]
    activations: tuple[ActivationCode | LevelsCode, ...] | None
    bias: Tensor | None  # float32 [O]
    prepares: bool  # whether `activation.prepare` or `prepare_terms` does anything
    folded: bool  # whether the output rule is part of the scales already (or does nothing)
    mixing: WeightPlane | None = None
    """Bits `[O, K]`: the sum over the planes is K channels a group, and the layer's result, before the factor, is
    `mixing.scale * (±1 of them)` at every position."""
    chooser: WeightBinarizer | None = None
    """Its `chosen(x)` names the only plane of `weights` that counts for each sample."""
    constant: Tensor | None = None
    """float32 `[O]`: what the activation's `addend` gives."""


@dataclass(frozen=True)
class BinarySpec:
    """A binary layer in eval mode: `weight_scale * activation.scale * conv(bits of x, bits of w) + bias`."""

    weight: Tensor  # bool, shape of the latent weight; True = +1
    weight_scale: Tensor  # float32 [O]
    bias: Tensor | None  # float32 [O]
    activation: ActivationCode | LevelsCode | None  # None: the layer's input stays real
