"""Geometry against torch's own layers, shifts, and errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from bitwright.binarize import get_method, set_stage
from bitwright.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryConv3d,
    BinaryConvTranspose2d,
    BinaryEmbedding,
    BinaryLinear,
    ChannelShift,
    NotPackableError,
    RPReLU,
    RSign,
)


def twin(layer: Any, reference: Any) -> Any:
    with torch.no_grad():
        reference.weight.copy_(layer.binary)
        if layer.bias is not None:
            reference.bias.copy_(layer.bias)
    return reference


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_conv_geometry_is_torchs(data: st.DataObject) -> None:
    dims = data.draw(st.integers(1, 3))
    groups = data.draw(st.sampled_from([1, 2, 3]))
    kernel = tuple(data.draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(data.draw(st.integers(1, 2)) for _ in range(dims))
    same = data.draw(st.booleans())
    stride = (1,) * dims if same else tuple(data.draw(st.integers(1, 3)) for _ in range(dims))
    padding: Any = "same" if same else tuple(data.draw(st.integers(0, 2)) for _ in range(dims))
    replicate = data.draw(st.booleans())
    args: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups, "bias": True}
    torch.manual_seed(data.draw(st.integers(0, 1000)))
    layer = (BinaryConv1d, BinaryConv2d, BinaryConv3d)[dims - 1](
        2 * groups, groups, kernel, method="reactnet", pad_mode="replicate" if replicate else "constant", **args
    )
    reference = twin(
        layer,
        (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
            2 * groups, groups, kernel, padding_mode="replicate" if replicate else "zeros", **args
        ),
    )
    x = torch.randn(2, 2 * groups, *(data.draw(st.integers(5, 7)) for _ in range(dims)))
    levels = torch.where(x >= 0, 1.0, -1.0)
    for mode in (True, False):
        with torch.no_grad():
            torch.testing.assert_close(layer.train(mode)(x), reference(levels), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("value", [-1, 0, 1])
def test_padding_value_is_applied_after_binarization(value: int) -> None:
    layer = BinaryConv2d(3, 1, 3, padding=1, pad_value=value).eval()
    with torch.no_grad():
        layer.weight.fill_(0.1)
        y = layer(torch.full((1, 3, 4, 4), -5.0))
    # a corner sees 4 taps inside and 5 in the padding
    assert y[0, 0, 0, 0].item() == 3 * (-4 + 5 * value)
    assert y[0, 0, 1, 1].item() == -27


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
    st.sampled_from([1, 2]),
    st.integers(0, 9),
)
def test_transposed_geometry_is_torchs(
    kernel: int, stride: int, padding: int, dilation: int, groups: int, seed: int
) -> None:
    torch.manual_seed(seed)
    padding = min(padding, dilation * (kernel - 1) // 2)
    extra = max(stride, dilation) - 1
    args: dict[str, Any] = {
        "stride": stride,
        "padding": padding,
        "output_padding": extra,
        "groups": groups,
        "bias": True,
        "dilation": dilation,
    }
    layer = BinaryConvTranspose2d(4, 2, kernel, method="reactnet", **args)
    reference = twin(layer, nn.ConvTranspose2d(4, 2, kernel, **args))
    x = torch.randn(2, 4, 4, 5)
    with torch.no_grad():
        expected = reference(torch.where(x >= 0, 1.0, -1.0))
        torch.testing.assert_close(layer(x), expected)
        torch.testing.assert_close(layer.eval()(x), expected)


def test_transposed_scale_is_per_output_channel() -> None:
    torch.manual_seed(0)
    layer = BinaryConvTranspose2d(4, 6, 3, groups=2, method="reactnet")
    scale = layer.binary_spec().weight_scale
    for o in range(6):
        group, inside = divmod(o, 3)
        assert scale[o].item() == pytest.approx(
            float(layer.weight[2 * group : 2 * group + 2, inside].detach().abs().mean())
        )


def test_embedding() -> None:
    torch.manual_seed(0)
    layer = BinaryEmbedding(5, 33, padding_idx=-1, method="reactnet")
    ids = torch.tensor([[0, 4], [2, 2]])
    y = layer(ids)
    torch.testing.assert_close(y, F.embedding(ids, layer.binary))
    y.sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum(1).ne(0).tolist() == [True, False, True, False, False]
    assert layer.packed.shape == (5, 8)
    assert layer.binary_spec().activation is None


def test_weight_only_binarization() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 6, 3, method="xnornet", activation=None, bias=True)
    x = torch.randn(2, 4, 6, 6)
    expected = F.conv2d(x, layer.binary, layer.bias)
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.eval()(x), expected)
    spec = layer.binary_spec()
    assert spec.activation is None


def test_learned_output_scale_is_folded() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 6, 3, method="bnn", output={"kind": "channel_scale", "start": "mean_abs"}, bias=True)
    assert layer.output is not None
    mean = layer.weight.detach().abs().flatten(1).mean(1)
    torch.testing.assert_close(layer.output.factor.detach(), mean)
    with torch.no_grad():
        layer.output.factor[0] = -2.0
    torch.testing.assert_close(layer.binary_spec().weight_scale, layer.output.factor.detach())
    x = torch.randn(2, 4, 6, 6)
    y = layer(x)
    torch.testing.assert_close(layer.eval()(x).detach(), y.detach())
    y.sum().backward()
    assert layer.output.factor.grad is not None


def test_several_planes_are_summed() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 6, 3, padding=1, method="dorefa", w_bits=2, a_bits=2, bias=True)
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        torch.testing.assert_close(layer.train()(x), layer.eval()(x))
    terms = layer.binary_terms()
    assert len(terms.weights) == 2
    assert terms.activations is not None
    assert len(terms.activations) == 1
    total = sum(p.scale.view(-1, 1, 1, 1) * (2.0 * p.bits - 1) for p in terms.weights)
    torch.testing.assert_close(total, layer.binary)
    with pytest.raises(NotPackableError, match="weight has 2 bit planes"):
        layer.binary_spec()


def test_real_weights_run_but_do_not_pack() -> None:
    layer = BinaryConv2d(4, 6, 3, padding=1, method="dorefa", w_bits=32)
    x = torch.rand(2, 4, 6, 6)
    with torch.no_grad():
        assert torch.equal(layer.train()(x), layer.eval()(x))
    with pytest.raises(NotPackableError, match="cannot be expressed by bits"):
        layer.binary_terms()


def test_rsign_is_the_activation_of_reactnet() -> None:
    torch.manual_seed(0)
    shared, layer = RSign(5), BinaryConv2d(5, 3, 3, method="reactnet")
    behind = BinaryConv2d(5, 3, 3, method="reactnet", activation={"shift": "none", "estimator": "identity"})
    with torch.no_grad():
        shared.activation.shift.copy_(torch.randn(5))  # type: ignore[union-attr]
        layer.activation.shift.copy_(shared.activation.shift)  # type: ignore[union-attr]
        behind.weight.copy_(layer.weight)
    x = torch.randn(2, 5, 6, 6, requires_grad=True)
    z = x.detach().clone().requires_grad_()
    a, b = layer(x), behind(shared(z))
    assert torch.equal(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    assert torch.equal(x.grad, z.grad)  # type: ignore[arg-type]
    set_stage(shared, "float")
    torch.testing.assert_close(
        shared(x),
        (x + shared.activation.shift.view(5, 1, 1)).clamp(-1, 1),  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("channel_dim", [1, -1])
def test_shifts_follow_the_channel_axis(channel_dim: int) -> None:
    torch.manual_seed(0)
    act, shift, rsign = (
        RPReLU(4, channel_dim=channel_dim),
        ChannelShift(4, channel_dim),
        RSign(4, channel_dim=channel_dim),
    )
    for module in (act, shift, rsign):
        for p in module.parameters():
            nn.init.normal_(p)
    x = torch.randn(2, 4, 3, 4)
    view = (4, 1, 1) if channel_dim == 1 else (4,)
    z = x + act.shift_in.view(view)
    torch.testing.assert_close(act(x), torch.where(z > 0, z, act.slope.view(view) * z) + act.shift_out.view(view))
    torch.testing.assert_close(shift(x), x + shift.bias.view(view))
    above = x >= -rsign.activation.shift.view(view)  # type: ignore[union-attr]
    assert torch.equal(rsign(x), torch.where(above, 1.0, -1.0))


@pytest.mark.parametrize("channel_dim", [1, -1])
@pytest.mark.parametrize("autocast", [False, True])
def test_rprelu_has_the_gradient_of_its_formula(channel_dim: int, autocast: bool) -> None:
    torch.manual_seed(1)
    act = RPReLU(4, channel_dim=channel_dim)
    for p in act.parameters():
        nn.init.normal_(p)
    x = torch.randn(2, 4, 3, 4).requires_grad_()
    view = (4, 1, 1) if channel_dim == 1 else (4,)
    with torch.no_grad():  # an exact zero in front of the kink: torch's PReLU takes the slope's side
        x[0, 0, 0, 0] = -act.shift_in[0]
    z = x + act.shift_in.view(view)
    wanted = torch.where(z > 0, z, act.slope.view(view) * z) + act.shift_out.view(view)
    g = torch.randn_like(wanted)
    inputs = [x, *act.parameters()]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        got = act(x)
    assert got.dtype == torch.float32
    tolerance = {"rtol": 2e-2, "atol": 2e-2} if autocast else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(got, wanted, **tolerance)
    for mine, other in zip(torch.autograd.grad(got, inputs, g), torch.autograd.grad(wanted, inputs, g), strict=True):
        torch.testing.assert_close(mine, other, **tolerance)
    with torch.no_grad():
        torch.testing.assert_close(act(x), wanted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BinaryConv2d(4, 6, 3, groups=4), "groups must divide"),
        (lambda: BinaryConv2d(4, 6, (3, 3, 3)), "kernel_size must be 2 integers"),
        (lambda: BinaryConv2d(4, 6, 0), "kernel_size"),
        (lambda: BinaryConv2d(4, 6, 3, padding=-1), "padding must be"),
        (lambda: BinaryConv2d(4, 6, 3, padding="full"), "'same' or 'valid'"),
        (lambda: BinaryConv2d(4, 6, 3, padding="same", stride=2), "needs stride 1"),
        (lambda: BinaryConv2d(4, 6, 3, pad_value=0.5), "pad_value must be"),
        (lambda: BinaryConv2d(4, 6, 3, pad_mode="reflect"), "'constant' or 'replicate'"),
        (lambda: BinaryConv2d(4, 6, 3, pad_mode="replicate", pad_value=1), "pad_value must stay 0"),
        (lambda: BinaryConv2d(4, 6, 3, pad_value=-1, method="dorefa"), "activations are 0 or 1"),
        (lambda: BinaryConvTranspose2d(4, 6, 3, output_padding=1), "output_padding must be smaller"),
        (lambda: BinaryLinear(0, 3), "in_features=0"),
        (lambda: BinaryEmbedding(3, 3, padding_idx=3), "padding_idx"),
        (lambda: BinaryLinear(3, 3, method="bnnn"), "Did you mean 'bnn'"),
        (lambda: BinaryConv2d(4, 6, 3)(torch.randn(4, 8, 8)), "takes .N, 4. and 2 spatial axes"),
    ],
)
def test_errors(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_wrong_type_of_geometry() -> None:
    with pytest.raises(TypeError, match="stride must be"):
        BinaryConv2d(4, 6, 3, stride=1.5)  # type: ignore[arg-type]


def test_method_object_is_accepted_and_shown() -> None:
    method = get_method("xnornet", gradient="c")
    layer = BinaryLinear(4, 4, method=method)
    assert layer.weight_binarizer.gradient == "scaled"
    assert "xnornet(gradient='c')" in repr(layer)
    assert BinaryLinear(4, 4, method=method, center=False).weight_binarizer.center == "none"
    assert BinaryLinear(4, 4, method=method, center=False).weight_binarizer.gradient == "scaled"


def test_meta_device() -> None:
    layer = BinaryConv2d(4, 6, 3, method="irnet", device="meta")
    assert {p.device.type for p in layer.parameters()} == {"meta"}
    assert layer(torch.empty(1, 4, 8, 8, device="meta")).shape == (1, 6, 6, 6)
