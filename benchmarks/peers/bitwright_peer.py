"""The engine. Single layers: its own clock around the op, inside a network of three."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bitwright import runtime
from bitwright.runtime.functional import PackedMatrix

KINDS = {"binary conv", "bwm", "gemm"}


def _layer(task: dict[str, Any]) -> Callable[[], float]:
    from bitwright_layers import TIMED, layer

    from bitwright import compiler

    x = np.random.default_rng(0).standard_normal((1, task["size"], task["size"], task["channels"]), dtype=np.float32)
    x = x.transpose(0, 3, 1, 2)
    options: dict[str, Any] = {}
    if task.get("residual", "fp32") != "fp32":
        options = {"residual": task["residual"], "calibration": [x, x]}  # one to measure on, one held out
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.bwm"
        model = layer(task["size"], task["channels"], task["outputs"], task["stride"], task["form"])
        compiler.compile(model, path, **options)
        session = runtime.Session(path, threads=task["threads"], kernel=task.get("kernel"))
        ops = session.ops()
    at = [i for i, op in enumerate(ops) if op["name"] == TIMED]
    if len(at) != 1:
        raise RuntimeError(f"the timed op is not there: {[op['name'] for op in ops]}")
    return lambda: session.profile(x, repeats=1, machine=False).ops[at[0]]["ns"] * 1e-9


def _network(task: dict[str, Any]) -> Callable[[], None]:
    session = runtime.Session(task["path"], threads=task["threads"], kernel=task.get("kernel"))
    info = session.inputs[0]
    shape = [task.get("batch", 1), *(int(d) for d in info.shape[1:])]
    rng = np.random.default_rng(0)
    if info.dtype == np.uint8:
        x = rng.integers(0, 256, shape, dtype=np.uint8)
    else:
        x = rng.standard_normal(shape, dtype=np.float32)

    def run() -> None:
        session.run(x)

    return run


def _product(task: dict[str, Any]) -> Callable[[], None]:
    rng = np.random.default_rng(0)
    words = task["k"] // 32
    a, b = (rng.integers(0, 1 << 32, (rows, words), dtype=np.uint32) for rows in (task["m"], task["n"]))
    packed = PackedMatrix(b, kernel=task.get("kernel"))
    out = np.empty((task["m"], task["n"]), np.int32)

    def run() -> None:
        packed.multiply(a, product="hamming", out=out, threads=task["threads"])

    return run


def make(task: dict[str, Any]) -> Callable[[], float | None]:
    """See tasks.py. Tasks may name a `kernel`; a layer has a `form` (bitwright_layers.py) and perhaps a `residual`."""
    if task["kind"] == "binary conv":
        return _layer(task)
    return _product(task) if task["kind"] == "gemm" else _network(task)
