"""What must hold for every method in every layer; generated from the registry.

A method that does not have a property says so, with the reason, in its facts (`MethodInfo.departs`); a kind of layer
that it makes no sense for is in `MethodInfo.refuses` and has to be refused with that reason. Nothing else is left out.
"""

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

from bitwright.binarize import (
    MethodInfo,
    ScheduleNotSetWarning,
    after_step,
    before_step,
    initialize_from_data,
    list_methods,
    method_info,
    regularization,
    set_progress,
)
from bitwright.binarize.codes import ActivationCode
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
    "conv2d_one": (lambda **k: BinaryConv2d(40, 3, 1, padding=1, **{"pad_value": 1, **k}), maps(2, 40, 3, 3)),
    "conv2d_even_same": (lambda **k: BinaryConv2d(3, 4, 2, padding="same", **k), maps(2, 3, 5, 5)),
    "conv3d": (lambda **k: BinaryConv3d(3, 4, 2, padding=1, **{"pad_value": 1, **k}), maps(2, 3, 4, 4, 4)),
    "transposed": (
        lambda **k: BinaryConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2, bias=True, **k),
        maps(2, 4, 5, 5),
    ),
    "linear": (lambda **k: BinaryLinear(33, 7, bias=True, **k), maps(4, 33)),
    "linear_tokens": (lambda **k: BinaryLinear(6, 5, **k), maps(2, 3, 6)),
    "embedding": (lambda **k: BinaryEmbedding(11, 5, **k), lambda: torch.randint(0, 11, (3, 4))),
}


def kind_of(name: str) -> str:
    head = name.split("_")[0]
    return {"transposed": "conv_transpose"}.get(head, "conv" if head.startswith("conv") else head)


def supported(info: MethodInfo, name: str) -> bool:
    return kind_of(name) not in info.refuses


CASES = [(info.name, name) for info in list_methods() for name in LAYERS if supported(info, name)]


def build(method: str, name: str) -> tuple[BinaryLayer, Tensor]:
    """A layer in the middle of its training, with parameters that are not at their starting values."""
    torch.manual_seed(1)
    make, example = LAYERS[name]
    options: dict[str, Any] = {}
    if "output size" in method_info(method).requires and kind_of(name) == "conv":
        probe = make(method="bnn")
        options["output_size"] = tuple(probe(example()).shape[2:])
        torch.manual_seed(1)
    try:
        layer = make(method=method, **options)
    except ValueError as error:  # activations of several bits are padded with zeros only
        if "pad_value must be 0" not in str(error):
            raise
        layer = make(method=method, pad_value=0, **options)
    x = example()
    set_progress(layer, epoch=1, epochs=3)
    if x.is_floating_point():
        initialize_from_data(layer, x)
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.normal_()
        for part in (layer.activation, layer.output):
            for parameter in () if part is None else part.parameters():
                # around the starting value: scales stay positive, shifts leave 0
                parameter.add_(0.3 * torch.rand_like(parameter))
    return layer, x


@pytest.fixture(params=CASES, ids=lambda c: "-".join(c))
def case(request: pytest.FixtureRequest) -> tuple[BinaryLayer, Tensor]:
    return build(*request.param)


def leave_out(layer: BinaryLayer, what: str) -> None:
    """Skips where the method's facts say that it does not have the property."""
    reason = method_info(layer.method_name).departs.get(what)
    if reason:
        pytest.skip(reason)


def need_planes(layer: BinaryLayer) -> None:
    if not layer.is_exact:
        pytest.skip("eval mode of this method is not made of bit planes")


@pytest.mark.parametrize(
    ("method", "name"), [(i.name, n) for i in list_methods() for n in LAYERS if not supported(i, n)]
)
def test_what_makes_no_sense_is_refused_with_the_reason(method: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"method '{method}'") as error:
        LAYERS[name][0](method=method)
    assert method_info(method).refuses[kind_of(name)] in str(error.value)


def evaluate(layer: BinaryLayer, x: Tensor) -> Tensor:
    layer.eval()
    with torch.no_grad():
        return layer(x)


