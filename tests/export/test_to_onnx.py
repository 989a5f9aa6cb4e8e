from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import bitwright
from bitwright.compiler import dialect
from bitwright.export import LatentLayerError, OnnxExportError, TorchReference, freeze, to_onnx, use_reference_ops
from bitwright.nn import BinaryLinear

from .networks import ImageNet, Zoo, image_net, zoo

OUTPUTS = [
    "line",
    "plane",
    "volume",
    "up",
    "rows",
    "dense",
    "levels",
    "level_dense",
    "weight_only",
    "weight_only_dense",
    "sign",
    "token_sign",
]


@pytest.fixture(scope="module")
def image_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "image.onnx"
    to_onnx(freeze(image_net()), torch.randn(1, 3, 12, 12), path, metadata={"classes": "a,b"})
    return path


@pytest.fixture(scope="module")
def zoo_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "zoo.onnx"
    names = ["line_in", "plane_in", "volume_in", "ids"]
    to_onnx(freeze(zoo()), Zoo.example(2), path, input_names=names, output_names=OUTPUTS, opset=21)
    return path


def run(path: Path, *inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    return session.run(None, {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=True)})


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_onnxruntime_computes_every_layer_bit_for_bit(zoo_file: Path, batch: int) -> None:
    inputs = Zoo.example(batch)
    with torch.no_grad():
        wanted = zoo()(*inputs)
    for name, got, value in zip(OUTPUTS, run(zoo_file, *inputs), wanted, strict=True):
        if name.startswith("weight_only"):  # real sums: another order of additions
            np.testing.assert_allclose(got, value.numpy(), rtol=1e-5, atol=1e-5)
        else:
            np.testing.assert_array_equal(got, value.numpy(), err_msg=name, strict=True)


