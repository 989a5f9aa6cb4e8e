"""The two files of a BMXNet model: finding them, their layouts through the years, and what damaged ones say."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import onnx
import pytest

from bitwright import cli, importers
from bitwright.importers import ImportModelError, ImportOptions

from .mxnet_files import Net, array_bytes, pack_words, params_bytes

OPTIONS = ImportOptions(input_shape=(64, 4, 4))


def small(key: str = "attrs") -> Net:
    """Batch norm, a packed binary convolution, and a classifier."""
    rng = np.random.default_rng(5)
    net = Net(attrs_key=key)
    x = net.batch_norm(net.variable("data"), 64, rng)
    packed = net.param("w", pack_words(rng.normal(size=(8, 64, 3, 3)) >= 0, 64))
    x = net.op("QConvolution", [x, packed], "qconv", kernel=(3, 3), num_filter=8, binarized_weights_only=True)
    x = net.op("FullyConnected", [x, net.param("fw", np.ones((3, 32), "f4")), net.param("fb", np.ones(3, "f4"))], "fc",
               num_hidden=3)  # fmt: skip
    net.op("SoftmaxOutput", [x, net.variable("softmax_label")], "softmax")
    return net


@pytest.mark.parametrize("layout", [0, 1, 2, 3])
@pytest.mark.parametrize("key", ["attr", "attrs", "param"])
def test_every_layout_gives_the_same_model(tmp_path: Path, layout: int, key: str) -> None:
    symbol = small(key).write(tmp_path, layout=layout)
    models = [importers.load(path, options=OPTIONS).model for path in (symbol, tmp_path / "net-0007.params")]
    first = importers.load(small().write(tmp_path, prefix="first"), options=OPTIONS).model
    for model in (*models, first):
        del model.metadata_props[:]
    assert models[0] == models[1] == first


def test_what_is_remembered_and_reported(tmp_path: Path) -> None:
    imported = importers.load(small().write(tmp_path), options=OPTIONS)
    text = str(imported)
    assert "qconv" in text
    assert "QConvolution 1-bit inputs, 1-bit weights (64-bit words) -> BinaryConv 3x3, 64 -> 8" in text
    assert "the outputs are the logits" in text
    kept = {p.key: p.value for p in imported.model.metadata_props}
    assert kept["import.format"] == "bmxnet"
    assert kept["import.params"] == "net-0007.params"
    assert len(kept["import.params.sha256"]) == 64
    assert [o.name for o in imported.model.graph.output] == ["fc_output"]


def test_logits_that_are_an_output_already(tmp_path: Path) -> None:
    net = small()
    names = [n["name"] for n in net.nodes]
    symbol = net.write(tmp_path, [names.index("fc"), 0, 0], [names.index("softmax"), 0, 0])
    outputs = [[o.name for o in importers.load(symbol, options=options).model.graph.output]
               for options in (OPTIONS, ImportOptions(OPTIONS.input_shape, probabilities=True))]  # fmt: skip
    assert outputs == [["fc_output"], ["fc_output", "softmax_output"]]


def test_recognised_by_content(tmp_path: Path) -> None:
    small().write(tmp_path, prefix="net")
    (tmp_path / "net.json").write_bytes((tmp_path / "net-symbol.json").read_bytes())
    (tmp_path / "net-symbol.json").unlink()
    assert importers.recognise(tmp_path / "net.json").name == "bmxnet"
    assert importers.recognise(tmp_path / "net-0007.params").name == "bmxnet"
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(ImportModelError, match="no known format"):
        importers.recognise(tmp_path / "other.json")


def test_the_other_file_is_missing(tmp_path: Path) -> None:
    symbol = small().write(tmp_path)
    (tmp_path / "net-0007.params").rename(tmp_path / "weights.params")
    with pytest.raises(ImportModelError, match=r"parameters are missing. Looked for net-NNNN.params and net.params"):
        importers.load(symbol, options=OPTIONS)
    with pytest.raises(
        ImportModelError, match=r"graph, the symbol file, is missing.*weights-symbol.json, weights.json"
    ):
        importers.load(tmp_path / "weights.params", options=OPTIONS)


def test_several_epochs_are_not_chosen_from(tmp_path: Path) -> None:
    symbol = small().write(tmp_path)
    (tmp_path / "net-0008.params").write_bytes((tmp_path / "net-0007.params").read_bytes())
    with pytest.raises(ImportModelError, match=r"net-0007.params, net-0008.params\); give the one"):
        importers.load(symbol, options=OPTIONS)
    assert "net-0008.params" in importers.load(tmp_path / "net-0008.params", options=OPTIONS).source


def test_the_input_shape_is_asked_for_or_found(tmp_path: Path) -> None:
    symbol = small().write(tmp_path)
    with pytest.raises(ImportModelError, match=r"shape of the model's input 'data' \(it has 64 channels\); give"):
        importers.load(symbol)
    net = small()
    net.nodes[0]["attrs"] = {"__shape__": "(0, 64, 4, 4)"}
    model = importers.load(net.write(tmp_path, prefix="hint")).model
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim[1:]] == [64, 4, 4]


def test_all_problems_at_once(tmp_path: Path) -> None:
    net = Net()
    x = net.variable("data")
    a = net.op("ROIPooling", [x], "roi")
    b = net.op("Activation", [x], "act", act_type="swish")
    c = net.op("Convolution", [x, net.variable("lost")], "conv", kernel=(3, 3), num_filter=4, no_bias=True)
    d = net.op("Pooling", [x], "pool", kernel=(3, 3), pool_type="lp")
    e = net.op("LRN", [a], "behind")
    symbol = net.write(tmp_path, a, b, c, d, e)
    with pytest.raises(ImportModelError) as caught:
        importers.load(symbol, options=ImportOptions(input_shape=(3, 8, 8)))
    text = str(caught.value)
    assert "5 nodes cannot be imported" in text
    assert "roi (ROIPooling): the importer does not know this operator; it knows Activation" in text
    assert "act (Activation): its act_type is 'swish'; known are relu" in text
    assert "conv (Convolution): its weight, the parameter 'lost', is not in the parameter file" in text
    assert "pool (Pooling): its pool_type is 'lp'" in text
    assert "behind (LRN)" in text


@pytest.mark.parametrize(
    ("attrs", "said"),
    [
        ({"kernel": "(3, 3", "num_filter": 4}, r"its kernel is '\(3, 3'; it must be integers"),
        ({"kernel": (3, 3), "num_filter": "four"}, "its num_filter is 'four'; it must be an integer from 1"),
        ({"kernel": (3, 3), "num_filter": 0}, "its num_filter is '0'"),
        ({"num_filter": 4}, "its attribute 'kernel' is missing"),
        (
            {"kernel": (3, 3), "num_filter": 4, "stride": (1, 0)},
            r"its stride is '\(1, 0\)'; it must be 2 integers from 1",
        ),
        ({"kernel": (3, 3), "num_filter": 4, "layout": "NHWC"}, "its layout is NHWC; only NCHW"),
        ({"kernel": (3, 3), "num_filter": 5}, r"weight has shape \[4, 3, 3, 3\], its input and attributes ask for \[5"),
        ({"kernel": (3, 3), "num_filter": 4, "no_bias": "maybe"}, "its no_bias is 'maybe'; it must be True or False"),
        ({"kernel": (9, 9), "num_filter": 4}, "weight has shape"),
    ],
)
def test_bad_attributes_are_named(tmp_path: Path, attrs: dict[str, object], said: str) -> None:
    net = Net()
    net.op("Convolution", [net.variable("data"), net.param("w", np.ones((4, 3, 3, 3), "f4"))], "conv",
           **({"no_bias": True} | attrs))  # fmt: skip
    with pytest.raises(ImportModelError, match=said):
        importers.load(net.write(tmp_path), options=ImportOptions(input_shape=(3, 8, 8)))


@pytest.mark.parametrize(
    ("op", "attrs", "weights", "said"),
    [
        ("QConvolution", {"kernel": (3, 3), "num_filter": 8}, np.zeros(71), "71 words of 64 bits, but it has 4608"),
        ("QConvolution", {"kernel": (3, 3), "num_filter": 8}, np.zeros(144, "i1"), "packed weights are int8"),
        (
            "QConvolution",
            {"kernel": (3, 3), "num_filter": 8, "scaling_mode": "forward"},
            np.zeros(72),
            "mean .* is lost",
        ),
        ("QConvolution", {"kernel": (3, 3), "num_filter": 8, "act_bit": 33}, np.zeros(72), "act_bit is 33"),
        ("QConvolution", {"kernel": (3, 3), "num_filter": 8, "weight_bit": 3}, np.zeros(72), "weight has shape"),
        ("QFullyConnected", {"num_hidden": 3}, np.zeros((3, 5), "f4"), "ask for .3, 1024."),
        ("QFullyConnected", {"num_hidden": 3}, np.full((3, 1024), np.nan, "f4"), "contains NaN"),
        ("QFullyConnected", {"num_hidden": 3}, np.zeros((3, 1024)), "float64; only float32"),
    ],
)
def test_weights_that_do_not_fit(
    tmp_path: Path, op: str, attrs: dict[str, object], weights: np.ndarray, said: str
) -> None:
    net = Net()
    net.op(op, [net.variable("data"), net.param("w", weights)], "layer", **attrs)
    with pytest.raises(ImportModelError, match=rf"layer \({op}\): .*{said}"):
        importers.load(net.write(tmp_path), options=OPTIONS)


BROKEN_PARAMS = {
    "no magic": (b"\x13" + params_bytes({})[1:], "no known format"),
    "count": (struct.pack("<QQQ", 0x112, 0, 1 << 60), "arrays, more than its bytes"),
    "huge shape": (struct.pack("<QQQIIIiii", 0x112, 0, 1, 2, 2**31, 2**31, 1, 0, 0) + bytes(64), "the file ends"),
    "rank": (struct.pack("<QQQI", 0x112, 0, 1, 99) + bytes(99 * 8), "has rank 99"),
    "type": (struct.pack("<QQQIIiii", 0x112, 0, 1, 1, 1, 1, 0, 55) + bytes(64), "has the type 55"),
    "sparse": (struct.pack("<QQQIi", 0x112, 0, 1, 0xF993FAC9, 1) + bytes(64), "is sparse"),
    "negative": (struct.pack("<QQQIIqiii", 0x112, 0, 1, 0xF993FAC8, 1, -5, 1, 0, 0) + bytes(64), "has the shape"),
    "empty": (struct.pack("<QQQII2qiiiQQ", 0x112, 0, 1, 0xF993FAC8, 2, 0, 2**62, 1, 0, 0, 1, 1) + b"w",
              "is not in the parameter file"),
    "names": (params_bytes({"w": np.ones(3, "f4")})[:-16] + bytes(9), "names"),
    "twice": (struct.pack("<QQQ", 0x112, 0, 2) + 2 * array_bytes(np.ones(2, "f4"), 0) + struct.pack("<Q", 2)
              + 2 * (struct.pack("<Q", 5) + b"arg:w"), "two arrays called 'w'"),
    "left over": (params_bytes({"w": np.ones(3, "f4")}) + b"x", "bytes are left over"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_PARAMS)
def test_damaged_parameters(tmp_path: Path, name: str) -> None:
    small().write(tmp_path)
    data, said = BROKEN_PARAMS[name]
    (tmp_path / "net-0007.params").write_bytes(data)
    with pytest.raises(ImportModelError, match=said):
        importers.load(tmp_path / "net-0007.params", options=OPTIONS)


NODE = {"op": "null", "name": "data", "inputs": []}
BROKEN_SYMBOLS = {
    "not json": ('{"nodes": [{"op"', "not valid JSON"),
    "deep": ('{"nodes": [{"op": "null", "x": ' + "[" * 100_000, "not valid JSON"),
    "no nodes": ('{"nodes": [], "op": 1}', 'no list "nodes"'),
    "no heads": (json.dumps({"nodes": [NODE]}), 'no list "heads"'),
    "no name": (json.dumps({"nodes": [{"op": "null"}], "heads": [[0, 0]]}), 'node 0 has no "op" and "name"'),
    "cycle": (json.dumps({"nodes": [NODE, {"op": "Flatten", "name": "f", "inputs": [[1, 0]]}], "heads": [[1, 0]]}),
              "names node 1; only 0 to 0 come before it"),
    "head": (json.dumps({"nodes": [NODE], "heads": [[7, 0, 0]]}), "names node 7"),
    "entry": (json.dumps({"nodes": [NODE], "heads": [["a", 0]]}), "is not .node, output. of integers"),
    "attrs": (json.dumps({"nodes": [NODE | {"attrs": {"a": [1]}}], "heads": [[0, 0]]}), "must be an object of strings"),
    "output": (json.dumps({"nodes": [NODE, {"op": "Flatten", "name": "f", "inputs": [[0, 0]]}], "heads": [[1, 3]]}),
               "reads output 3 of 'f'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_SYMBOLS)
def test_damaged_symbols(tmp_path: Path, name: str) -> None:
    text, said = BROKEN_SYMBOLS[name]
    (tmp_path / "net-symbol.json").write_text(text)
    (tmp_path / "net-0000.params").write_bytes(params_bytes({}))
    with pytest.raises(ImportModelError, match=said):
        importers.load(tmp_path / "net-symbol.json", format="bmxnet", options=OPTIONS)


def test_truncated_and_mutated_files_never_raise_anything_else(tmp_path: Path) -> None:
    """Every prefix of small files, and thousands of random changes; what loads is a valid model."""
    symbol = small().write(tmp_path)
    params = tmp_path / "net-0007.params"
    rng = np.random.default_rng(1)
    loaded = 0
    for path in (symbol, params):
        whole = path.read_bytes()
        cuts = sorted({*range(min(len(whole), 400)), *rng.integers(0, len(whole), 200).tolist()})
        variants = [whole[:n] for n in cuts]
        for _ in range(700):
            data = bytearray(whole)
            for at in rng.integers(0, len(data) if rng.random() < 0.5 else min(len(data), 300), rng.integers(1, 4)):
                data[at] = rng.choice([0, 0xFF, data[at] ^ 1 << int(rng.integers(8)), int(rng.integers(256))])
            variants.append(bytes(data))
        for data in variants:
            path.write_bytes(data)
            try:
                model = importers.load(path, format="bmxnet", options=OPTIONS).model
            except ImportModelError:
                continue
            loaded += 1
            if loaded % 50 == 0:
                onnx.checker.check_model(model)
        path.write_bytes(whole)
    assert loaded > 100  # many changes hit values that may be anything


def test_an_image_through_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """import, compile, run: the four commands of the guide."""
    image = pytest.importorskip("PIL.Image")
    net = Net()
    net.op("FullyConnected", [net.variable("data"), net.param("w", np.array([[0.0] * 48, [1.0] * 48], "f4"))], "fc",
           num_hidden=2, no_bias=True)  # fmt: skip
    symbol = net.write(tmp_path)
    (tmp_path / "classes.txt").write_text("dark\nbright\n")
    image.new("RGB", (4, 4), (250, 251, 252)).save(tmp_path / "white.png")
    onnx_file, bwm = str(tmp_path / "net.onnx"), str(tmp_path / "net.bwm")
    shape = ["--input_shape", "[3,4,4]"]
    classes = ["--pixels", "255", "--classes", str(tmp_path / "classes.txt")]
    assert cli.main(["import", str(symbol), *shape, *classes, "--output", onnx_file]) == 0
    assert cli.main(["compile", onnx_file, "--output", bwm]) == 0
    capsys.readouterr()
    assert cli.main(["run", bwm, str(tmp_path / "white.png")]) == 0
    assert "bright (1.205e+04)" in capsys.readouterr().out  # 16 * (250 + 251 + 252)
    assert cli.main(["compile", str(symbol), *shape, "--output", bwm]) == 0
    assert cli.main(["import", str(symbol), *shape, "--pixels", "1", "--mean", "[1]", "--std", "[1]"]) != 0
    assert "give --pixels, or both --mean and --std" in capsys.readouterr().err


def test_a_description_of_images_is_completed(tmp_path: Path) -> None:
    imported = importers.load(small().write(tmp_path), options=OPTIONS)
    imported.describe_images([0.5], [0.25])
    imported.describe_images(classes=["a", "b"])
    kept = [p.value for p in imported.model.metadata_props if p.key == "bitwright.input"]
    assert [json.loads(v) for v in kept] == [{"mean": [0.5], "std": [0.25], "classes": ["a", "b"]}]
    with pytest.raises(ValueError, match="std above 0"):
        imported.describe_images([0.5], [0.0])
