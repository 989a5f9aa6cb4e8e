"""Packed edges: a binary layer whose output is only compared by the next binary layer hands over bits, not floats.

`fuse` traces a frozen model (torch.fx), finds such pairs with per-channel modules between them (batch norm), turns
what lies between into an integer threshold a channel, and replaces both layers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from bitwright.compiler.dialect import BinaryConvAttrs
from bitwright.export.packed import FrozenModule, PackedConv, PackedLinear, _widen
from bitwright.export.packed_edges import pack_map, why_not_packed

Layer = PackedConv | PackedLinear
BETWEEN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
_LEAST, _MOST = -(2**31), 2**31 - 1
_ROWS = 512  # accumulators that are tried at once


class FuseError(ValueError):
    """A model that has no packed edges, or cannot be traced."""


class PackedEdge(FrozenModule):
    """A binary layer that reads or writes a packed map (`bitwright.export.packed_edges`), as a pair of tensors.

    Args:
        layer: with its weights, which are shared.
        reads: whether its input is a packed map.
        cut: thresholds int32 `[O]` and flips bool `[O]` of its accumulators, to write a packed map; None: floats.
    """

    weight: Tensor
    threshold: Tensor
    scale: Tensor
    bias: Tensor
    thresholds: Tensor
    flips: Tensor

    def __init__(self, layer: Layer, reads: bool, cut: tuple[Tensor, Tensor] | None) -> None:
        super().__init__()
        # with the taps' axis; one tensor for good, by which its layout on a GPU is found again
        self.register_buffer("weight", layer.weight.unsqueeze(1) if isinstance(layer, PackedLinear) else layer.weight)
        if not reads:
            self.register_buffer("threshold", layer.threshold)
        for name, value in zip(("thresholds", "flips"), cut, strict=True) if cut else ():
            self.register_buffer(name, value if name == "thresholds" else pack_map(value)[0])
        if cut is None:
            self.register_buffer("scale", layer.scale)
            self.register_buffer("bias", layer.bias)
        self.reads, self.writes, self.linear = reads, cut is not None, isinstance(layer, PackedLinear)
        self.attrs = conv_attrs(layer)

    def forward(self, x: Any) -> Any:
        if not self.reads:
            given = _widen(x)
            rows = given.reshape(-1, given.shape[-1]) if self.linear else given
            bits, sums = torch.ops.bitwright.pack_map(rows, self.threshold)
            x = (bits.view(*given.shape[:-1], -1), sums.view(given.shape[:-1])) if self.linear else (bits, sums)
        bits, sums = x
        size = sums.shape
        if self.linear:  # rows are the pixels of a map of one axis
            if self.writes and len(size) != 1:
                raise ValueError(f"a packed edge of linear layers takes inputs [N, F], got {[*size, 'F']}")
            bits, sums = bits.reshape(1, -1, bits.shape[-1]), sums.reshape(1, -1)
        a = self.attrs
        geometry = (list(a.kernel_shape), list(a.strides), list(a.dilations), list(a.pads), a.group, a.channels, a.low)
        rest = (*geometry, a.pad_mode, a.pad_value)
        if self.writes:
            cut = (self.thresholds, self.flips)
            found = torch.ops.bitwright.packed_conv_bits(bits, sums, self.weight, *cut, *rest)
            return (found[0][0], found[1][0]) if self.linear else found
        y = torch.ops.bitwright.packed_conv(bits, sums, self.weight, self.scale, self.bias, *rest)
        return y[0].movedim(0, -1).reshape(*size, -1) if self.linear else y

    def extra_repr(self) -> str:
        ends = ("bits" if self.reads else "floats", "bits" if self.writes else "floats")
        return f"{' -> '.join(ends)}, {self.attrs.group * self.attrs.channels}, {self.weight.shape[0]}"


def conv_attrs(layer: Layer) -> BinaryConvAttrs:
    """A layer's geometry; a linear layer is a convolution of single pixels."""
    if isinstance(layer, PackedConv):
        return layer.attrs
    return BinaryConvAttrs((1,), (1,), (1,), (0, 0), 1, layer.attrs.channels, layer.attrs.low, "constant", 0.0)


