"""Writes small MXNet models: a graph builder, and the NDArray list in its three layouts."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

TYPES = {"float32": 0, "float64": 1, "float16": 2, "uint8": 3, "int32": 4, "int8": 5, "int64": 6, "bool": 7}


def array_bytes(array: np.ndarray, layout: int) -> bytes:
    """One NDArray; `layout` 0 is MXNet's oldest, 1 to 3 its V1 to V3."""
    head = [b"", b"\xc8\xfa\x93\xf9", b"\xc9\xfa\x93\xf9\0\0\0\0", b"\xca\xfa\x93\xf9\0\0\0\0"][layout]
    shape = struct.pack(f"<I{array.ndim}{'q' if layout else 'I'}", array.ndim, *array.shape)
    context = struct.pack("<iii", 1, 0, TYPES[array.dtype.name])
    return head + shape + context + np.ascontiguousarray(array).tobytes()


def params_bytes(arrays: dict[str, np.ndarray], layout: int = 0) -> bytes:
    """A `.params` file."""
    body = struct.pack("<QQQ", 0x112, 0, len(arrays)) + b"".join(array_bytes(a, layout) for a in arrays.values())
    body += struct.pack("<Q", len(arrays))
    for name in arrays:
        full = f"arg:{name}".encode()
        body += struct.pack("<Q", len(full)) + full
    return body


class Net:
    """A symbol in the making: `net.op("Convolution", [x, net.param("w", data)], kernel=(3, 3))`."""

    def __init__(self, *, attrs_key: str = "attrs") -> None:
        self.nodes: list[dict[str, Any]] = []
        self.params: dict[str, np.ndarray] = {}
        self.key = attrs_key

    def variable(self, name: str, **attrs: Any) -> list[int]:
        return self._node("null", name, [], attrs)

    def param(self, name: str, data: Any) -> list[int]:
        self.params[name] = np.asarray(data)
        return self.variable(name)

    def op(self, op: str, inputs: list[list[int]], name: str = "", **attrs: Any) -> list[int]:
        return self._node(op, name or f"{op.lower()}{len(self.nodes)}", inputs, attrs)

    def _node(self, op: str, name: str, inputs: list[list[int]], attrs: dict[str, Any]) -> list[int]:
        node: dict[str, Any] = {"op": op, "name": name, "inputs": inputs}
        if attrs:
            node[self.key] = {k: str(v) for k, v in attrs.items()}
        self.nodes.append(node)
        return [len(self.nodes) - 1, 0, 0]

    def batch_norm(self, x: list[int], channels: int, rng: np.random.Generator, **attrs: Any) -> list[int]:
        stem = f"bn{len(self.nodes)}"
        parts = {"gamma": rng.normal(1, 0.5, channels), "beta": rng.normal(size=channels),
                 "mean": rng.normal(size=channels), "var": rng.uniform(0.5, 2, channels)}  # fmt: skip
        return self.op(
            "BatchNorm", [x, *(self.param(f"{stem}_{k}", v.astype("f4")) for k, v in parts.items())], **attrs
        )

    def write(self, folder: Path, *heads: list[int], layout: int = 0, prefix: str = "net") -> Path:
        """Writes both files; returns the symbol's path."""
        outputs = list(heads) or [[len(self.nodes) - 1, 0, 0]]
        graph = {
            "nodes": self.nodes,
            "arg_nodes": [i for i, n in enumerate(self.nodes) if n["op"] == "null"],
            "heads": outputs,
            "attrs": {"mxnet_version": ["int", 10500]},
        }
        symbol = folder / f"{prefix}-symbol.json"
        symbol.write_text(json.dumps(graph))
        (folder / f"{prefix}-0007.params").write_bytes(params_bytes(self.params, layout))
        return symbol


def pack_words(signs: np.ndarray, bits: int) -> np.ndarray:
    """Consecutive signs (True: +1) as words stored in an array of floats, as the model converter writes them."""
    words = np.packbits(signs.reshape(-1), bitorder="little").view(f"<u{bits // 8}")
    return words.view("<f8" if bits == 64 else "<f4")


def pack_dense(signs: np.ndarray, bits: int) -> np.ndarray:
    """Signs (outputs, features) as words (features / bits, outputs)."""
    outputs, features = signs.shape
    return pack_words(signs.reshape(outputs, features // bits, bits).transpose(1, 0, 2), bits)
