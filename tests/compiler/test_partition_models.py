"""Small models of others: exported from torch, or classical ones in ai.onnx.ml. They run in parts, and the whole equals
onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from bitwright.compiler import compile, verify
from bitwright.runtime import Session

from .graphs import Array, Builder, onnxruntime
from .test_partition import check_equal


class Depthwise(nn.Module):
    """MobileNet's block, with a hard sigmoid gate."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, stride=2, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.norm = nn.BatchNorm2d(16)
        self.point = nn.Conv2d(16, 24, 1)
        self.head = nn.Linear(24, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.relu6(self.norm(self.depthwise(nn.functional.silu(self.stem(x)))))
        return self.head(nn.functional.elu(self.point(y)).mean((2, 3))).softmax(1)


class Recurrent(nn.Module):
    """A bidirectional LSTM and a GRU, over an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(12, 5, batch_first=True)
        self.head = nn.Linear(5, 4)

    def forward(self, ids: Tensor) -> Tensor:
        y, _ = self.gru(self.lstm(self.embed(ids))[0])
        return self.head(y[:, -1])


class Attention(nn.Module):
    """A transformer encoder layer with two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        a, weights = self.attention(x, y, y)
        z = self.norm(x + a)
        return z + self.down(nn.functional.gelu(self.up(z))), weights


class Resize(nn.Module):
    """Up and down, with a pixel shuffle and a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.last = nn.Conv2d(15, 12, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = nn.functional.interpolate(torch.relu(self.first(x)), scale_factor=2.0, mode="bilinear", align_corners=False)
        y = nn.functional.interpolate(nn.functional.max_pool2d(y, 2), size=(8, 8), mode="nearest")
        return nn.functional.pixel_shuffle(self.last(torch.cat([x, y], 1)), 2)


class Half(nn.Module):
    """float16 in and out, integers beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 3, padding=1)

    def forward(self, x: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
        y = self.conv(x.float() + shift[:, None, None, None].float())
        return y.half(), y.argmax(1)


def floats(*shape: int) -> Callable[[int], Tensor]:
    return lambda n: torch.randn(n, *shape)


def integers(high: int, *shape: int, dtype: torch.dtype = torch.int64) -> Callable[[int], Tensor]:
    return lambda n: torch.randint(0, high, (n, *shape), dtype=dtype)


MODELS: dict[str, tuple[Callable[[], nn.Module], list[Callable[[int], Tensor]]]] = {
    "depthwise": (Depthwise, [floats(3, 16, 16)]),
    "recurrent": (Recurrent, [integers(20, 7)]),
    "attention": (Attention, [floats(6, 16), floats(9, 16)]),
    "resize": (Resize, [floats(3, 8, 8)]),
    "half": (Half, [lambda n: torch.randn(n, 3, 8, 8).half(), integers(3, dtype=torch.int32)]),
}


def exported(net: nn.Module, example: tuple[Tensor, ...], dynamic: bool) -> onnx.ModelProto:
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = tuple({0: batch} for _ in example) if dynamic else None
    program = torch.onnx.export(net, example, dynamo=True, dynamic_shapes=shapes, verbose=False)
    assert program is not None
    return program.model_proto


@pytest.mark.parametrize("dynamic", [True, False], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("name", MODELS)
def test_exported_from_torch(name: str, dynamic: bool, tmp_path: Path) -> None:
    make, inputs = MODELS[name]
    torch.manual_seed(0)
    net = make().eval()
    model = exported(net, tuple(f(3) for f in inputs), dynamic)
    report = compile(model, tmp_path / "net.bwm")
    assert report.partition is not None
    session = Session(tmp_path / "net.bwm", threads=2)
    for n in (1, 3, 5) if dynamic else (3,):
        given = [f(n) for f in inputs]
        arrays = [x.numpy() for x in given]
        wanted = onnxruntime(model, *arrays)
        check_equal(session, wanted, session.run(*arrays))
        with torch.no_grad():
            answer = net(*given)
        first = (answer if isinstance(answer, tuple) else (answer,))[0].float().numpy()
        np.testing.assert_allclose(wanted[0].astype(np.float32), first, atol=2e-3)
    assert verify(model, tmp_path / "net.bwm", {i.name: a for i, a in zip(session.inputs, arrays, strict=True)}).ok


def binary_head(b: Builder, x: str) -> str:
    """Binary layers of ours behind x [N, 3, 8, 8]: a vector of 6 features."""
    y = b.bconv(b.conv(x, 3, 32, pads=[1] * 4), 32, 32, pads=[1] * 4)
    return str(b.op("Flatten", b.op("GlobalAveragePool", b.bconv(y, 32, 6))))


def ml_model(b: Builder, nodes: list[onnx.NodeProto], outputs: list[str]) -> onnx.ModelProto:
    b.nodes += nodes
    model = b.model(*outputs)
    for info in model.graph.output:
        info.ClearField("type")
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 3))
    return model


