"""Damaged and hostile ONNX files end in one error of the importer, quickly, or in a model as good as the file."""

from __future__ import annotations

import contextlib
import io
import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.importers.patterns import imported

from bitwright import importers

FIXTURES = sorted((Path(__file__).parent / "fixtures" / "qonnx").glob("*.onnx"))


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_mutated_files(path: Path, tmp_path: Path) -> None:
    """Bytes changed, cut and repeated at random."""
    data = path.read_bytes()
    rng = random.Random(7)
    target = tmp_path / "net.onnx"
    refused = 0
    for _ in range(150):
        mutant = bytearray(data)
        for _ in range(rng.choice((1, 1, 4))):
            kind, at = rng.randrange(3), rng.randrange(len(mutant))
            if kind == 0:
                mutant[at] = rng.randrange(256)
            elif kind == 1:
                del mutant[at : at + rng.randrange(1, 64)]
            else:
                mutant[at:at] = mutant[at : at + rng.randrange(1, 32)]
        target.write_bytes(bytes(mutant))
        try:
            importers.load(target)
        except importers.ImportModelError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("path", FIXTURES, ids=lambda p: p.stem)
def test_mutated_graphs(path: Path, tmp_path: Path) -> None:
    """Names, attributes and shapes exchanged: the file parses, the graph makes no sense."""
    rng = random.Random(3)
    target = tmp_path / "net.onnx"
    for _ in range(80):
        model = onnx.load(path)
        node = rng.choice(model.graph.node)
        other = rng.choice(model.graph.node)
        match rng.randrange(6):
            case 0:
                node.input[rng.randrange(len(node.input))] = rng.choice(other.output)
            case 1:
                node.output[0] = other.output[0]
            case 2:
                node.op_type = other.op_type
            case 3:
                del node.input[rng.randrange(len(node.input)) :]
            case 4:
                tensor = rng.choice(model.graph.initializer)
                tensor.dims.append(rng.choice((0, 3, -1, 2**40)))
            case _:
                for attribute in node.attribute:
                    attribute.i = rng.choice((-1, 0, 2**40))
                    attribute.ints.append(rng.choice((-1, 2**40)))
        target.write_bytes(model.SerializeToString())
        with contextlib.suppress(importers.ImportModelError):
            importers.load(target)


def conv_model(nodes: list[onnx.NodeProto], **constants: np.ndarray) -> onnx.ModelProto:
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3, 5, 5]) for n in "xy"]
    initializers = [numpy_helper.from_array(v, k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_constant_that_would_be_huge_is_not_computed() -> None:
    shape = np.array([1 << 20, 1 << 20, 3, 3], np.int64)
    nodes = [
        helper.make_node("Expand", ["one", "shape"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"]),
    ]
    model = conv_model(nodes, one=np.ones((1, 1, 1, 1), np.float32), shape=shape)
    assert imported(model).model == model


def test_constants_nested_deeply() -> None:
    w = np.where(np.random.default_rng(0).random((3, 3, 1, 1)) < 0.5, -1, 1).astype(np.float32)
    nodes = [helper.make_node("Neg", [f"w{i}"], [f"w{i + 1}"]) for i in range(3000)]
    nodes += [
        helper.make_node("Greater", ["x", "zero"], ["c"]),
        helper.make_node("Where", ["c", "one", "minus"], ["b"]),
    ]
    nodes += [helper.make_node("Conv", ["b", "w3000"], ["y"])]
    numbers = {"zero": np.float32(0), "one": np.float32(1), "minus": np.float32(-1)}
    found = imported(conv_model(nodes, w0=w, **{k: np.asarray(v) for k, v in numbers.items()}))
    assert [n.op_type for n in found.model.graph.node] == ["BinaryConv"]


def test_deep_chains() -> None:
    nodes = [helper.make_node("Add", ["x" if i == 0 else f"t{i}", "one"], [f"t{i + 1}"]) for i in range(2000)]
    nodes += [helper.make_node("Conv", ["t2000", "w"], ["y"])]
    model = conv_model(nodes, one=np.ones((), np.float32), w=np.full((3, 3, 1, 1), 0.3, np.float32))
    assert imported(model).model == model


def test_external_data_that_leaves_the_folder(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(36))
    (tmp_path / "inside").mkdir()
    model = conv_model([helper.make_node("Conv", ["x", "w"], ["y"])], w=np.zeros((3, 3, 1, 1), np.float32))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    buffer = io.BytesIO(model.SerializeToString())
    (tmp_path / "inside" / "net.onnx").write_bytes(buffer.getvalue())
    with pytest.raises(importers.ImportModelError, match=r"net\.onnx"):
        importers.load(tmp_path / "inside" / "net.onnx")
