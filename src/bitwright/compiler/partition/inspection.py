"""`inspect` for a file with parts for onnxruntime: the native parts as ever, and where each node runs and why."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bitwright.runtime.container import Container, read_container
from bitwright.runtime.errors import ModelError

from ..bwm_read import read
from ..costs import weight_bits
from ..errors import BwmFormatError
from ..inspection import (
    Inspection,
    Layer,
    NodePlace,
    PartInspection,
    Tensor,
    bytes_by_kind,
    computed_by,
    kernels_of,
    layer_of,
    origin,
)
from ..program import Program


def open_container(path: str | os.PathLike[str]) -> Container:
    """The checked file. Raises `BwmFormatError`."""
    try:
        return read_container(path)
    except ModelError as error:
        raise BwmFormatError(str(error)) from None


def inspect_parts(path: str | os.PathLike[str]) -> Inspection:
    """Reads a file of several parts; see `inspect`."""
    container = open_container(path)
    manifest = container.manifest
    contents: list[tuple[bytes, Program | None]] = []
    for i, facts in enumerate(manifest["parts"]):
        data = container.bytes_of(i)
        contents.append((data, read(data) if facts["kind"] == "native" else None))
    programs = [program for _, program in contents if program is not None]
    count = sum(1 if program is None else len(program.ops) for _, program in contents)
    kernels = kernels_of(path, count)
    layers: list[Layer] = []
    places: list[NodePlace] = []
    for i, (facts, (_, program)) in enumerate(zip(manifest["parts"], contents, strict=True)):
        first = len(layers)
        if program is None:
            layers.append(_onnx_layer(first, i, manifest))
            by: Mapping[str, str] = {}
        else:
            layers += [layer_of(first + k, op, kernels[first + k]) for k, op in enumerate(program.ops)]
            by = computed_by(program, layers[first:])
        for node in _nodes(facts["nodes"]):
            places.append(_place(node, i, facts["kind"], by))
    for node in _nodes(manifest.get("folded")):
        places.append(NodePlace(node["name"], node["op"], "folded", "the compiler", "known at compile time"))
    kinds = _bytes(container, contents)
    tensors = manifest["tensors"]
    return Inspection(
        path=os.fspath(path),
        name=str(manifest.get("name", "")),
        version="1.0 in parts",
        **origin(manifest),
        file_bytes=container.file_bytes,
        bytes_by_kind=kinds,
        arena_bytes=sum(max(v.offset + v.bytes for v in program.values()) for program in programs),
        inputs=tuple(_tensor(n, tensors) for n in manifest["inputs"]),
        outputs=tuple(_tensor(n, tensors) for n in manifest["outputs"]),
        layers=tuple(layers),
        binary_macs=sum(x.binary_macs for x in layers),
        float_macs=sum(x.float_macs for x in layers),
        binary_weights=sum(weight_bits(op) for program in programs for op in program.ops),
        int8_macs=sum(x.int8_macs for x in layers),
        quantization=manifest["quantization"] if isinstance(manifest.get("quantization"), dict) else None,
        nodes=tuple(places),
        parts=tuple(_part(i, container) for i in range(len(contents))),
    )


def _nodes(found: Any) -> list[dict[str, str]]:
    """The well-formed entries of a list of nodes: it informs, nothing runs by it."""
    keys = ("name", "op", "place", "why")
    return [
        {key: str(node.get(key, "")) for key in keys}
        for node in (found if isinstance(found, list) else [])
        if isinstance(node, dict)
    ]


def _place(node: Mapping[str, str], part: int, kind: str, by: Mapping[str, str]) -> NodePlace:
    if kind == "onnxruntime":
        return NodePlace(node["name"], node["op"], kind, f"part {part}", node["why"])
    op = by.get(node["name"])
    if op is not None:
        return NodePlace(node["name"], node["op"], kind, f"part {part}: {op}", "the engine has it")
    return NodePlace(
        node["name"], node["op"], kind, f"part {part}", "moves no data: a view, or folded into its neighbours"
    )


def _onnx_layer(index: int, part: int, manifest: Mapping[str, Any]) -> Layer:
    facts = manifest["parts"][part]
    ops = list(dict.fromkeys(node["op"] for node in _nodes(facts["nodes"])))
    text = ", ".join(ops[:4]) + (", …" if len(ops) > 4 else "")
    results = tuple(str(manifest["tensors"][n].get("dtype", "sequence")) for n in facts["outputs"])
    return Layer(
        index, text or "constants", "ONNX", "", "-", (), (), f"part {part}", (), results, 0, 0, 0, 0, "onnxruntime"
    )


def _tensor(name: str, tensors: Mapping[str, Any]) -> Tensor:
    facts = tensors[name]
    if "type" in facts:
        return Tensor(name, str(facts["type"]), ())
    shape = facts["shape"]
    return Tensor(name, str(facts["dtype"]), tuple("?" if n is None else n for n in shape or ()))


def _part(index: int, container: Container) -> PartInspection:
    facts = container.manifest["parts"][index]
    made = {n for part in container.manifest["parts"][:index] for n in part["outputs"]}
    sizes = [_sample_bytes(container.manifest["tensors"][n]) for n in facts["inputs"] if n in made]
    total = None if None in sizes else sum(n for n in sizes if n is not None)
    return PartInspection(facts["kind"], len(facts["nodes"]), container.parts[index].size, len(sizes), total)


def _sample_bytes(facts: Mapping[str, Any]) -> int | None:
    shape = facts.get("shape")
    if "type" in facts or shape is None or facts["dtype"] == "str" or not all(isinstance(n, int) for n in shape[1:]):
        return None
    return int(np.prod([float(n) for n in shape[1:]])) * np.dtype(facts["dtype"]).itemsize


def _bytes(container: Container, contents: list[tuple[bytes, Program | None]]) -> dict[str, int]:
    """Every byte of the file, by what it is for."""
    kinds: dict[str, int] = {}
    for data, program in contents:
        found = {"parts for onnxruntime": len(data)} if program is None else bytes_by_kind(data, program)
        for kind, n in found.items():
            kinds[kind] = kinds.get(kind, 0) + n
    rest = container.file_bytes - sum(kinds.values())
    kinds["manifest, container"] = rest
    return kinds


__all__ = ["inspect_parts", "open_container"]