def test_a_linear_classifier_behind_binary_layers(tmp_path: Path) -> None:
    """sklearn's LogisticRegression as skl2onnx writes it: Scaler, LinearClassifier, Normalizer, ZipMap."""
    b = Builder((3, 8, 8))
    x = binary_head(b, "x")
    r = np.random.default_rng(0)
    nodes = [
        helper.make_node("Scaler", [x], ["scaled"], domain="ai.onnx.ml", offset=[0.1] * 6, scale=[0.5] * 6),
        helper.make_node(
            "LinearClassifier", ["scaled"], ["label", "raw"], domain="ai.onnx.ml", classlabels_ints=[3, 5, 8],
            coefficients=r.normal(size=18).tolist(), intercepts=r.normal(size=3).tolist(), multi_class=1,
            post_transform="SOFTMAX",
        ),
        helper.make_node("Normalizer", ["raw"], ["probabilities"], domain="ai.onnx.ml", norm="L1"),
        helper.make_node("ZipMap", ["probabilities"], ["zipped"], domain="ai.onnx.ml", classlabels_int64s=[3, 5, 8]),
    ]  # fmt: skip
    model = ml_model(b, nodes, ["label", "probabilities", "zipped"])
    report = compile(model, tmp_path / "net.bwm")
    assert report.partition is not None
    assert [p.kind for p in report.partition.parts] == ["native", "onnxruntime"]
    session = Session(tmp_path / "net.bwm")
    images = b.normal(4, 3, 8, 8)
    label, probabilities, zipped = session.run(images)
    wanted = onnxruntime(model, images)
    np.testing.assert_array_equal(label, wanted[0])
    np.testing.assert_allclose(probabilities, wanted[1], atol=1e-5)
    assert [set(row) for row in zipped] == [{3, 5, 8}] * 4
    assert session.outputs[0].dtype == np.int64
    assert session.outputs[2].dtype == object
    assert verify(model, tmp_path / "net.bwm", images).ok


def test_a_tree_ensemble_with_string_labels(tmp_path: Path) -> None:
    """A decision stump over binary features; classes are strings."""
    b = Builder((3, 8, 8))
    x = binary_head(b, "x")
    images = b.normal(16, 3, 8, 8)
    middle = float(np.median(onnxruntime(b.model(x), images)[0][:, 2]))
    node = helper.make_node(
        "TreeEnsembleClassifier", [x], ["label", "scores"], domain="ai.onnx.ml",
        class_ids=[0, 1, 0, 1], class_nodeids=[1, 1, 2, 2], class_treeids=[0] * 4, class_weights=[0.9, 0.1, 0.2, 0.8],
        classlabels_strings=["cat", "dog", "emu"], nodes_falsenodeids=[2, 0, 0], nodes_featureids=[2, 0, 0],
        nodes_missing_value_tracks_true=[0, 0, 0], nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_nodeids=[0, 1, 2],
        nodes_treeids=[0, 0, 0], nodes_truenodeids=[1, 0, 0], nodes_values=[middle, 0.0, 0.0], post_transform="NONE",
    )  # fmt: skip
    model = ml_model(b, [node], ["label", "scores"])
    compile(model, tmp_path / "net.bwm")
    session = Session(tmp_path / "net.bwm")
    label, scores = session.run(images)
    wanted = onnxruntime(model, images)
    assert list(label) == list(wanted[0])
    assert set(label) == {"cat", "dog"}
    np.testing.assert_allclose(scores, wanted[1], atol=1e-6)


def test_text_goes_in(tmp_path: Path) -> None:
    """A string input, looked up beside a binary network."""
    b = Builder((3, 8, 8))
    b.inputs.append(helper.make_tensor_value_info("word", TensorProto.STRING, ["N"]))
    y = binary_head(b, "x")
    node = helper.make_node(
        "LabelEncoder", ["word"], ["code"], domain="ai.onnx.ml", keys_strings=["a", "b"], values_floats=[1.0, 2.0]
    )
    b.nodes.append(node)
    shifted = b.op("Add", y, b.op("Unsqueeze", "code", b.ints(1)))
    model = ml_model(b, [], [shifted])
    compile(model, tmp_path / "net.bwm")
    session = Session(tmp_path / "net.bwm")
    images: Array = b.normal(2, 3, 8, 8)
    words: Any = np.array(["b", "a"])
    check_equal(session, onnxruntime(model, images, words.astype(object)), session.run(images, words))


def test_a_loop_reads_the_outer_graph(tmp_path: Path) -> None:
    """Scan and captured tensors: a body that adds a native map to its state."""
    b = Builder((3, 8, 8))
    y = b.bconv(b.conv("x", 3, 32), 32, 3, pads=[1] * 4)
    step = [helper.make_node("Add", ["state", y], ["sum"]), helper.make_node("Identity", ["go"], ["on"])]
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        step, "body", [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("state", 1, None)],
        [value("on", TensorProto.BOOL, []), value("sum", 1, None)],
    )  # fmt: skip
    b.constants.append(numpy_helper.from_array(np.array(True), "yes"))
    out = b.op("Loop", b.const(3, np.int64), "yes", y, body=body)
    model = b.model(out)
    report = compile(model, tmp_path / "net.bwm")
    assert report.partition is not None
    assert [p.kind for p in report.partition.parts] == ["native", "onnxruntime"]
    session = Session(tmp_path / "net.bwm")
    x = b.normal(2, 3, 8, 8)
    check_equal(session, onnxruntime(model, x), session.run(x))