def cut_of(layer: Layer, between: Sequence[nn.Module], threshold: Tensor) -> tuple[Tensor, Tensor]:
    """Thresholds (int32) and flips (bool) `[O]` of a layer's accumulators: the bits that the next layer sees.

    Found by computing what lies between, in float32 on the CPU, for every accumulator that can occur.

    Raises:
        FuseError: bits of a channel change more than once.
    """
    attrs, outputs = conv_attrs(layer), layer.weight.shape[0]
    most = attrs.taps * attrs.channels
    ones = (1,) * (attrs.rank if isinstance(layer, PackedConv) else 0)
    scale, bias, limit = (v.cpu().view(-1, *ones) for v in (layer.scale, layer.bias, threshold))
    chain = [copy.deepcopy(m).cpu().eval() for m in between]
    first: Tensor | None = None
    last = torch.empty(0)
    changes, place = torch.zeros(outputs, dtype=torch.int64), torch.full((outputs,), _MOST)
    with torch.no_grad():
        for start in range(-most, most + 1, _ROWS):
            values = torch.arange(start, min(start + _ROWS, most + 1))
            y = values.float().view(-1, 1, *ones).expand(-1, outputs, *ones) * scale + bias
            for module in chain:
                y = module(y)
            bits = (y >= limit).flatten(1)
            before = torch.cat([bits[:1] if first is None else last, bits[:-1]])
            first, last, differ = (bits[0] if first is None else first), bits[-1:], bits != before
            changes += differ.sum(0)
            place = torch.minimum(place, torch.where(differ, values.unsqueeze(1), _MOST).min(0).values)
    assert first is not None
    if bool((changes > 1).any()):
        raise FuseError(f"bits of channel {int(changes.argmax())} change {int(changes.max())} times")
    thresholds = torch.where((changes == 0) & first, _LEAST, place)
    flips = first & (changes == 1)
    return thresholds.to(torch.int32).to(layer.weight.device), flips.to(layer.weight.device)


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return isinstance(m, FrozenModule) or super().is_leaf_module(m, qualified_name)


def fuse(frozen: nn.Module) -> fx.GraphModule:
    """The same model with packed edges wherever they are possible; answers stay the same bit for bit.

    An edge: a packed convolution or linear layer of bits whose output goes through batch norms (or nothing) to one
    other such layer and nowhere else. Weights are shared with `frozen`. What lies between is computed as the CPU does;
    GPUs round a batch norm differently, so there a bit may differ from the unfused model's on that GPU.

    Args:
        frozen: a frozen model that torch.fx can trace.

    Raises:
        FuseError: it cannot be traced, or has no such pair; the message says why of each layer.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(frozen)
    except Exception as error:  # tracing runs the model's own code
        raise FuseError(f"torch.fx cannot trace the model: {error}") from error
    net = fx.GraphModule(tracer.root, graph)
    modules = dict(net.named_modules())
    cuts: dict[fx.Node, tuple[Tensor, Tensor]] = {}
    readers: set[fx.Node] = set()
    reasons: list[str] = []
    for node in list(graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if not isinstance(layer, Layer):
            continue
        try:
            between, reader = _edge(node, layer, modules.__getitem__)
            follower = modules[str(reader.target)]
            cuts[node] = cut_of(layer, [modules[str(n.target)] for n in between], follower.threshold)
        except FuseError as error:
            reasons.append(f"{node.target}: {error}")
            continue
        readers.add(reader)
        for between_node in between:
            between_node.replace_all_uses_with(node)
            graph.erase_node(between_node)
    if not cuts:
        raise FuseError("no two binary layers can exchange bits: " + ("; ".join(reasons) or "there are none"))
    for number, node in enumerate(n for n in graph.nodes if n in cuts or n in readers):
        layer = modules[str(node.target)]
        assert isinstance(layer, Layer)
        name = str(node.target)
        if sum(n.target == node.target for n in graph.nodes if n.op == "call_module") > 1:
            name = f"{name.replace('.', '_')}_edge{number}"  # one module, called at several places
        net.add_submodule(name, PackedEdge(layer, node in readers, cuts.get(node)))
        node.target = name
    graph.lint()
    net.delete_all_unused_submodules()
    net.recompile()
    return net


def _edge(node: fx.Node, layer: Layer, module_of: Callable[[str], nn.Module]) -> tuple[list[fx.Node], fx.Node]:
    """The nodes between a layer and the only layer that reads its output.

    Raises:
        FuseError: there is no such layer.
    """
    between: list[fx.Node] = []
    at = node
    while True:
        if len(at.users) != 1:
            raise FuseError(f"its output is read {len(at.users)} times")
        at = next(iter(at.users))
        found = module_of(str(at.target)) if at.op == "call_module" else None
        if isinstance(found, BETWEEN) and not found.training and getattr(found, "running_mean", 0) is not None:
            between.append(at)
            continue
        if not isinstance(found, Layer):
            raise FuseError(f"its output goes to {at.name if found is None else type(found).__name__}")
        attrs, rank = conv_attrs(found), conv_attrs(layer).rank
        if type(found) is not type(layer) or attrs.rank != rank:
            raise FuseError(f"{type(found).__name__} {at.target} reads it in another layout")
        if attrs.group * attrs.channels != layer.weight.shape[0]:
            raise FuseError(f"{at.target} takes {attrs.group * attrs.channels} channels, not {layer.weight.shape[0]}")
        why = why_not_packed(attrs)
        if why is not None:
            raise FuseError(f"{at.target} cannot read bits: {why}")
        return between, at
