"""Recognition by content, and the errors of files that nobody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from bitwright import cli, importers
from bitwright.compiler.dialect import BinarizeAttrs
from bitwright.importers.build import GraphBuilder


def binarize_model() -> onnx.ModelProto:
    build = GraphBuilder("net")
    x = build.input("x", ["N", 3, 4, 4])
    build.output(build.dialect(BinarizeAttrs(-1.0, 1), [x, build.constant(np.zeros(1, np.float32))]), "y")
    return build.finish({"import.format": "test"})


def test_every_format_has_a_title() -> None:
    formats = importers.list_formats()
    assert {"bitwright", "onnx"} <= {f.name for f in formats}
    assert all(f.title for f in formats)


def test_our_export_passes_unchanged(tmp_path: Path) -> None:
    onnx.save(binarize_model(), tmp_path / "misnamed.tflite")
    imported = importers.load(tmp_path / "misnamed.tflite")
    assert imported.format == "bitwright"
    assert imported.model == binarize_model()
    assert imported.save(tmp_path / "again.onnx").read_bytes() == (tmp_path / "misnamed.tflite").read_bytes()


@pytest.mark.parametrize("content", [b"", b"hello world", b"\x08\x0a\xff\xff\xff", b"PK\x03\x04", bytes(5000)])
def test_an_unknown_file_lists_the_formats(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(importers.ImportModelError, match=r"of no known format.*bitwright:") as caught:
        importers.load(tmp_path / "model.onnx")
    assert "model.onnx" in str(caught.value)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(importers.ImportModelError, match="a folder or an empty file"):
        importers.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no\.onnx"):
        importers.load(tmp_path / "no.onnx")


def test_an_unknown_format_name(tmp_path: Path) -> None:
    onnx.save(binarize_model(), tmp_path / "net.onnx")
    with pytest.raises(importers.ImportModelError, match=r"unknown format 'larqq'; known are .*onnx"):
        importers.load(tmp_path / "net.onnx", format="larqq")


def test_a_damaged_dialect_node_is_named(tmp_path: Path) -> None:
    model = binarize_model()
    del model.graph.node[0].attribute[:]
    onnx.save(model, tmp_path / "net.onnx")
    with pytest.raises(importers.ImportModelError, match=r"net\.onnx: Binarize node 'y' lacks"):
        importers.load(tmp_path / "net.onnx")


def test_the_verb_writes_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(binarize_model(), tmp_path / "net.onnx")
    assert cli.main(["import", str(tmp_path / "net.onnx"), "--output", str(tmp_path / "out.onnx")]) == 0
    assert "ai.bitwright::Binarize" in capsys.readouterr().out
    assert onnx.load(tmp_path / "out.onnx") == binarize_model()


def test_the_builder_refuses_a_graph_that_cannot_be() -> None:
    build = GraphBuilder("broken")
    x = build.input("x", ["N", 3])
    build.output(build.node("MatMul", [x, build.constant(np.zeros((4, 2), np.float32))]), "y")
    with pytest.raises(importers.ImportModelError, match="broken: the imported graph is not valid"):
        build.finish()


def test_the_builder_shares_equal_constants_and_keeps_scalars() -> None:
    build = GraphBuilder("net")
    one = build.constant(np.float32(1))
    assert build.constant(np.float32(1)) == one
    assert build.constant(np.ones(1, np.float32)) != one
    value = build.value(one)
    assert value is not None
    assert value.shape == ()
    assert build.value("x") is None


def test_the_builder_knows_shapes_as_it_goes() -> None:
    build = GraphBuilder("net")
    x = build.input("x", ["N", 3, 4, 4])
    bits = build.dialect(BinarizeAttrs(-1.0, 1), [x, build.constant(np.zeros(1, np.float32))])
    flat = build.node("Flatten", [bits])
    assert build.shape(bits) == ("N", 3, 4, 4)
    assert build.shape(flat) == ("N", 48)
    assert build.shape(build.node("Add", [flat, build.constant(np.zeros(7, np.float32))])) is None
    assert build.shape("nothing") is None


def test_options_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"input_shape must be positive sizes.*\(0, 3\)"):
        importers.ImportOptions(input_shape=(0, 3))


def test_helper_models_are_onnx() -> None:
    """A plain model of standard operators is of the format onnx, and needs no change."""
    node = helper.make_node("Relu", ["x"], ["y"])
    info = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["N", 3]) for n in "xy"]
    model = helper.make_model(helper.make_graph([node], "g", info[:1], info[1:]))
    assert {n.op_type for n in model.graph.node} == {"Relu"}


def test_an_output_keeps_its_name() -> None:
    """Whoever has the name of an output is renamed; the tensor's own node takes it where it can."""
    build = GraphBuilder("net")
    x = build.input("x", ["N", 3])
    inner = build.node("Relu", [x], name="y")
    build.output(build.node("Neg", [inner], name="z"), "y")
    build.output(inner, "w")
    build.output(x, "same")
    graph = build.finish().graph
    assert [o.name for o in graph.output] == ["y", "w", "same"]
    assert [(n.op_type, list(n.input), list(n.output)) for n in graph.node] == [
        ("Relu", ["x"], ["w"]),
        ("Neg", ["w"], ["y"]),
        ("Identity", ["x"], ["same"]),
    ]
