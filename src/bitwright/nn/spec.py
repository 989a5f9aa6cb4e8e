"""What a binary layer tells `freeze`: see docs/develop/layer-contract.md."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from bitwright.binarize.codes import ActivationCode, LevelsCode, NotPackableError

__all__ = ["ActivationCode", "BinarySpec", "LevelsCode", "NotPackableError"]


@dataclass(frozen=True)
class BinarySpec:
    """A binary layer in eval mode: `weight_scale * activation.scale * conv(bits of x, bits of w) + bias`."""

    weight: Tensor  # bool, shape of the latent weight; True = +1
    weight_scale: Tensor  # float32 [O]
    bias: Tensor | None  # float32 [O]
    activation: ActivationCode | LevelsCode | None  # None: the layer's input stays real
