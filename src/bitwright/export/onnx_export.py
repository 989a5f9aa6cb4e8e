"""A frozen model as an ONNX file in the ai.bitwright dialect."""

from __future__ import annotations

import ast
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

import bitwright
from bitwright.compiler import dialect
from bitwright.export.freezing import check_frozen
from bitwright.files import write_atomically

if TYPE_CHECKING:
    import onnx

DEFAULT_OPSET = 18
_SCOPES = "pkg.torch.onnx.name_scopes"


class OnnxExportError(RuntimeError):
    """torch could not translate the model to ONNX; the cause is chained."""


def to_onnx(
    model: nn.Module,
    example: Tensor | Sequence[Tensor],
    path: str | os.PathLike[str],
    *,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool = True,
    opset: int | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes `model` as one ONNX file that stock onnxruntime runs and `bitwright compile` reads. Atomic.

    Binary layers become nodes of domain `ai.bitwright` with packed weights and function bodies; every node names its
    PyTorch module in its metadata (`bitwright.module`).

    Args:
        model: frozen (`freeze`), or without binary layers; in eval mode.
        example: the input tensor, or a sequence of the forward arguments. Dimension 0 is the batch.
        path: the .onnx file.
        input_names, output_names: names of the graph's inputs and outputs; else `input`, `input_1`, … and `output`, ….
        dynamic_batch: dimension 0 of all inputs is the free dimension `batch`; else all shapes are the example's.
        opset: default-domain operator set, 18 (default) to 23.
        metadata: text to store in the file (`metadata_props`).

    Raises:
        LatentLayerError: a binary layer is not frozen.
        ValueError: the model is in training mode, the opset is not supported, or the names do not fit.
        OnnxExportError: the model cannot be traced or uses an operator that ONNX does not have.
        ImportError: onnx, onnx-ir or onnxscript is not installed.
    """
    _require_onnx()
    check_frozen(model, "to_onnx")
    training = [name or "(the model itself)" for name, module in model.named_modules() if module.training]
    if training:
        raise ValueError(f"to_onnx exports eval mode; call model.eval() first (in training mode: {training[0]}, …)")
    opset = DEFAULT_OPSET if opset is None else opset
    if not dialect.MIN_OPSET <= opset <= dialect.MAX_OPSET:
        raise ValueError(f"opset must be {dialect.MIN_OPSET} to {dialect.MAX_OPSET}, got {opset}")
    inputs = _inputs(example)
    in_names = _names("input", input_names, len(inputs))
    program = _export(model, inputs, in_names, output_names, dynamic_batch, opset)
    if dynamic_batch:
        _check_batch(program.model)
    write_atomically(path, _finish(program.model, model, output_names, metadata or {}).SerializeToString())


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnx_ir  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"ONNX export needs more packages: pip install 'bitwright[convert]' ({error})") from error


def _inputs(example: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    if not inputs or not all(isinstance(x, Tensor) for x in inputs):
        raise TypeError(f"example must be a tensor or a sequence of tensors, got {type(example).__name__}")
    return inputs


def _names(kind: str, names: Sequence[str] | None, count: int) -> list[str]:
    if names is None:
        return [kind if k == 0 else f"{kind}_{k}" for k in range(count)]
    if isinstance(names, str) or len(names) != count or len(set(names)) != count:
        raise ValueError(f"{kind}_names must be {count} different names, got {names!r}")
    return list(names)


def _export(
    model: nn.Module,
    inputs: tuple[Tensor, ...],
    input_names: list[str],
    output_names: Sequence[str] | None,
    dynamic_batch: bool,
    opset: int,
) -> Any:
    from bitwright.export.onnx_translate import translation_table

    shapes = None
    if dynamic_batch:
        scalars = [name for name, x in zip(input_names, inputs, strict=True) if x.ndim == 0]
        if scalars:
            raise ValueError(f"inputs {scalars} have no batch dimension; use dynamic_batch=False")
        batch = torch.export.Dim("batch")
        shapes = tuple({0: batch} for _ in inputs)
        # torch.export takes a batch of 1 for a constant.
        inputs = tuple(torch.cat([x, x]) if x.shape[0] == 1 else x for x in inputs)
    with _quiet(), torch.no_grad():
        try:
            return torch.onnx.export(
                model,
                inputs,
                input_names=input_names,
                output_names=None if output_names is None else list(output_names),
                opset_version=opset,
                dynamo=True,
                optimize=False,
                dynamic_shapes=shapes,
                custom_translation_table=translation_table(),
                verbose=False,
            )
        except Exception as error:
            raise OnnxExportError(f"cannot export {type(model).__name__} to ONNX: {_first_cause(error)}") from error


def _check_batch(exported: Any) -> None:
    """torch falls back to fixed shapes where the model does not allow a free batch; that must not go unnoticed."""
    for value in exported.graph.inputs:
        if value.shape is not None and len(value.shape) and isinstance(value.shape[0], int):
            raise OnnxExportError(
                f"the model only runs with dimension 0 of {value.name!r} = {value.shape[0]}: it is no free batch. Use "
                "dynamic_batch=False, or let dimension 0 be the batch everywhere: recurrent layers need "
                "batch_first=True and inputs `[N, T, features]`"
            )


def _first_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {error}"


def _finish(
    exported: Any, model: nn.Module, output_names: Sequence[str] | None, metadata: Mapping[str, str]
) -> onnx.ModelProto:
    """Passes, metadata, function bodies, check."""
    import onnx
    import onnx_ir as ir

    from bitwright.export.onnx_passes import run_passes

    for name, value in zip(_names("output", output_names, len(exported.graph.outputs)), exported.graph.outputs):  # noqa: B905
        value.name = name
    run_passes(exported)
    paths = {path for path, _ in model.named_modules(remove_duplicate=False)}
    for node in exported.graph:
        module = _module_path(node.metadata_props.get(_SCOPES, ""), paths)
        _strip(node.metadata_props)
        if module is not None:
            node.metadata_props[dialect.MODULE_KEY] = module
            call = _call_number(node.meta.get("node"), module)
            if call:
                node.metadata_props[dialect.CALL_KEY] = str(call)
        for value in node.outputs:
            _strip(value.metadata_props)
    for value in [*exported.graph.inputs, *exported.graph.initializers.values()]:
        _strip(value.metadata_props)
    exported.graph.metadata_props.clear()
    exported.metadata_props.clear()
    exported.metadata_props.update(metadata)
    exported.producer_name = "bitwright"
    exported.producer_version = bitwright.__version__
    exported.graph.name = type(model).__name__
    dialect.add_functions(exported)
    proto = ir.serde.serialize_model(exported)
    onnx.checker.check_model(proto, full_check=True)
    return proto


def _module_path(scopes: str, paths: set[str]) -> str | None:
    """The exporter's scopes are ['', 'layer1', 'layer1.0', 'conv2d']: module paths from outside in, then the node."""
    if not scopes:
        return None
    for scope in reversed(ast.literal_eval(scopes)[:-1]):
        if scope in paths:
            return str(scope)
    return None


def _call_number(fx_node: Any, module: str) -> int:
    """torch.export's module stack has the key `L__self__layer1.0@2` for the third call of `layer1.0`."""
    stack = {} if fx_node is None else fx_node.meta.get("nn_module_stack") or {}
    for key, (path, _) in reversed(list(stack.items())):
        if path == module:
            _, _, number = str(key).rpartition("@")
            return int(number) if number.isdecimal() else 0
    return 0


def _strip(properties: Any) -> None:
    """Removes the exporter's own notes: they hold file names of the machine that exported."""
    for key in [key for key in properties if key == "namespace" or key.startswith("pkg.")]:
        del properties[key]


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter logs missing torchvision operators and warns of its own internals; neither concerns the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