@pytest.mark.parametrize("batch", [1, 4])
def test_onnxruntime_runs_a_network(image_file: Path, batch: int) -> None:
    x = torch.randn(batch, 3, 12, 12, generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        wanted = image_net()(x)
    np.testing.assert_allclose(run(image_file, x)[0], wanted.numpy(), rtol=1e-5, atol=1e-5)


def test_the_graph_is_what_the_compiler_wants(image_file: Path) -> None:
    """One node a layer: no inlined bodies, no unfolded bits, batch norm whole, no shape arithmetic."""
    model = onnx.load(image_file)
    block = ["BinaryConv", "BatchNormalization", "Add", "Add", "PRelu", "Add"]
    assert [node.op_type for node in model.graph.node] == [
        "Conv",
        "BatchNormalization",
        *block,
        *block,
        *block,
        *block,
        "MaxPool",
        "PRelu",
        "ReduceMean",
        "Reshape",
        "BinaryLinear",
        "BatchNormalization",
        "Relu",
        "Gemm",
    ]
    assert len(model.graph.node[0].input) == 2  # the exporter's zero bias is gone
    assert sorted(f.name for f in model.functions) == ["BinaryConv", "BinaryLinear"]
    for node in model.graph.node:
        if node.domain == dialect.DOMAIN:
            dialect.read_node(node)


def test_metadata(image_file: Path) -> None:
    model = onnx.load(image_file)
    found = [{p.key: p.value for p in node.metadata_props} for node in model.graph.node]
    paths = [entry["bitwright.module"] for entry in found]
    modules = dict(freeze(image_net()).named_modules(remove_duplicate=False))
    assert set(paths) <= set(modules)
    binary = [(e["bitwright.module"], e.get("bitwright.call")) for e, n in zip(found, model.graph.node) if n.domain]  # noqa: B905
    assert binary == [
        ("block1.conv", None),
        ("block2.conv", None),
        ("block1.conv", "1"),
        ("again.conv", None),
        ("hidden", None),
    ]
    assert {key for entry in found for key in entry} == {"bitwright.module", "bitwright.call"}
    assert (model.producer_name, model.producer_version) == ("bitwright", bitwright.__version__)
    assert {p.key: p.value for p in model.metadata_props} == {"classes": "a,b"}
    assert {o.domain: o.version for o in model.opset_import} == {"": 18, "ai.bitwright": 1}
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert str(Path(__file__).parent) not in str(model)


def test_the_file_has_the_size_of_its_bits(image_file: Path) -> None:
    model = onnx.load(image_file)
    weights = {t.name: t for t in model.graph.initializer}
    assert weights["hidden.weight"].data_type == onnx.TensorProto.UINT8
    assert list(weights["hidden.weight"].dims) == [33, 8]
    stored = sum(onnx.numpy_helper.to_array(t).nbytes for t in weights.values())
    packed = freeze(image_net())
    unique = {id(t): t.nbytes for t in packed.state_dict(keep_vars=True).values() if t.dtype != torch.int64}
    assert stored <= sum(unique.values()) + 64  # a few scalars; nothing twice, though modules are shared
    assert image_file.stat().st_size < stored + 15000  # graph and functions, whatever the size of the weights
    latent = sum(p.numel() * 4 for p in image_net().parameters())
    assert image_file.stat().st_size < latent / 2


def test_functions_carry_the_file(zoo_file: Path) -> None:
    model = onnx.load(zoo_file)
    assert {f.name for f in model.functions} == set(dialect.OPS)
    onnx.checker.check_model(model, full_check=True)
    assert {o.domain: o.version for o in model.opset_import} == {"": 21, "ai.bitwright": 1}
    assert [o.name for o in model.graph.output] == OUTPUTS


class TestTorchReference:
    def test_values_are_those_of_the_graph(self, image_file: Path) -> None:
        """onnxruntime with every identified value as an output agrees."""
        net = image_net()
        reference = TorchReference(net, image_file)
        x = torch.randn(2, 3, 12, 12)
        values = reference.run(x.numpy())
        assert set(values) == set(reference.names)
        model = onnx.load(image_file)
        wanted = [name for name in values if name not in ("input", "output")]
        model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted)
        session = onnxruntime.InferenceSession(model.SerializeToString())
        found = session.run(wanted, {"input": x.numpy()})
        for name, value in zip(wanted, found, strict=True):
            np.testing.assert_allclose(values[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
        with torch.no_grad():
            np.testing.assert_array_equal(values["output"], net(x).numpy())

    def test_it_identifies_inputs_and_outputs_of_all_layers(self, image_file: Path) -> None:
        names = set(TorchReference(image_net(), image_file).names)
        for node in onnx.load(image_file).graph.node:
            if node.op_type in ("Conv", "BinaryConv", "BatchNormalization", "BinaryLinear", "Gemm", "MaxPool", "Relu"):
                assert node.input[0] in names
                assert node.output[0] in names

    def test_in_place_modules_do_not_change_what_was_recorded(self, image_file: Path) -> None:
        values = TorchReference(image_net(), image_file).run(torch.randn(4, 3, 12, 12))
        relu = next(node for node in onnx.load(image_file).graph.node if node.op_type == "Relu")
        assert values[relu.input[0]].min() < 0
        np.testing.assert_array_equal(values[relu.output[0]], values[relu.input[0]].clip(0))

    def test_the_frozen_model_is_a_reference_too(self, image_file: Path) -> None:
        x = np.random.default_rng(0).standard_normal((2, 3, 12, 12)).astype(np.float32)
        with use_reference_ops():
            frozen = TorchReference(freeze(image_net()), onnx.load(image_file)).run(x)
        latent = TorchReference(image_net(), onnx.load(image_file)).run(x)
        assert frozen.keys() == latent.keys()
        for name, value in frozen.items():
            np.testing.assert_array_equal(value, latent[name])

    def test_errors(self, image_file: Path) -> None:
        with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
            TorchReference(ImageNet(), image_file)
        with pytest.raises(ValueError, match="nodes of module 'stem', which the model does not have"):
            TorchReference(nn.Sequential().eval(), image_file)
        with pytest.raises(ValueError, match="takes 1 inputs"):
            TorchReference(image_net(), image_file).run()


def test_latent_layers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentLayerError, match=r"block1\.conv \(BinaryConv2d\).*freeze\(model\)"):
        to_onnx(image_net(), torch.randn(1, 3, 8, 8), tmp_path / "x.onnx")
    assert not os.listdir(tmp_path)


class Untranslatable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            return x
        return -x


def test_wrong_calls_are_named(tmp_path: Path) -> None:
    path, net, x = tmp_path / "x.onnx", nn.Linear(3, 2), torch.randn(2, 3)
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        to_onnx(net, x, path)
    net.eval()
    with pytest.raises(ValueError, match="opset must be 18 to 23, got 17"):
        to_onnx(net, x, path, opset=17)
    with pytest.raises(ValueError, match="input_names must be 1 different names"):
        to_onnx(net, x, path, input_names=["a", "b"])
    with pytest.raises(TypeError, match="example must be a tensor"):
        to_onnx(net, [1], path)  # type: ignore[list-item]
    with pytest.raises(ValueError, match="no batch dimension"):
        to_onnx(net, torch.tensor(1.0), path)
    with pytest.raises(OnnxExportError, match="cannot export Untranslatable to ONNX"):
        to_onnx(Untranslatable().eval(), x, path)
    assert not os.listdir(tmp_path)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'bitwright\[convert\]'"):
        to_onnx(nn.Linear(3, 2).eval(), torch.randn(2, 3), tmp_path / "x.onnx")


def test_import_needs_no_onnx() -> None:
    code = "import sys, bitwright.export; print([m for m in ('onnx', 'onnx_ir', 'onnxscript') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_fixed_batch_and_float_models(tmp_path: Path) -> None:
    net = freeze(nn.Sequential(nn.Linear(3, 4), BinaryLinear(4, 2)))
    to_onnx(net, torch.randn(1, 3), tmp_path / "net.onnx", dynamic_batch=False, input_names=["a"], output_names=["b"])
    model = onnx.load(tmp_path / "net.onnx")
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("a", "b")
