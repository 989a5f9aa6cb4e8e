"""What PyTorch computes at the values of an exported ONNX graph: the reference of `bitwright verify`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitwright.compiler.dialect import CALL_KEY, MODULE_KEY

if TYPE_CHECKING:
    import onnx


@dataclass
class _Call:
    """The nodes that came from one call of one module."""

    path: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    source: str | None = None  # the value that is the module's only input
    result: str | None = None  # the value that is the module's only output


class TorchReference:
    """Runs an eval-mode PyTorch model and hands out the tensors that belong to values of the ONNX file made from it.

    A value is identified when it is an input or output of the graph, or the only input or only output of a module whose
    nodes carry its path (`bitwright.module`). A module that holds nodes of deeper modules too (a block with a
    functional addition) is not looked at: its additions are the inputs of the modules after it.

    Args:
        model: the model that was frozen and exported, latent or frozen, with the same paths; in eval mode.
        onnx_model: the exported file or its loaded proto.

    Raises:
        ValueError: the model is in training mode, or the file names modules that the model does not have.
    """

    def __init__(self, model: nn.Module, onnx_model: onnx.ModelProto | str | os.PathLike[str]) -> None:
        import onnx

        if any(module.training for module in model.modules()):
            raise ValueError("TorchReference compares eval mode; call model.eval() first")
        proto = onnx_model if isinstance(onnx_model, onnx.ModelProto) else onnx.load(os.fspath(onnx_model))
        self.model = model
        constants = {tensor.name for tensor in proto.graph.initializer}
        self.inputs = [value.name for value in proto.graph.input if value.name not in constants]
        self.outputs = [value.name for value in proto.graph.output]
        modules = dict(model.named_modules(remove_duplicate=False))
        self._calls: dict[nn.Module, list[_Call]] = {}
        for call in _leaf_calls(proto, constants):
            if call.path not in modules:
                raise ValueError(
                    f"the ONNX file has nodes of module {call.path!r}, which the model does not have; give the model "
                    "that the file was exported from"
                )
            self._calls.setdefault(modules[call.path], []).append(call)

    @property
    def names(self) -> list[str]:
        """The identified values: graph inputs, module inputs and outputs in the order of the graph, graph outputs."""
        found = dict.fromkeys(self.inputs)
        for calls in self._calls.values():
            for call in calls:
                found.update(dict.fromkeys(name for name in (call.source, call.result) if name is not None))
        found.update(dict.fromkeys(self.outputs))
        return list(found)

    def run(self, *inputs: NDArray[Any] | Tensor) -> dict[str, NDArray[Any]]:
        """The model's tensors for these inputs (in the order of the graph's), by value name.

        Raises:
            ValueError: another number of inputs, or the model ran other modules than the file was exported with.
        """
        if len(inputs) != len(self.inputs):
            raise ValueError(f"the model takes {len(self.inputs)} inputs ({self.inputs}), got {len(inputs)}")
        device = next((t.device for t in [*self.model.parameters(), *self.model.buffers()]), torch.device("cpu"))
        tensors = [torch.as_tensor(value).to(device) for value in inputs]
        values: dict[str, NDArray[Any]] = {}
        for name, tensor in zip(self.inputs, tensors, strict=True):
            values[name] = _array(tensor)
        with _recording(self._calls) as records, torch.no_grad():
            result = self.model(*tensors)
        for module, calls in self._calls.items():
            record = records[module]
            if len(record) != len(calls):
                raise ValueError(
                    f"module {calls[0].path!r} ran {len(record)} times, but the file was exported with {len(calls)} "
                    "calls"
                )
            for call, (arguments, returned) in zip(calls, record, strict=True):
                if call.source is not None and len(arguments) == 1:
                    values.setdefault(call.source, arguments[0])
                if call.result is not None and len(returned) == 1:
                    values.setdefault(call.result, returned[0])
        for name, array in zip(self.outputs, _arrays(result), strict=True):
            values[name] = array
        return values

    __call__ = run


def _leaf_calls(proto: onnx.ModelProto, constants: set[str]) -> list[_Call]:
    """The calls of modules without nodes of deeper modules, in the graph's order, with their inputs and outputs."""
    calls: dict[tuple[str, str], _Call] = {}
    for node in proto.graph.node:
        metadata = {entry.key: entry.value for entry in node.metadata_props}
        path = metadata.get(MODULE_KEY)
        if path:
            key = (path, metadata.get(CALL_KEY, "0"))
            calls.setdefault(key, _Call(path)).nodes.append(node)
    paths = {call.path for call in calls.values()}
    leaves = [c for c in calls.values() if not any(other.startswith(f"{c.path}.") for other in paths)]
    owner = {name: call for call in leaves for node in call.nodes for name in node.output}
    outside: set[str] = {value.name for value in proto.graph.output}
    sources: dict[int, set[str]] = {id(call): set() for call in leaves}
    of_node = {id(node): call for call in leaves for node in call.nodes}
    for node in proto.graph.node:
        reader = of_node.get(id(node))
        for name in _reads(node):
            if name in constants or not name:
                continue
            if reader is None or owner.get(name) is not reader:
                outside.add(name)
                if reader is not None:
                    sources[id(reader)].add(name)
    for call in leaves:
        results = {name for node in call.nodes for name in node.output if name in outside}
        call.source = next(iter(sources[id(call)])) if len(sources[id(call)]) == 1 else None
        call.result = next(iter(results)) if len(results) == 1 else None
    return leaves


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from node.input
    for attribute in node.attribute:
        for graph in [attribute.g, *attribute.graphs]:
            for inner in graph.node:
                yield from _reads(inner)


Record = list[tuple[list[NDArray[Any]], list[NDArray[Any]]]]


@contextmanager
def _recording(modules: dict[nn.Module, list[_Call]]) -> Iterator[dict[nn.Module, Record]]:
    """Copies of the tensors that go into and come out of each module, one pair a call.

    Copied at once: a module may work in place.
    """
    records: dict[nn.Module, Record] = {module: [] for module in modules}
    pending: dict[nn.Module, list[list[NDArray[Any]]]] = {module: [] for module in modules}
    handles = []

    def before(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pending[module].append([*_arrays(args), *_arrays(tuple(kwargs.values()))])

    def after(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        records[module].append((pending[module].pop(), _arrays(output)))

    for module in modules:
        handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(module.register_forward_hook(after))
    try:
        yield records
    finally:
        for handle in handles:
            handle.remove()


def _arrays(value: Any) -> list[NDArray[Any]]:
    return [_array(leaf) for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


def _array(tensor: Tensor) -> NDArray[Any]:
    return np.array(tensor.detach().cpu().numpy(), copy=True)
