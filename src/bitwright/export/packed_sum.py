"""A packed layer of several bit planes, or with float operations of its method before or behind them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from bitwright.export.packed import FrozenModule, PackedLayer, _widen
from bitwright.export.packed_shared import SharedRow
from bitwright.nn.base import ActivationBinarizer, LayerShape, OutputRule, PreparedTerm
from bitwright.nn.spec import WeightBinarizer

M = TypeVar("M", bound=nn.Module)


class PackedSum(FrozenModule):
    """`output(factor * mixing(plane + plane + ... + constant), x) + bias`, float32, in this order; every plane is a
    packed layer.

    Args:
        planes: packed layers of the same geometry, without bias.
        bias: `[O]` or None.
        shape: the layer's shape.
        prepare: an activation binarizer whose `prepare` computes what the planes compare, and the factor; None: the
            layer's input, no factor.
        output: an output rule that could not be folded into scales, or None.
        mixing: the second factor of a weight that is a product: a packed layer from the planes' channels to the
            outputs, position by position; None: the planes give the outputs.
        chooser: a weight binarizer whose `chosen(x)` names the weight that each sample uses: the planes of all others
            are computed and count 0. `planes` has the planes of one weight after the other.
        choices: number of weights that `chooser` chooses from.
        constant: `[O]` that joins the sum of the planes, or None.
    """

    bias: Tensor | None
    constant: Tensor | None
    activation: ActivationBinarizer | None
    output: OutputRule | None
    mixing: PackedLayer | None
    chooser: WeightBinarizer | None

    def __init__(
        self,
        planes: Sequence[PackedLayer | SharedRow],
        bias: Tensor | None,
        shape: LayerShape,
        prepare: ActivationBinarizer | None = None,
        output: OutputRule | None = None,
        mixing: PackedLayer | None = None,
        chooser: WeightBinarizer | None = None,
        choices: int = 1,
        constant: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.planes = nn.ModuleList(planes)
        stored: list[Tensor] = []
        # the planes of one weight on several planes of activations share its bits
        for plane in (p.row if isinstance(p, SharedRow) else p for p in planes):
            same = next((bits for bits in stored if torch.equal(bits, plane.weight)), None)
            if same is None:
                stored.append(plane.weight)
            else:
                plane.weight = same
        self.shape = shape
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        self.register_buffer("constant", None if constant is None else constant.detach().clone())
        self.activation = None if prepare is None else _without_parameters(prepare)
        self.output = None if output is None else _without_parameters(output)
        self.mixing = mixing
        self.chooser = None if chooser is None else _without_parameters(chooser)
        self.choices = 1 if chooser is None else choices
        super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        factor: Tensor | None = None
        each = None if self.activation is None else self.activation.prepare_terms(_widen(x))
        if each is None:
            z, factor = (x, None) if self.activation is None else self.activation.prepare(x)
            each = (PreparedTerm(z, None),)
        chosen = None if self.chooser is None else self.chooser.chosen(x)
        y = self._plane(0, each, chosen)
        for k in range(1, len(self.planes)):
            y = y + self._plane(k, each, chosen)
        if self.constant is not None:
            y = y + self.shape.per_channel(self.constant)
        if self.mixing is not None:
            y = self.mixing(y)
        if factor is not None:
            y = y * factor
        if self.output is not None:
            y = self.output(y, x)
        return y if self.bias is None else y + self.shape.per_channel(self.bias)

    def _plane(self, k: int, each: Sequence[PreparedTerm], chosen: Tensor | None) -> Tensor:
        z, factor = each[k % len(each)]  # the planes of one weight on all terms come one after the other
        y: Tensor = self.planes[k](z)
        y = y if factor is None else y * factor
        if chosen is None:
            return y
        # 1 or 0 for a whole sample, written for every channel: the engine multiplies with such gates
        used = (chosen == k * self.choices // len(self.planes)).to(y.dtype)
        gate = used.unsqueeze(1).expand(-1, self.shape.out_channels)
        ones = (1,) * (y.dim() - 2)
        return y * (
            gate.reshape(*gate.shape, *ones) if self.shape.channel_dim == 1 else gate.view(-1, *ones, gate.shape[1])
        )

    @property
    def constant_term(self) -> Tensor | None:
        """As `BinaryLayer.constant_term`."""
        return self.bias

    @property
    def is_rowwise(self) -> bool:
        """As `BinaryLayer.is_rowwise`."""
        return self.activation is None and self.output is None and self.chooser is None

    @property
    def packed_bytes(self) -> int:
        return sum(b.numel() * b.element_size() for b in self.buffers())


def _without_parameters(module: M) -> M:
    """A copy in eval mode whose parameters are buffers: it cannot train any more."""
    result = copy.deepcopy(module).eval()
    for part in result.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            delattr(part, name)
            part.register_buffer(name, parameter.detach().clone())
    return result