def simulate(layer: Any, x: Tensor) -> Tensor:
    """The layer contract, written from the document: what freeze, the ONNX function and the engine do."""
    terms = layer.binary_terms()
    nd = len(layer.shape.kernel_size)

    def channels(v: Tensor) -> Tensor:
        return v.view(-1, *(1,) * nd)

    z, factor, each = x, None, None
    if terms.prepares:
        each = layer.activation.prepare_terms(x)
        if each is None:
            z, factor = layer.activation.prepare(x)
    inputs: list[tuple[Tensor, Any, Tensor | None]] = [(z, None, None)]
    if terms.activations is not None:
        inputs = []
        for index, code in enumerate(terms.activations):
            z, part = (z, None) if each is None else each[index]
            if isinstance(code, ActivationCode):
                inputs.append((torch.where(z >= channels(code.threshold), 1.0, code.low), code.scale, part))
            else:
                level = torch.nan_to_num(z * channels(code.gain) + channels(code.offset), nan=0.0).round()
                inputs.append((level.clamp(0, code.top), code.scale, part))
    total: Tensor | None = None
    for plane in terms.weights:
        w = plane.bits.float() * 2 - 1
        for a, scale, part in inputs:
            if isinstance(layer, BinaryEmbedding):
                y = w[x] * plane.scale[x].unsqueeze(-1)
            else:
                acc = linear_map(layer, a, w)
                if scale is None:
                    y = acc * channels(plane.scale)
                else:
                    assert torch.equal(acc, acc.round())
                    y = acc * channels(plane.scale * scale)
            y = y if part is None else y * part
            total = y if total is None else total + y
    assert total is not None
    if terms.constant is not None:
        total = total + channels(terms.constant)
    if terms.mixing is not None:
        ones = (1,) * nd
        signs = (terms.mixing.bits.float() * 2 - 1).view(*terms.mixing.bits.shape, *ones)
        maps = (F.linear, F.conv1d, F.conv2d, F.conv3d)[nd]
        total = maps(total, signs, **({"groups": layer.shape.groups} if nd else {})) * channels(terms.mixing.scale)
    if factor is not None:
        total = total * factor
    if not terms.folded:
        total = layer.output(total, x)
    return total if terms.bias is None else total + channels(terms.bias)


def linear_map(layer: Any, a: Tensor, w: Tensor) -> Tensor:
    if isinstance(layer, BinaryLinear):
        return F.linear(a, w)
    if isinstance(layer, BinaryConvTranspose2d):
        return F.conv_transpose2d(
            a, w, None, layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation
        )
    s = layer.shape
    pads = [p for b, e in zip(reversed(s.pads_begin), reversed(s.pads_end), strict=True) for p in (b, e)]
    a = F.pad(a, pads, mode="replicate") if s.pad_mode == "replicate" else F.pad(a, pads, value=s.pad_value)
    conv = (F.conv1d, F.conv2d, F.conv3d)[len(s.kernel_size) - 1]
    return conv(a, w, None, s.stride, 0, s.dilation, s.groups)


