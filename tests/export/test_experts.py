"""EBNN's experts: eval layer == frozen == the reference; onnxruntime and the engine with parts in onnxruntime agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.binarize.reference.ebnn import run
from torch import nn

import bitwright as bw
from bitwright.export import freeze, save_packed, to_onnx
from bitwright.export.packed_sum import PackedSum
from bitwright.nn import BinaryConv1d, BinaryConv2d, BinaryConv3d, BinaryConvTranspose2d, BinaryLinear, summary
from bitwright.runtime import Session

LAYERS: dict[str, Any] = {
    "conv1d": (lambda **k: BinaryConv1d(6, 8, 3, padding="same", dilation=2, bias=True, **k), (9, 6, 9)),
    "conv2d": (lambda **k: BinaryConv2d(6, 8, 3, padding=1, stride=2, groups=2, bias=True, **k), (9, 6, 8, 7)),
    "conv3d": (lambda **k: BinaryConv3d(3, 4, 2, padding=1, **k), (9, 3, 4, 4, 4)),
    "linear": (lambda **k: BinaryLinear(33, 7, bias=True, **k), (9, 33)),
    "tokens": (lambda **k: BinaryLinear(6, 5, **k), (9, 3, 6)),
}
OPTIONS: list[dict[str, Any]] = [
    {"experts": 4},
    {"experts": 3, "output": None},
    {"experts": 2, "output": {"kind": "channel_scale"}},
    {"experts": 1},
    {"experts": 3, "activation": None},
]


def decide(model: nn.Module) -> None:
    """Gates that differ from sample to sample, and parameters that do not start at 0 or 1."""
    for module in model.modules():
        if isinstance(module, bw.nn.BinaryLayer):
            with torch.no_grad():
                gate = module.weight_binarizer.gate
                gate.weight.normal_(0, 4)  # type: ignore[union-attr, operator]
                gate.bias.zero_()  # type: ignore[union-attr, operator]
                for parameter in () if module.output is None else module.output.parameters():
                    parameter.add_(0.3 * torch.rand_like(parameter))
                if module.bias is not None:
                    module.bias.normal_()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", LAYERS)
def test_frozen_layers_are_equal(kind: str, options: dict[str, Any]) -> None:
    torch.manual_seed(4)
    make, size = LAYERS[kind]
    layer = make(method="ebnn", **options).eval()
    decide(layer)
    x = torch.randn(size)
    used = layer.weight_binarizer.chosen(x).unique()
    assert len(used) > 1 or options["experts"] == 1
    frozen: Any = freeze(layer)
    assert not list(frozen.parameters())
    assert frozen.is_rowwise == layer.is_rowwise or options["experts"] == 1
    with torch.no_grad():
        for values in (x, 3 * x, torch.zeros(size)):
            if options.get("activation", "sign") is None:  # real inputs: one convolution for all samples sums otherwise
                torch.testing.assert_close(frozen(values), layer(values), rtol=1e-5, atol=1e-5)
            else:
                assert torch.equal(frozen(values), layer(values))


@pytest.mark.parametrize("groups", [1, 2])
def test_frozen_against_the_reference(groups: int) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(1)
    layer = BinaryConv2d(4, 6, 3, stride=2, padding=1, groups=groups, method="ebnn", experts=3).eval()
    layer.set_latent(torch.from_numpy(rng.normal(0, 0.8, tuple(layer.weight.shape))).float())
    decide(layer)
    x = rng.normal(0.2, 0.8, (16, 4, 7, 7)).astype(np.float32)
    params = {n: v.detach().double().numpy() for n, v in layer.named_parameters()}
    y = freeze(layer)(torch.from_numpy(x))
    wanted = run(params["weight"], x.astype(np.float64), params, np.zeros(tuple(y.shape)), groups)[0]
    np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_accumulators_are_those_of_the_chosen_expert() -> None:
    torch.manual_seed(1)
    layer = BinaryConv2d(6, 8, 3, method="ebnn", experts=4, output=None).eval()
    decide(layer)
    x = torch.randn(20, 6, 5, 5)
    frozen: Any = freeze(layer)
    assert isinstance(frozen, PackedSum)
    chosen = frozen.chooser.chosen(x)
    assert len(chosen.unique()) == 4
    signs = torch.where(layer.weight.detach() >= 0, 1.0, -1.0)
    bits = torch.where(x >= 0, 1.0, -1.0)
    wanted = torch.cat([torch.conv2d(bits[n : n + 1], signs[e]) for n, e in enumerate(chosen)])
    assert torch.equal(frozen(x), wanted)


def network() -> nn.Sequential:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1),
        nn.BatchNorm2d(12),
        BinaryConv2d(12, 16, 3, padding=1, method="ebnn", experts=3),
        nn.BatchNorm2d(16),
        nn.MaxPool2d(2),
        nn.Flatten(),
        BinaryLinear(256, 10, bias=True, method="ebnn", experts=3),
    )
    decide(net)
    return net.eval()


def test_a_network_runs_everywhere(tmp_path: Path) -> None:
    net, x = network(), torch.randn(12, 3, 8, 8)
    frozen = freeze(net)
    with torch.no_grad():
        wanted = net(x).numpy()
        assert np.array_equal(frozen(x).numpy(), wanted)
        assert len(net[2].weight_binarizer.chosen(net[:2](x)).unique()) > 1
    to_onnx(frozen, x[:2], tmp_path / "net.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node]
    assert kinds.count("BinaryConv") == kinds.count("BinaryLinear") == 3
    assert kinds.count("ArgMax") == 2
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"))
    got = session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
    bw.compiler.compile(tmp_path / "net.onnx", tmp_path / "net.bwm")
    np.testing.assert_allclose(Session(tmp_path / "net.bwm").run(x.numpy()), wanted, rtol=1e-4, atol=1e-4)


def test_size_is_what_the_summary_says(tmp_path: Path) -> None:
    net = network()
    frozen = freeze(net)
    save_packed(frozen, tmp_path / "net.safetensors")
    tensors = {id(v): v for v in frozen.state_dict(keep_vars=True).values()}
    content = sum(v.numel() * v.element_size() for v in tensors.values())
    assert summary(net, torch.randn(1, 3, 8, 8)).bytes == content


def test_what_is_refused() -> None:
    ties = BinaryLinear(4, 3, method="ebnn", sum_ties=True).eval()
    with pytest.raises(bw.nn.NotPackableError, match="sum_ties=True adds the experts"):
        freeze(ties)
    layer = BinaryLinear(4, 3, method="ebnn").eval()
    for view in (lambda: layer.packed, layer.binary_spec):
        with pytest.raises(bw.nn.NotPackableError, match="uses one of several sign tensors"):
            view()
    transposed = BinaryConvTranspose2d(4, 6, 3, method="bnn", weight={"kind": "experts"}).eval()
    with pytest.raises(bw.nn.NotPackableError, match="cannot be expressed by bits"):
        freeze(transposed)
