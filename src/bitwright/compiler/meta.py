"""The JSON in META: where the file comes from and what its values and ops stand for. docs/develop/compiler.md lists
the keys."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

import bitwright

from .costs import Macs, macs, parameter_bytes, weight_bytes
from .graph import Graph
from .levels import levels
from .planner import Plan
from .program import DType, Meaning, Program, Value


def build(program: Program, graph: Graph, plan: Plan, name: str) -> dict[str, Any]:
    """The META object of a planned program."""
    return {
        "format": 1,
        "name": name,
        "producer": {"name": "bitwright", "version": bitwright.__version__},
        "source": {"file": graph.source, "sha256": graph.sha256, "opsets": graph.opsets},
        "metadata": graph.metadata,
        "plan": {"peak": plan.peak, "naive": plan.naive},
        "values": [_value(v) for v in program.values()],
        "ops": [
            {
                "nodes": op.nodes,
                "module": op.module,
                "macs": _macs(macs(op)),
                "weight_bytes": weight_bytes(op),
                "parameter_bytes": parameter_bytes(op),
            }
            for op in program.ops
        ],
    }


def _macs(cost: Macs) -> dict[str, int]:
    found = {"binary": cost.binary, "float": cost.floating}
    return {**found, "int8": cost.int8} if cost.int8 else found


def _value(v: Value) -> dict[str, Any] | None:
    m = v.meaning
    if m is None or not m.tensor:
        return None
    entry: dict[str, Any] = {
        "tensor": m.tensor,
        "split": list(m.split),
        "perm": list(m.perm),
    }
    if v.dtype is DType.BITS and m.threshold is not None:
        raw = np.ascontiguousarray(m.threshold, dtype="<f4").tobytes()
        entry["threshold"] = base64.b64encode(raw).decode("ascii")
        if m.flip is not None:
            entry["flip"] = np.flatnonzero(np.broadcast_to(m.flip, v.channels)).tolist()
    if m.gain is not None and m.offset is not None:
        for name, data in (("gain", m.gain), ("offset", m.offset)):
            raw = np.ascontiguousarray(data, dtype="<f4").tobytes()
            entry[name] = base64.b64encode(raw).decode("ascii")
    return entry


def meanings(program: Program) -> dict[int, Meaning]:
    """id(value) -> meaning, from the META of a program that was read from a file.

    Raises ValueError when the entries do not fit the values.
    """
    entries = program.meta.get("values")
    values = program.values()
    if not isinstance(entries, list) or len(entries) != len(values):
        raise ValueError("the file does not say what its values stand for (META has no matching 'values')")
    found = {}
    for v, entry in zip(values, entries, strict=True):
        if not isinstance(entry, dict):
            continue
        flip = None
        threshold, gain, offset = (_vector(entry, key) for key in ("threshold", "gain", "offset"))
        if "flip" in entry:
            flip = np.isin(np.arange(v.channels), [int(c) for c in entry["flip"]])
        split, perm = tuple(int(n) for n in entry["split"]), tuple(int(n) for n in entry["perm"])
        found[id(v)] = Meaning(str(entry["tensor"]), split, perm, threshold, flip, gain, offset)
    return found


def _vector(entry: dict[str, Any], key: str) -> np.ndarray[Any, np.dtype[np.float32]] | None:
    if key not in entry:
        return None
    return np.frombuffer(base64.b64decode(entry[key]), dtype="<f4").astype(np.float32)


def array_of(meaning: Meaning, value: Value, tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The tensor `[N, ...]` of the source model as the value's `[N, D, H, W, C]`: float32, bool for bits, or
    uint8 levels for several planes of bits.

    Raises ValueError when the sizes do not fit.
    """
    n = tensor.shape[0] if tensor.ndim else 0
    if tensor.size != n * int(np.prod(value.dims)):
        raise ValueError(f"tensor {meaning.tensor!r} has shape {list(tensor.shape)}, the value is {['N', *value.dims]}")
    cube = tensor.reshape(n, *meaning.split).transpose(0, *(p + 1 for p in meaning.perm))
    out = np.ascontiguousarray(cube).reshape(n, *value.dims)
    if value.dtype is DType.BITS:
        if meaning.gain is not None and meaning.offset is not None:
            with np.errstate(invalid="ignore", over="ignore"):
                return levels(out.astype(np.float32) * meaning.gain + meaning.offset, value.planes)
        if meaning.threshold is None:
            raise ValueError(f"the bits of {meaning.tensor!r} have no threshold")
        with np.errstate(invalid="ignore"):
            bits = np.asarray(out >= meaning.threshold)
        return bits if meaning.flip is None else bits ^ meaning.flip
    return out
