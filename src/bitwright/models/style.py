"""Where a method puts batch norm and which activation follows: the part of a block that is not the binarizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import nn

from bitwright.binarize import Method
from bitwright.nn import RPReLU

MethodLike = str | Method | None
"""A method's name, a method with options (`bitwright.binarize.get_method`), or None for float."""

Order = Literal["conv_norm", "norm_conv"]
Activation = Literal["identity", "hardtanh", "rprelu", "relu"]


@dataclass(frozen=True)
class Style:
    """The block around a binary convolution.

    Attributes:
        order: "conv_norm": binarize, convolve, batch norm, add the shortcut, activate. "norm_conv": batch norm,
            binarize, convolve, activate, add the shortcut.
        activation: what follows.
        source: where this was read.
    """

    order: Order
    activation: Activation
    source: str


_STYLES: dict[str, Style] = {
    "bnn": Style("conv_norm", "hardtanh", "code read (PyTorch port's ResNet: hardtanh after the addition)"),
    "xnornet": Style("norm_conv", "identity", "paper read (section 3.2: B-A-C; the ReLU after it is optional)"),
    "dorefa": Style("conv_norm", "identity", "code read (conv, norm; the clip to [0, 1] is in the layer's binarizer)"),
    "bireal": Style("conv_norm", "identity", "paper and code read (no activation after the addition)"),
    "irnet": Style("conv_norm", "hardtanh", "code read"),
    "reactnet": Style("conv_norm", "rprelu", "code read"),
}
# A method without an entry gets the Bi-Real block.
_DEFAULT = Style("conv_norm", "identity", "the Bi-Real block, our default for methods that name none")
_FLOAT = Style("conv_norm", "relu", "the usual float block")


def register_style(method: str, style: Style) -> None:
    """Sets the block of a method; for methods that bring their own."""
    _STYLES[method] = style


def style_of(method: MethodLike) -> Style:
    """The block style of a method; None is the float twin."""
    if method is None:
        return _FLOAT
    return _STYLES.get(method.name if isinstance(method, Method) else method, _DEFAULT)


def stem_activation(method: MethodLike) -> nn.Module:
    """What follows the float first layer: ReLU in the float twin, the hardtanh of methods that have one, else nothing.

    Binary networks whose blocks carry no ReLU have none here either (Bi-Real Net, ReActNet: code read).
    """
    kind = style_of(method).activation
    return nn.ReLU() if kind == "relu" else nn.Hardtanh() if kind == "hardtanh" else nn.Identity()


def activation(kind: Activation, channels: int) -> nn.Module:
    """A fresh activation module for maps or vectors of `channels` channels."""
    if kind == "rprelu":
        return RPReLU(channels)
    return {"identity": nn.Identity, "hardtanh": nn.Hardtanh, "relu": nn.ReLU}[kind]()
