"""What must hold for every method in every layer; generated from the registry."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize import ScheduleNotSetWarning, get_method, list_methods, set_progress
from bitwright.nn import (
    BinaryConv1d,
    BinaryConv2d,
    BinaryConv3d,
    BinaryConvTranspose2d,
    BinaryEmbedding,
    BinaryLayer,
    BinaryLinear,
    unpack_filters,
)

METHODS = [info.name for info in list_methods()]
Case = tuple[Callable[..., BinaryLayer], Callable[[], Tensor]]


def maps(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape)


LAYERS: dict[str, Case] = {
    "conv1d": (lambda **k: BinaryConv1d(6, 8, 3, padding="same", dilation=2, bias=True, **k), maps(2, 6, 9)),
    "conv1d_replicate": (lambda **k: BinaryConv1d(5, 4, 3, padding=2, pad_mode="replicate", **k), maps(2, 5, 7)),
    "conv2d": (lambda **k: BinaryConv2d(5, 7, 3, padding=1, stride=2, bias=True, **k), maps(2, 5, 8, 7)),
    "conv2d_groups": (
        lambda **k: BinaryConv2d(6, 9, (3, 2), padding=(1, 0), groups=3, dilation=2, **k),
        maps(2, 6, 7, 6),
    ),
    "conv2d_depthwise": (lambda **k: BinaryConv2d(4, 4, 3, padding=1, groups=4, **k), maps(2, 4, 6, 6)),
    "conv2d_one": (lambda **k: BinaryConv2d(40, 3, 1, padding=1, pad_value=1, **k), maps(2, 40, 3, 3)),
    "conv2d_even_same": (lambda **k: BinaryConv2d(3, 4, 2, padding="same", **k), maps(2, 3, 5, 5)),
    "conv3d": (lambda **k: BinaryConv3d(3, 4, 2, padding=1, pad_value=1, **k), maps(2, 3, 4, 4, 4)),
    "transposed": (
        lambda **k: BinaryConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=True, **k),
        maps(2, 4, 5, 5),
    ),
    "linear": (lambda **k: BinaryLinear(33, 7, bias=True, **k), maps(4, 33)),
    "linear_tokens": (lambda **k: BinaryLinear(6, 5, **k), maps(2, 3, 6)),
    "embedding": (lambda **k: BinaryEmbedding(11, 5, **k), lambda: torch.randint(0, 11, (3, 4))),
}


@pytest.fixture(params=[f"{m}-{name}" for m in METHODS for name in LAYERS])
def case(request: pytest.FixtureRequest) -> tuple[BinaryLayer, Tensor]:
    method, _, name = request.param.partition("-")
    torch.manual_seed(1)
    make, example = LAYERS[name]
    layer = make(method=method)
    set_progress(layer, epoch=1, epochs=3)
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.normal_()
        for parameter in () if layer.activation is None else layer.activation.parameters():
            parameter.normal_(0, 0.3)
    return layer, example()


def evaluate(layer: BinaryLayer, x: Tensor) -> Tensor:
    layer.eval()
    with torch.no_grad():
        return layer(x)


def simulate(layer: Any, x: Tensor) -> Tensor:
    """The layer contract, written from the document: what freeze, the ONNX function and the engine do."""
    spec = layer.binary_spec()
    w = spec.weight.float() * 2 - 1
    if isinstance(layer, BinaryEmbedding):
        return w[x] * spec.weight_scale[x].unsqueeze(-1)
    code = spec.activation
    nd = len(layer.shape.kernel_size)

    def channels(v: Tensor) -> Tensor:
        return v.view(-1, *(1,) * nd)

    a = torch.where(x >= channels(code.threshold), 1.0, code.low)
    if isinstance(layer, BinaryLinear):
        acc = F.linear(a, w)
    elif isinstance(layer, BinaryConvTranspose2d):
        acc = F.conv_transpose2d(
            a, w, None, layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        )
    else:
        s = layer.shape
        pads = [p for b, e in zip(reversed(s.pads_begin), reversed(s.pads_end), strict=True) for p in (b, e)]
        if s.pad_mode == "replicate":
            a = F.pad(a, pads, mode="replicate")
        else:
            a = F.pad(a, pads, value=s.pad_value)
        conv = (F.conv1d, F.conv2d, F.conv3d)[nd - 1]
        acc = conv(a, w, None, s.stride, 0, s.dilation, s.groups)
    assert torch.equal(acc, acc.round())
    y = acc * channels(spec.weight_scale * code.scale)
    return y if spec.bias is None else y + channels(spec.bias)


def test_binary_weights_have_two_values_per_scale_group(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, _ = case
    for row in layer._to_filters(layer.binary):
        values = row.unique()
        assert len(values) <= 2
        assert float((values.abs() - values.abs()[0]).abs().max()) == 0
        assert float(values.abs()[0]) > 0


def test_scaling_the_latent_weight_keeps_signs(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, _ = case
    before = layer.binary_spec()
    with torch.no_grad():
        layer.weight.mul_(4.0)  # a power of two: exact in floating point
    after = layer.binary_spec()
    assert torch.equal(before.weight, after.weight)
    expected = {"none": 1.0, "filter": 4.0, "layer": 4.0, "power_of_two": 1.0}[layer.weight_binarizer.scale_rule]
    torch.testing.assert_close(after.weight_scale, expected * before.weight_scale)


def test_eval_equals_train(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    train = layer.train()(x)
    torch.testing.assert_close(
        evaluate(layer, x), train.detach(), rtol=1e-6, atol=1e-6 * float(train.detach().abs().max())
    )


def test_spec_reproduces_eval_bit_for_bit(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    assert torch.equal(evaluate(layer, x), simulate(layer, x))


def test_eval_is_exact_under_autocast_and_with_gradients(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    exact = evaluate(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(evaluate(layer, x), exact)
    y = layer(x)
    assert torch.equal(y.detach(), exact)
    y.square().sum().backward()
    in_eval = layer.weight.grad
    layer.weight.grad = None
    t = layer.train()(x)
    t.backward(2 * y.detach())
    torch.testing.assert_close(in_eval, layer.weight.grad)


def test_latent_weight_gets_a_gradient(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    y = layer.train()(x)
    y.backward(torch.randn_like(y))
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_nothing_is_created_late(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    before = {k: id(v) for k, v in [*layer.named_parameters(), *layer.named_buffers()]}
    keys = list(layer.state_dict())
    layer.train()(x).sum().backward()
    evaluate(layer, x)
    assert {k: id(v) for k, v in [*layer.named_parameters(), *layer.named_buffers()]} == before
    assert list(layer.state_dict()) == keys


def test_reload_copy_and_pickle_keep_bits(case: tuple[BinaryLayer, Tensor], request: pytest.FixtureRequest) -> None:
    layer, x = case
    expected = evaluate(layer, x)
    assert torch.equal(evaluate(copy.deepcopy(layer), x), expected)
    assert torch.equal(evaluate(pickle.loads(pickle.dumps(layer)), x), expected)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    fresh = copy.deepcopy(layer)
    fresh.reset_parameters()
    set_progress(fresh, epoch=0, epochs=3)
    assert not torch.equal(fresh.weight, layer.weight)
    fresh.load_state_dict(state, strict=True)
    assert torch.equal(fresh.packed, layer.packed)
    assert torch.equal(evaluate(fresh, x), expected)
    for name, value in layer.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_views_agree(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, _ = case
    spec = layer.binary_spec()
    assert layer.latent is layer.weight
    assert layer.packed.dtype == torch.uint8
    bits = unpack_filters(layer.packed, layer.shape.filter_shape[1], layer.shape.kernel_size)
    assert torch.equal(layer._from_filters(bits), spec.weight)
    assert spec.weight.shape == layer.weight.shape
    assert spec.weight.dtype == torch.bool
    scale = spec.weight_scale.view(-1, *(1,) * (bits.dim() - 1))
    torch.testing.assert_close(layer._to_filters(layer.binary), scale * (bits.float() * 2 - 1), rtol=1e-6, atol=0)
    assert not layer.binary.requires_grad


def test_training_under_autocast(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer.train()(x)
    y.float().square().sum().backward()
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert torch.isfinite(layer.weight.grad).all()
    assert layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(method: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(5, 4, 3, padding=1, method=method, dtype=dtype)
    x = torch.randn(2, 5, 6, 6, dtype=dtype)
    assert layer.weight.dtype == dtype
    set_progress(layer, epoch=0, epochs=1)
    y = layer(x)
    assert y.dtype == dtype
    y.sum().backward()
    assert evaluate(layer, x).dtype == dtype


@pytest.mark.parametrize("method", METHODS)
def test_nan_and_signed_zero_inputs(method: str) -> None:
    layer = BinaryLinear(4, 2, method=method)
    x = torch.tensor([[float("nan"), 0.0, -0.0, 1.0]])
    set_progress(layer, epoch=0, epochs=1)
    low = get_method(method).build_activation(layer.shape).low  # type: ignore[union-attr]
    a = torch.tensor([[low, 1.0, 1.0, 1.0]]) if low < 0 else torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    expected = F.linear(a, layer.binary)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(evaluate(layer, x), expected)


def test_facts_match_the_code() -> None:
    """`needs_epoch`, `learned` and `packable` of every method are what its layers really do."""
    for info in list_methods():
        layer = BinaryConv2d(4, 4, 3, method=info.name)
        assert info.needs_epoch == any(getattr(m, "needs_epoch", False) for m in layer.modules()), info.name
        learned = [n for n, _ in layer.named_parameters() if n not in ("weight", "bias")]
        assert bool(info.learned) == bool(learned), info.name
        if info.packable.startswith("yes"):
            layer.binary_spec()


@pytest.mark.parametrize("method", METHODS)
def test_schedule_warning_only_where_one_is_needed(method: str) -> None:
    layer = BinaryLinear(4, 4, method=method)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        layer(torch.randn(2, 4)).sum().backward()
    asked = any(issubclass(w.category, ScheduleNotSetWarning) for w in caught)
    assert asked == any(info.needs_epoch for info in list_methods() if info.name == method)


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_learns(method: str) -> None:
    """Gradient descent on a teacher's outputs lowers the loss: the gradient points the right way."""
    torch.manual_seed(0)
    teacher, layer = BinaryLinear(24, 8, method=method), BinaryLinear(24, 8, method=method)
    for model in (teacher, layer):
        set_progress(model, epoch=1, epochs=2)
    x = torch.randn(256, 24)
    target = evaluate(teacher, x)
    target = target / target.std()
    head = nn.BatchNorm1d(8)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=5e-3)
    losses = []
    for _ in range(80):
        loss = F.mse_loss(head(layer(x)), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
    assert losses[-1] < 0.6 * losses[0]
