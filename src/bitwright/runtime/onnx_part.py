"""A part of a model that runs in onnxruntime. The only module of the run time that imports it, and only when a file has
such a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bitwright.runtime.errors import InputError, ModelError

__all__ = ["OnnxPart"]


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError(
            "the model has parts that run in onnxruntime, which is not installed: pip install onnxruntime. Or compile "
            "the model with --native-only, which says what the engine lacks"
        ) from error
    return onnxruntime


class OnnxPart:
    """One ONNX model.

    Args:
        data: its bytes.
        where: names it in errors.
        threads: of a run.
        optimize: False: every node runs as written, so that a number that is compared with a threshold is the one that
            the exporter meant.

    Raises:
        ImportError: onnxruntime is not installed.
        ModelError: onnxruntime does not take the model.
    """

    def __init__(self, data: bytes, where: str, threads: int = 1, optimize: bool = True) -> None:
        ort = _onnxruntime()
        self.where = where
        options = ort.SessionOptions()
        level = ort.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_DISABLE_ALL
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # what is wrong comes as an exception
        # threads that spin between two calls would take the CPUs from the engine
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(
                f"{where}: onnxruntime {ort.__version__} does not take it: {_first_line(error)}"
            ) from error
        self.inputs: list[str] = [i.name for i in self._session.get_inputs()]
        self.outputs: list[str] = [o.name for o in self._session.get_outputs()]

    def types(self) -> dict[str, tuple[str, list[Any]]]:
        """Input and output names -> onnxruntime's type ("tensor(float)") and shape."""
        return {
            n.name: (n.type, list(n.shape or [])) for n in (*self._session.get_inputs(), *self._session.get_outputs())
        }

    def run(self, arrays: Sequence[Any]) -> list[Any]:
        """The outputs for the inputs, both in order.

        Raises `InputError` with onnxruntime's message when it refuses the inputs or fails on them.
        """
        try:
            return list(self._session.run(self.outputs, dict(zip(self.inputs, arrays, strict=True))))
        except Exception as error:
            raise InputError(f"{self.where}: onnxruntime fails on these inputs: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:2000]
