"""Writes an ONNX model node by node: names, constants, dialect nodes with their function bodies, checks at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from bitwright import __version__
from bitwright.compiler.dialect import (
    DOMAIN,
    VERSION,
    DialectError,
    NodeAttrs,
    TensorTypes,
    add_functions,
    infer_shapes,
)

from .errors import ImportModelError

OPSET = 20
"""Operator set of the default domain: has Gelu and everything that the dialect's bodies need."""
_IR_VERSION = 10
_OPSETS = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, VERSION)]
Size = int | str | None
"""A dynamic axis has a name, or none."""


class GraphBuilder:
    """An ONNX graph in the making. Tensors are named by strings; every method that makes one returns its name."""

    def __init__(self, name: str) -> None:
        self._graph = onnx.GraphProto(name=name)
        self._names: set[str] = set()
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._values: dict[str, NDArray[Any]] = {}
        self._types = TensorTypes(_OPSETS, _IR_VERSION)
        self._next: dict[str, int] = {}
        self._outputs: list[tuple[str, str]] = []

    def fresh(self, hint: str) -> str:
        """A name that nothing has, starting with `hint`."""
        name, number = hint, self._next.get(hint, 1)
        while not name or name in self._names:
            number += 1
            name = f"{hint}_{number}"
        self._next[hint] = number
        self._names.add(name)
        return name

    def input(self, name: str, shape: Sequence[Size], dtype: Any = np.float32) -> str:
        """A model input; `shape` with the batch, whose size is a name, such as "N"."""
        name = self.fresh(name)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._graph.input.append(helper.make_tensor_value_info(name, kind, list(shape)))
        self._types.add(name, self._graph.input[-1].type)
        return name

    def constant(self, value: Any, hint: str = "constant") -> str:
        """An initializer; equal ones are stored once."""
        array = np.ascontiguousarray(value)
        array = array.reshape(np.shape(value))  # ascontiguousarray makes a scalar a vector
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = self.fresh(hint)
            self._graph.initializer.append(numpy_helper.from_array(array, name))
            self._types.add_constant(self._graph.initializer[-1])
            self._constants[key] = name
            self._values[name] = array
        return self._constants[key]

    def value(self, name: str) -> NDArray[Any] | None:
        """The array of a constant, or None for a computed tensor."""
        return self._values.get(name)

    def shape(self, name: str) -> tuple[Size, ...] | None:
        """The shape of a tensor as far as the nodes so far tell it; None: unknown, or its node is not valid."""
        return self._types.shape(name)

    def node(self, op: str, inputs: Sequence[str], *, name: str = "", domain: str = "", **attributes: Any) -> str:
        """A node with one output, named after the node. Attributes that are None are left out."""
        return self.nodes(op, inputs, 1, name=name, domain=domain, **attributes)[0]

    def nodes(
        self, op: str, inputs: Sequence[str], count: int, *, name: str = "", domain: str = "", **attributes: Any
    ) -> list[str]:
        """A node with `count` outputs."""
        outputs = [self.fresh(name or op.lower()) for _ in range(count)]
        given = {key: value for key, value in attributes.items() if value is not None}
        self._add(helper.make_node(op, list(inputs), outputs, name=outputs[0], domain=domain or None, **given))
        return outputs

    def dialect(self, attrs: NodeAttrs, inputs: Sequence[str], *, name: str = "") -> str:
        """A node of `ai.bitwright`."""
        output = self.fresh(name or attrs.op.lower())
        self._add(attrs.make_node(inputs, [output], name=output))
        return output

    def _add(self, node: onnx.NodeProto) -> None:
        self._graph.node.append(node)
        with contextlib.suppress(DialectError, onnx.shape_inference.InferenceError):
            self._types.add_node(node)  # what is wrong with it, `finish` says

    def output(self, tensor: str, name: str, dtype: Any = np.float32) -> None:
        """Makes `tensor` a model output called `name`; its shape is inferred at the end.

        The name belongs to the output: another tensor that has it is renamed when the graph is finished.
        """
        self._outputs.append((tensor, name))
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self._graph.output.append(helper.make_tensor_value_info(name, kind, None))

    def _name_outputs(self) -> None:
        """Gives the outputs their names: the tensor's own node takes it, or an Identity where the tensor has to keep
        its name (a model input, a constant, an output already)."""
        made = {name for node in self._graph.node for name in node.output}
        renamed: dict[str, str] = {}
        taken = {name for _, name in self._outputs}
        if len(taken) < len(self._outputs) or taken & {i.name for i in self._graph.input}:
            raise ImportModelError(f"{self._graph.name}: inputs and outputs share names: {sorted(taken)}")
        own = {tensor for tensor, name in self._outputs if tensor == name}
        identities = []
        for tensor, name in self._outputs:
            if tensor != name and tensor in made and tensor not in renamed and tensor not in own:
                renamed[tensor] = name
            elif tensor != name:
                identities.append((tensor, name))
        for name in taken & self._names:
            if name not in own and name not in renamed:
                renamed[name] = self.fresh(name)
        for node in self._graph.node:
            if node.name in renamed and node.name in node.output:
                node.name = renamed[node.name]
            for field in (node.input, node.output):
                for i, name in enumerate(field):
                    field[i] = renamed.get(name, name)
        for tensor in self._graph.initializer:
            tensor.name = renamed.get(tensor.name, tensor.name)
        for source, name in identities:
            self._graph.node.append(helper.make_node("Identity", [renamed.get(source, source)], [name], name=name))

    def finish(self, metadata: Mapping[str, str] | None = None) -> onnx.ModelProto:
        """The checked model with function bodies and inferred shapes.

        Raises:
            ImportModelError: what was built is no valid ONNX (a defect of the importer, or a hostile file).
        """
        self._name_outputs()
        model = helper.make_model(
            self._graph,
            producer_name="bitwright",
            producer_version=__version__,
            opset_imports=_OPSETS,
            ir_version=_IR_VERSION,
        )
        for key, value in sorted((metadata or {}).items()):
            model.metadata_props.add(key=key, value=value)
        add_functions(model)
        try:
            infer_shapes(model)
            onnx.checker.check_model(model)
        except (DialectError, onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ImportModelError(f"{self._graph.name}: the imported graph is not valid: {error}") from error
        return model
