"""A .tflite file in larq-compute-engine's interpreter (which is TensorFlow Lite's, with Larq's operators)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from larq_compute_engine.tflite.python.interpreter import Interpreter

KINDS = {"tflite"}


def make(task: dict[str, Any]) -> Callable[[], None]:
    """The task: `path`, `threads`; `indirect` takes the engine's other binary kernel."""
    with open(task["path"], "rb") as file:
        data = file.read()
    interpreter = Interpreter(data, num_threads=task["threads"], use_indirect_bgemm=task.get("indirect", False))
    shape = interpreter.input_shapes[0]
    x = np.random.default_rng(0).standard_normal((1, *shape[1:]), dtype=np.float32)

    def run() -> None:
        interpreter.predict(x)

    return run
