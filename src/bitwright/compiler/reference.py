"""The other side of `verify`: who says what every tensor of the network should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import VerifyError
from .graph import ModelSource, inlined, load_proto

Array = np.ndarray[Any, Any]


@runtime_checkable
class Reference(Protocol):
    """Gives the tensors of the ONNX graph by name, for inputs in the order of the graph's.

    It may know only some of the tensors; values it does not know are not compared.
    """

    def tensors(self, *inputs: Array) -> Mapping[str, Array]: ...


class OnnxRuntime:
    """onnxruntime on the ONNX file, with the wanted intermediate tensors as further outputs.

    Graph optimizations are off (ORT_DISABLE_ALL): fusing batch norm into convolutions would change the float
    expression that decides the bits.
    """

    def __init__(self, source: ModelSource, wanted: Sequence[str], threads: int = 1) -> None:
        import onnx
        import onnxruntime as ort

        proto, _ = load_proto(source)
        model = onnx.ModelProto()
        model.CopyFrom(inlined(proto))
        made = {o for node in model.graph.node for o in node.output}
        have = {o.name for o in model.graph.output}
        inputs = {i.name for i in model.graph.input}
        for name in wanted:
            if name in made and name not in have:
                model.graph.output.append(onnx.ValueInfoProto(name=name))  # onnxruntime knows the type
                have.add(name)
            elif name not in made and name not in inputs:
                raise VerifyError(f"the file was compiled from another model: the ONNX graph has no tensor {name!r}")
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = max(threads, 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self._inputs = [i.name for i in self._session.get_inputs()]
        self._types = [_element_type(i.type) for i in self._session.get_inputs()]
        self._outputs = [o.name for o in self._session.get_outputs()]

    def tensors(self, *inputs: Array) -> dict[str, Array]:
        """All wanted tensors, the inputs and the outputs."""
        feed = {n: np.asarray(x, dtype=t) for n, x, t in zip(self._inputs, inputs, self._types, strict=True)}
        found = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
        return {**feed, **{k: np.asarray(v) for k, v in found.items() if not isinstance(v, (list, dict))}}


def _element_type(kind: str) -> Any:
    """numpy's type for onnxruntime's "tensor(float)"."""
    name = kind.removeprefix("tensor(").removesuffix(")")
    return {"float": np.float32, "double": np.float64, "string": np.object_}.get(name) or np.dtype(name)


class _Callable:
    def __init__(self, fn: Any) -> None:
        self._fn = fn

    def tensors(self, *inputs: Array) -> Mapping[str, Array]:
        result = self._fn(*inputs)
        if not isinstance(result, Mapping):
            raise VerifyError(
                f"the reference returned {type(result).__name__}, not a mapping of tensor names to arrays"
            )
        return result


def make_reference(reference: object, source: ModelSource, wanted: Sequence[str], threads: int) -> Reference:
    """`"onnxruntime"`, an object with `tensors(*inputs)`, or a callable that returns the same mapping."""
    if reference == "onnxruntime":
        return OnnxRuntime(source, wanted, threads)
    if isinstance(reference, str):
        raise VerifyError(f"unknown reference {reference!r}; known: 'onnxruntime', or an object with tensors(*inputs)")
    if isinstance(reference, Reference):
        return reference
    if callable(reference):
        return _Callable(reference)
    raise TypeError(
        f"a reference has tensors(*inputs) -> mapping of names to arrays; {type(reference).__name__} has not"
    )
