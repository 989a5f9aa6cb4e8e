"""Binarizers that stand alone: eval == frozen == onnxruntime == engine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import set_stage
from bitwright.binarize.activations import ActivationBinarizer, SignActivation, UniformActivation
from bitwright.binarize.part import LayerShape
from bitwright.export import (
    LatentLayerError,
    NotPackableError,
    PackedBinarize,
    PackedConv,
    PackedOperatorError,
    freeze,
    latent_layers,
    pack_layer,
    to_onnx,
)
from bitwright.nn import BinaryConv2d, BinaryLinear, RPReLU, RSign

from .oracles import run_node, scramble, tricky

MAP = LayerShape("conv", 6, 6, (3, 3))
TOKENS = LayerShape("linear", 6, 6)
MODULES = {
    "rsign": (lambda: RSign(6), (3, 6, 4, 5)),
    "rsign of vectors": (lambda: RSign(6), (3, 6)),
    "rsign of tokens": (lambda: RSign(6, channel_dim=-1), (3, 5, 6)),
    "rsign of volumes": (lambda: RSign(6), (2, 6, 2, 3, 2)),
    "sign": (lambda: SignActivation(MAP), (3, 6, 4, 5)),
    "sign per channel": (lambda: SignActivation(MAP, shift="channel"), (3, 6, 4, 5)),
    "one shift, 0 or 1": (lambda: SignActivation(TOKENS, shift="layer", low=0.0), (3, 5, 6)),
    "dorefa": (lambda: UniformActivation(MAP), (3, 6, 4, 5)),
}


@pytest.mark.parametrize("name", MODULES)
def test_eval_frozen_and_onnxruntime_are_equal(name: str) -> None:
    make, shape = MODULES[name]
    module = make().eval()
    scramble(module)
    packed = freeze(module)
    assert isinstance(packed, PackedBinarize)
    threshold = packed.threshold.numpy()
    axis = packed.attrs.axis % len(shape)
    # tricky() puts its thresholds on axis 1
    moved = (shape[0], shape[axis], *(n for i, n in enumerate(shape) if i not in (0, axis)))
    x = np.moveaxis(tricky(moved, threshold, 1), 1, axis).copy()
    with torch.no_grad():
        wanted = module(torch.from_numpy(x))
        assert torch.equal(packed(torch.from_numpy(x)), wanted)
    np.testing.assert_array_equal(run_node(packed.attrs, {"X": x, "threshold": threshold}), wanted.numpy(), strict=True)
    assert set(np.unique(wanted)) == {packed.attrs.low, 1.0}
    assert torch.equal(packed(torch.from_numpy(x).bfloat16()), packed(torch.from_numpy(x).bfloat16().float()))


class Net(nn.Module):
    """An RSign that two binary layers, a float layer and a residual read; another one behind a pooling."""

    def __init__(self, low: float = -1.0) -> None:
        super().__init__()
        inner = {"shift": "none", "estimator": "identity"}
        self.sign = RSign(6)
        self.one = BinaryConv2d(6, 8, 3, padding=1, method="reactnet", activation=inner)
        self.two = BinaryConv2d(6, 8, 3, padding=1, groups=2, method="reactnet", activation=inner, pad_value=-1)
        self.real = nn.Conv2d(6, 8, 3, padding=1)
        self.act = RPReLU(8)
        self.pool = nn.MaxPool2d(2)
        self.late = SignActivation(LayerShape("conv", 8, 8, (3, 3)), shift="channel", low=low)
        self.last = BinaryConv2d(8, 8, 1, method="bnn" if low else "dorefa")
        self.average = nn.AvgPool2d(2)
        self.head = BinaryLinear(32, 5, method="bnn")

    def forward(self, x: Tensor) -> Tensor:
        y = self.sign(x)
        z = self.act(self.one(y) + self.two(y))
        z = z + self.real(y)
        bits = self.late(self.pool(z))
        return self.head(torch.flatten(self.average(self.last(bits) + bits), 1))


def integers(net: nn.Module) -> nn.Module:
    """Real weights become small integers: every order of summation gives the same floats."""
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, nn.Conv2d):
                layer.weight.copy_((layer.weight * 8).round())
                layer.bias.copy_((layer.bias * 8).round())
    return net


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_networks_agree_on_all_sides(low: float, tmp_path: Path) -> None:
    pytest.importorskip("bitwright.runtime", reason="the native engine is not built")
    from bitwright.compiler import compile, verify
    from bitwright.runtime import Session

    net = Net(low)
    scramble(net, 3)
    integers(net.eval())
    packed = freeze(net)
    assert isinstance(packed.sign, PackedBinarize)
    assert isinstance(packed.late, PackedBinarize)
    x = torch.randn(5, 6, 8, 8)
    to_onnx(packed, x, tmp_path / "net.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert kinds.count("Binarize") == 2
    assert not {"Where", "GreaterOrEqual", "Transpose"} & set(kinds)
    compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    with torch.no_grad():
        wanted = net(x).numpy()
        np.testing.assert_array_equal(packed(x).numpy(), wanted)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", options)
    np.testing.assert_array_equal(session.run(None, {"input": x.numpy()})[0], wanted)
    np.testing.assert_array_equal(Session(tmp_path / "net.bwm").run(x.numpy()), wanted)
    report = verify(tmp_path / "net.onnx", tmp_path / "net.bwm", x.numpy())
    assert report.ok, str(report)
    assert report.outputs_equal == 5


def test_binarizers_inside_a_layer_belong_to_it() -> None:
    net = nn.Sequential(BinaryConv2d(4, 4, 3), RSign(4), BinaryConv2d(4, 4, 3, method="reactnet"))
    assert [(path, type(m)) for path, m in latent_layers(net)] == [
        ("0", BinaryConv2d),
        ("1", RSign),
        ("2", BinaryConv2d),
    ]
    frozen = freeze(net)
    assert [type(m) for m in frozen] == [PackedConv, PackedBinarize, PackedConv]
    assert not list(frozen.parameters())
    assert not list(latent_layers(frozen))


def test_a_shared_binarizer_stays_shared() -> None:
    sign = RSign(4)
    for inplace in (False, True):
        frozen = freeze(nn.Sequential(sign, nn.ReLU(), sign), inplace=inplace)
        assert isinstance(frozen[0], PackedBinarize)
        assert frozen[0] is frozen[2]


def test_what_cannot_be_frozen_is_named(tmp_path: Path) -> None:
    net = nn.Sequential(RSign(4), UniformActivation(MAP, bits=2), ActivationBinarizer(MAP))
    net[2].planes = 0
    set_stage(net, "float")
    with pytest.raises(NotPackableError) as error:
        freeze(net)
    message = str(error.value)
    assert "0 (RSign): the binarizer is in stage 'float'" in message
    assert "1 (UniformActivation): UniformActivation has 3 bit planes" in message
    assert "2 (ActivationBinarizer): ActivationBinarizer has 0 bit planes" in message
    set_stage(net, "activations")
    assert isinstance(pack_layer(net[0]), PackedBinarize)
    with pytest.raises(LatentLayerError, match=r"0 \(RSign\)"):
        to_onnx(nn.Sequential(RSign(4)).eval(), torch.zeros(2, 4), tmp_path / "x.onnx")


def test_wrong_operands_are_named() -> None:
    op = torch.ops.bitwright.binarize
    x, t = torch.zeros(2, 3, 4), torch.zeros(3)
    with pytest.raises(PackedOperatorError, match=r"threshold must have shape \[4\] or \[1\], got \[3\]"):
        op(x, t, -1.0, -1)
    with pytest.raises(PackedOperatorError, match="has no axis 3"):
        op(x, t, -1.0, 3)
    with pytest.raises(PackedOperatorError, match=r"x must be float32, got torch\.float64"):
        op(x.double(), t, -1.0, 1)
    with pytest.raises(ValueError, match="axis 0 is the batch"):
        op(x, t, -1.0, 0)
    torch.library.opcheck(op.default, (x, t, 0.0, 1), test_utils=("test_schema", "test_faketensor"))
    assert "±1, 4 thresholds, axis=1, 16 bytes" in repr(freeze(RSign(4)))
