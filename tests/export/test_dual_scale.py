"""BiFSMNv2's second sign has a scale per sample (and channel): where that leaves the sum over channels a layer is two
bit planes with a factor behind one of them, elsewhere 1-bit weights times real activations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.export import freeze, to_onnx
from bitwright.export.packed import PackedConv, PackedConvTranspose, PackedLinear, WeightOnlyConv
from bitwright.nn import BinaryConv1d, BinaryConv2d, BinaryConvTranspose2d, BinaryLayer, BinaryLinear

LAYERS = {
    "depthwise": (lambda: BinaryConv2d(6, 6, 3, padding=1, groups=6, method="bifsmnv2"), (3, 6, 7, 5), 3),
    "multiplier": (lambda: BinaryConv2d(4, 12, 3, 2, 1, groups=4, bias=True, method="bifsmnv2"), (3, 4, 7, 5), 3),
    "memory": (lambda: BinaryConv1d(8, 8, 5, padding=2, groups=8, method="bifsmnv2"), (2, 8, 9), 3),
    "sample": (lambda: BinaryConv2d(5, 7, 3, padding=1, method="bifsmnv2", scale="sample"), (3, 5, 6, 4), 3),
    "groups": (lambda: BinaryConv2d(6, 4, 3, padding=1, groups=2, method="bifsmnv2", scale="sample"), (3, 6, 6, 4), 3),
    "transposed": (lambda: BinaryConvTranspose2d(4, 4, 3, 2, groups=4, method="bifsmnv2"), (2, 4, 4, 3), 3),
    "linear": (lambda: BinaryLinear(40, 6, bias=True, method="bifsmnv2"), (4, 40), 2),
    "tokens": (lambda: BinaryLinear(10, 6, method="bifsmnv2"), (3, 4, 10), 2),
    "pointwise": (lambda: BinaryConv2d(5, 7, 1, bias=True, method="bifsmnv2"), (3, 5, 6, 4), 0),
    "dense": (lambda: BinaryConv2d(6, 4, 3, padding=1, groups=2, method="bifsmnv2"), (3, 6, 5, 4), 0),
}


def random_layer(name: str, slope: float) -> tuple[BinaryLayer, Tensor, int]:
    make, shape, planes = LAYERS[name]
    layer = make()
    with torch.no_grad():
        a = layer.activation
        assert a is not None
        for part in (a.shift, a.shift_out, layer.bias):
            if part is not None:
                part.normal_(0, 0.3)  # type: ignore[operator]
        a.slope.fill_(slope)  # type: ignore[operator]
        layer.weight_binarizer.slope.fill_(0.7)  # type: ignore[operator]
    return layer.eval(), torch.randn(shape), planes


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("slope", [1.3, -0.8, 0.0])
def test_eval_is_the_training_expression_and_frozen_is_eval(name: str, slope: float) -> None:
    torch.manual_seed(sum(map(ord, name)))
    layer, x, planes = random_layer(name, slope)
    frozen = freeze(nn.Sequential(layer))
    packed = [m for m in frozen.modules() if isinstance(m, (PackedConv, PackedConvTranspose, PackedLinear))]
    assert len(packed) == planes
    assert sum(isinstance(m, WeightOnlyConv) for m in frozen.modules()) == (planes == 0)
    with torch.no_grad():
        wanted = layer(x)
        assert torch.equal(frozen(x), wanted)
        torch.testing.assert_close(wanted, layer.train()(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_onnx_and_engine(name: str, tmp_path: Path) -> None:
    torch.manual_seed(sum(map(ord, name)))
    layer, x, planes = random_layer(name, 0.9)
    to_onnx(freeze(nn.Sequential(layer)), x, tmp_path / "net.onnx")
    graph = onnx.load(tmp_path / "net.onnx").graph
    kinds = [node.op_type for node in graph.node if node.domain == "ai.bitwright"]
    assert kinds.count("UnpackWeight") == (planes == 0)
    assert sum(kind.startswith("Binary") for kind in kinds) == planes
    with torch.no_grad():
        wanted = layer(x).numpy()
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    np.testing.assert_allclose(bw.runtime.Session(tmp_path / "net.bwm").run(x.numpy()), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["depthwise", "sample", "linear", "pointwise"])
def test_nan_is_the_lower_level(name: str) -> None:
    torch.manual_seed(0)
    layer, x, _ = random_layer(name, 1.1)
    x.view(-1)[3] = float("nan")
    with torch.no_grad():
        wanted = layer.train()(x)
        assert bool(wanted.isfinite().all())
        torch.testing.assert_close(layer.eval()(x), wanted, rtol=1e-5, atol=1e-5)


def test_a_scale_per_channel_cannot_leave_the_sum() -> None:
    """Two inputs with the same bits in every plane, the same scale on average, and different results."""
    layer = BinaryConv2d(2, 1, 1, method="bifsmnv2").eval()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([1.0, -1.0]).view(1, 2, 1, 1))
        layer.activation.shift.zero_()  # type: ignore[union-attr, operator]
        layer.activation.shift_out.zero_()  # type: ignore[union-attr, operator]
        first, second = torch.tensor([2.0, 3.0]).view(1, 2, 1, 1), torch.tensor([3.0, 2.0]).view(1, 2, 1, 1)
        assert layer(first).item() == -1.0
        assert layer(second).item() == 1.0


def test_sizes_are_those_of_the_summary() -> None:
    from bitwright.nn.model_summary import _packed_layer_bytes

    for name in LAYERS:
        layer, _, _ = random_layer(name, 1.0)
        frozen = freeze(layer)
        stored = {b.data_ptr(): b.numel() * b.element_size() for b in frozen.buffers()}
        assert sum(stored.values()) == _packed_layer_bytes(layer), name


def test_unknown_scale() -> None:
    with pytest.raises(bw.binarize.UnknownNameError, match="scale of the second sign"):
        BinaryLinear(4, 4, method="bifsmnv2", scale="batch")