def test_binary_weights_have_two_values_per_scale_group(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, _ = case
    leave_out(layer, "two values")
    for row in layer.eval()._to_filters(layer.binary):
        values = row.unique()
        assert len(values) <= 2
        assert float((values.abs() - values.abs()[0]).abs().max()) == 0
        assert float(values.abs()[0]) > 0


def test_scaling_the_latent_weight_keeps_signs(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, _ = case
    leave_out(layer, "scale equivariance")
    layer.eval()
    if not layer.is_exact:
        old_weight = layer.binary
        with torch.no_grad():
            layer.weight.mul_(4.0)
        ratio = layer.binary / old_weight
        torch.testing.assert_close(ratio, torch.full_like(ratio, float(ratio.flatten()[0])))
        assert min(abs(float(ratio.flatten()[0]) - s) for s in (1, 4)) < 1e-4
        return
    before = layer.binary_terms()
    with torch.no_grad():
        layer.weight.mul_(4.0)  # a power of two: exact in floating point
    after = layer.binary_terms()
    for old, new in zip(before.weights, after.weights, strict=True):
        assert torch.equal(old.bits, new.bits)
        factor = float(new.scale.flatten()[0] / old.scale.flatten()[0])
        assert min(abs(factor - 1), abs(factor - 4)) < 1e-4
        torch.testing.assert_close(new.scale, round(factor) * old.scale, rtol=1e-4, atol=1e-7)


def test_eval_equals_train(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    leave_out(layer, "train equals eval")
    train = layer.train()(x)
    torch.testing.assert_close(
        evaluate(layer, x), train.detach(), rtol=1e-6, atol=1e-6 * float(train.detach().abs().max())
    )


def test_spec_reproduces_eval_bit_for_bit(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    need_planes(layer.eval())
    with torch.no_grad():
        assert torch.equal(evaluate(layer, x), simulate(layer, x))


def test_eval_is_exact_under_autocast_and_with_gradients(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    need_planes(layer.eval())
    exact = evaluate(layer, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(evaluate(layer, x), exact)
    y = layer(x)
    assert torch.equal(y.detach(), exact)
    if method_info(layer.method_name).departs.keys() & {"train equals eval", "latent gradient"}:
        return
    y.square().sum().backward()
    in_eval = layer.weight.grad
    layer.zero_grad()
    t = layer.train()(x)
    t.backward(2 * y.detach())
    torch.testing.assert_close(in_eval, layer.weight.grad)


def test_latent_weight_gets_a_gradient(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    leave_out(layer, "latent gradient")
    layer.train()
    # larger inputs too: a clipping value has a gradient only where something is clipped
    for example in (x, 8 * x) if x.is_floating_point() else (x,):
        y = layer(example)
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
    fresh.load_state_dict(state, strict=True)
    assert torch.equal(fresh.eval().binary, layer.eval().binary)
    assert torch.equal(evaluate(fresh, x), expected)
    for name, value in layer.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value), name


def test_views_agree(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, _ = case
    need_planes(layer.eval())
    assert layer.latent is layer.weight
    assert not layer.binary.requires_grad
    if layer.weight_binarizer.planes != 1:
        return
    plane = layer.binary_terms().weights[0]
    assert layer.packed.dtype == torch.uint8
    bits = unpack_filters(layer.packed, layer.weight_shape.filter_shape[1], layer.weight_shape.kernel_size)
    assert torch.equal(layer._from_filters(bits), plane.bits)
    assert plane.bits.dtype == torch.bool


def test_training_under_autocast(case: tuple[BinaryLayer, Tensor]) -> None:
    layer, x = case
    leave_out(layer, "latent gradient")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer.train()(x)
    y.float().square().sum().backward()
    assert layer.weight.dtype == torch.float32
    assert layer.weight.grad is not None
    assert torch.isfinite(layer.weight.grad).all()
    assert layer.weight.grad.abs().sum() > 0


def kinds(method: str) -> list[str]:
    """A convolution and a linear layer, where the method has them."""
    return [name for name in ("conv2d", "linear") if supported(method_info(method), name)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(method: str, dtype: torch.dtype) -> None:
    layer, x = build(method, kinds(method)[0])
    layer, x = layer.to(dtype), x.to(dtype)
    y = layer(x)
    assert y.dtype == dtype
    y.sum().backward()
    assert evaluate(layer, x).dtype == dtype


@pytest.mark.parametrize("method", METHODS)
def test_nan_and_signed_zero_inputs(method: str) -> None:
    """NaN is the lower level; 0 and -0 are the same; an activation of bits has no third value."""
    layer, x = build(method, kinds(method)[0])
    a = layer.eval().activation
    if a is None or not layer.is_exact or a.prepares or not layer.binary_terms().folded:
        pytest.skip("the layer's result is more than comparisons with fixed thresholds: NaN may pass")
    with torch.no_grad():
        lowest, nan = torch.full_like(x, -torch.inf), torch.full_like(x, torch.nan)
        if len(a.terms()) == 1:
            assert torch.equal(evaluate(layer, nan), evaluate(layer, lowest))
        assert not torch.isnan(evaluate(layer, nan)).any()
        assert torch.equal(evaluate(layer, torch.zeros_like(x)), evaluate(layer, -torch.zeros_like(x)))
        for value in (nan, lowest, torch.full_like(x, torch.inf), torch.zeros_like(x)):
            if "train equals eval" not in method_info(method).departs:
                torch.testing.assert_close(evaluate(layer, value), layer.train()(value))


def test_facts_match_the_code() -> None:
    """`needs_epoch`, `learned`, `packable` and the bits of every method are what its layers really do."""
    for info in list_methods():
        layer, _ = build(info.name, kinds(info.name)[0])
        assert info.needs_epoch == any(getattr(m, "needs_epoch", False) for m in layer.modules()), info.name
        learned = [n for n, _ in layer.named_parameters() if n not in ("weight", "bias")]
        assert bool(info.learned) == bool(learned), info.name
        if info.packable.startswith("yes"):
            layer.eval().binary_terms()
        assert info.packable.startswith(("yes", "onnx only: ", "no: ")), info.name
        if info.activation_bits == "32":
            assert layer.activation is None or layer.activation.planes == 0, info.name
        if info.weight_bits == "1":
            assert layer.weight_binarizer.planes == 1, info.name
        assert {"weight", "activation"} <= set(info.formula) or info.activation_bits == "32", info.name
        if layer.regularizer is not None:
            assert info.regularizer, info.name
        assert info.provenance, info.name


@pytest.mark.parametrize("method", METHODS)
def test_schedule_warning_only_where_one_is_needed(method: str) -> None:
    fresh, x = build(method, kinds(method)[0])
    for module in fresh.modules():
        if hasattr(module, "schedule_set"):
            module.schedule_set.fill_(False)
            module._warn = True
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fresh.train()(x).sum().backward()
    asked = any(issubclass(w.category, ScheduleNotSetWarning) for w in caught)
    assert asked == any(hasattr(module, "schedule_set") for module in fresh.modules())


@pytest.mark.parametrize("method", METHODS)
def test_deepcopy_and_state_are_independent(method: str) -> None:
    layer, x = build(method, kinds(method)[0])
    twin = copy.deepcopy(layer)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.neg_()
    for (name, a), (_, b) in zip(layer.named_parameters(), twin.named_parameters(), strict=True):
        assert a.data_ptr() != b.data_ptr(), name
    evaluate(layer, x)


@pytest.mark.parametrize("method", METHODS)
def test_steps_keep_the_bits_finite(method: str) -> None:
    """Ten steps of an optimizer with all hooks: the latent weight stays finite, what is fixed stays fixed."""
    layer, x = build(method, kinds(method)[0])
    fixed = {n: p.detach().clone() for n, p in layer.named_parameters() if not p.requires_grad}
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9, weight_decay=0.01)
    layer.train()
    for step in range(10):
        set_progress(layer, epoch=0, epochs=1, step=step, steps=10)
        loss = layer(x).square().mean()
        extra = regularization(layer)
        loss = loss if extra is None else loss + extra
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
        before_step(layer)
        optimizer.step()
        after_step(layer)
    for name, value in layer.state_dict().items():
        assert torch.isfinite(value.float()).all(), name
    for name, value in fixed.items():
        assert torch.equal(layer.get_parameter(name), value), name


@pytest.mark.parametrize("method", METHODS)
def test_a_layer_learns(method: str) -> None:
    """Gradient descent on a teacher's outputs lowers the loss: the gradient points the right way."""
    if reason := method_info(method).departs.get("learns"):
        pytest.skip(reason)
    if "linear" in method_info(method).refuses:
        pytest.skip("no linear layers")
    torch.manual_seed(0)
    teacher, layer = BinaryLinear(24, 8, method=method), BinaryLinear(24, 8, method=method)
    x = torch.randn(256, 24)
    for model in (teacher, layer):
        set_progress(model, epoch=1, epochs=2)
        initialize_from_data(model, x)
    target = evaluate(teacher, x)
    target = target / target.std()
    head = nn.BatchNorm1d(8)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=5e-3)
    losses = []
    for _ in range(80):
        loss = F.mse_loss(head(layer(x)), target)
        optimizer.zero_grad()
        loss.backward()
        before_step(layer)
        optimizer.step()
        after_step(layer)
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
