"""Published and recomputed test vectors of each method: values, scales, thresholds, gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bitwright.binarize import (
    LayerShape,
    NotPackableError,
    UnknownNameError,
    clip_latent_,
    get_method,
    list_methods,
    method_info,
    set_progress,
)
from bitwright.binarize.outputs import quantize_gradient
from bitwright.binarize.weights import SignWeight
from bitwright.nn import BinaryConv2d, BinaryLinear, RPReLU

W0 = [[0.5, -0.3, 0.2, 0.1], [-0.4, 0.8, -0.1, 0.3]]
C0 = [[1.0, 2, 3, 4], [0.5, -1, 2, -0.5]]
ROW = [0.5, -0.25, 1.5, -0.75]


def shape_of(weight: Tensor) -> LayerShape:
    return LayerShape("conv", weight.shape[1], weight.shape[0], tuple(weight.shape[2:]))


def run(
    method: str, rows: list[list[float]], grads: list[list[float]], conv: tuple[int, ...] = (), **options: Any
) -> Any:
    """(binary weight, gradient of the latent weight, weight binarizer), flattened to rows, float64."""
    w = torch.tensor(rows, dtype=torch.float64)
    g = torch.tensor(grads, dtype=torch.float64)
    if conv:
        w, g = w.view(len(rows), *conv), g.view(len(rows), *conv)
    w.requires_grad_()
    kind = "conv" if conv else "linear"
    shape = LayerShape(kind, w.shape[1], w.shape[0], tuple(w.shape[2:]))
    binarizer = get_method(method, **options).build_weight(shape).double()
    out = binarizer(w)
    (out * g).sum().backward()
    assert w.grad is not None
    return out.detach().flatten(1), w.grad.flatten(1), binarizer


def close(actual: Tensor, expected: Any, tol: float = 2e-6) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), atol=tol, rtol=0)


# ---------------------------------------------------------------- BNN
def test_bnn_activation_gradient_at_the_ends() -> None:
    layer = BinaryLinear(5, 1, method="bnn")
    with torch.no_grad():
        layer.weight.fill_(0.5)
    a = torch.tensor([[-1.5, -1.0, -0.2, 1.0, 1.01]], requires_grad=True)
    layer(a).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [[0, 1, 1, 1, 0]]


def test_bnn_latent_weight_is_clipped() -> None:
    layer = BinaryLinear(2, 1, method="bnn")
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[0.999, -0.999]]) + torch.tensor([[0.05, -0.05]]))
    clip_latent_(layer)
    assert layer.weight.tolist() == [[1.0, -1.0]]


def test_bnn_outputs_have_the_parity_of_n() -> None:
    layer = BinaryConv2d(4, 3, 3, method="bnn").eval()
    with torch.no_grad():
        y = layer(torch.randn(2, 4, 6, 6))
    assert torch.equal(y % 2, torch.zeros_like(y))
    assert float(y.abs().max()) <= 36


def test_bnn_weight_gradient_is_unchanged_outside_the_window_too() -> None:
    out, grad, _ = run("bnn", [[1.5, -0.2, -3.0]], [[1.0, 2, 3]])
    assert out.tolist() == [[1, -1, -1]]
    assert grad.tolist() == [[1, 2, 3]]


# ---------------------------------------------------------------- XNOR-Net
@pytest.mark.parametrize(
    ("variant", "expected"),
    [("a", [1, 2, 0.75, 4]), ("b", [0.25, 2, -0.5, 3.5]), ("c", [0.75, 1.5, 0, 3]), ("d", [1, 2, 3, 4])],
)
def test_xnornet_gradients(variant: str, expected: list[float]) -> None:
    out, grad, _ = run("xnornet", [ROW], [[1.0, 2, 3, 4]], gradient=variant, center=False)
    close(out, [[0.75, -0.75, 0.75, -0.75]])
    close(grad, [expected])


def test_xnornet_scale_minimises_the_distance() -> None:
    w = torch.tensor([ROW], dtype=torch.float64)
    b = torch.where(w >= 0, 1.0, -1.0).double()

    def cost(alpha: float) -> float:
        return float((w - alpha * b).square().sum())

    out, _, _ = run("xnornet", [ROW], [[0.0] * 4], center=False)
    alpha = float(out.abs()[0, 0])
    assert alpha == 0.75
    assert cost(alpha) == pytest.approx(0.875)
    assert cost(alpha) < min(cost(alpha + 1e-3), cost(alpha - 1e-3))


def test_bwn_error_of_gaussian_weights() -> None:
    torch.manual_seed(0)
    w = torch.randn(64, 4096)
    value = get_method("bwn").build_weight(LayerShape("linear", 4096, 64))(w)
    assert float((w - value).square().sum() / w.square().sum()) == pytest.approx(1 - 2 / torch.pi, abs=4e-3)  # 0.3634


def test_xnornet_centres_over_input_channels_only() -> None:
    _, _, binarizer = run("xnornet", [[1.2, 0.3, -0.6]], [[1.0, 1, 1]], conv=(3, 1, 1))
    w = torch.tensor([1.2, 0.3, -0.6], dtype=torch.float64).view(1, 3, 1, 1)
    close(binarizer.normalize(w).flatten(), [0.9, 0, -0.9])
    assert float(binarizer.codes(w)[0].scale) == pytest.approx(0.6)
    # each kernel position has a mean of its own
    w = torch.tensor([[1.0, 5.0], [3.0, 9.0]], dtype=torch.float64).view(1, 2, 1, 2)
    close(SignWeight(shape_of(w), center="input").normalize(w).flatten(), [-1, -2, 1, 2])


def test_xnornet_depthwise_is_not_centred_away() -> None:
    layer = BinaryConv2d(4, 4, 3, groups=4, method="xnornet")
    assert torch.equal(layer.binary_spec().weight, layer.weight >= 0)


I0 = [[[1.0, -2, 3], [0.5, 0, -1], [2, -1, 1]], [[-1.0, 2, 1], [1.5, -2, 1], [0, 1, -3]]]


def test_xnornet_scale_map() -> None:
    x = torch.tensor([I0])
    padded = BinaryConv2d(2, 3, 3, padding=1, method="xnornet", use_k=True)
    assert padded.output is not None
    k = padded.output.scale_map(x)
    expected = [[0.555556, 0.888889, 0.666667], [0.777778, 1.333333, 1], [0.444444, 0.777778, 0.555556]]
    close(k[0], [expected] * 3, 1e-6)
    valid = BinaryConv2d(2, 1, 2, method="xnornet", use_k=True)
    assert valid.output is not None
    close(valid.output.scale_map(x)[0, 0], [[1.25, 1.5], [1, 1.25]], 1e-6)


def test_xnornet_constant_magnitude_is_a_plain_factor() -> None:
    torch.manual_seed(0)
    x = 0.7 * torch.where(torch.randn(2, 4, 6, 6) >= 0, 1.0, -1.0)
    with_k = BinaryConv2d(4, 5, 3, method="xnornet", use_k=True).eval()
    without = BinaryConv2d(4, 5, 3, method="xnornet").eval()
    without.load_state_dict(with_k.state_dict())
    with torch.no_grad():
        torch.testing.assert_close(with_k(x), 0.7 * without(x), rtol=1e-6, atol=1e-6)
    with pytest.raises(NotPackableError, match="depends on the layer's input"):
        with_k.binary_spec()


def test_xnornet_scale_map_of_groups_linear_and_transposed() -> None:
    x = torch.tensor([I0])
    grouped = BinaryConv2d(2, 4, 3, groups=2, padding=1, method="xnornet", use_k=True)
    assert grouped.output is not None
    k = grouped.output.scale_map(x)
    assert torch.equal(k[0, 0], k[0, 1])
    assert float(k[0, 0, 1, 1]) == pytest.approx(float(x[0, 0].abs().mean()))
    assert float(k[0, 2, 1, 1]) == pytest.approx(float(x[0, 1].abs().mean()))
    linear = BinaryLinear(4, 2, method="xnornet", use_k=True)
    assert linear.output is not None
    assert linear.output.scale_map(torch.tensor([[1.0, -2, 3, 0]])).tolist() == [[1.5]]
    from bitwright.nn import BinaryConvTranspose2d

    with pytest.raises(ValueError, match="conv_transpose"):
        BinaryConvTranspose2d(2, 2, 2, method="xnornet", use_k=True)


# ---------------------------------------------------------------- DoReFa-Net
W6 = [-0.8, -0.1, 0.0, 0.3, 1.2]


@pytest.mark.parametrize(
    ("bits", "expected"),
    [(2, [-1, -1 / 3, 1 / 3, 1 / 3, 1]), (3, [-0.714286, -0.142857, 0.142857, 0.428571, 1])],
)
def test_dorefa_k_bit_weights(bits: int, expected: list[float]) -> None:
    out, _, binarizer = run("dorefa", [W6], [[1.0] * 5], w_bits=bits)
    close(out, [expected])
    planes = binarizer.codes(torch.tensor([W6]))
    assert len(planes) == bits
    total = sum(p.scale.unsqueeze(1) * (2.0 * p.bits - 1) for p in planes)
    close(total, [expected])


def test_dorefa_k_bit_weight_gradients() -> None:
    factors = [0.670608, 1.187622, 1.199538, 1.097741, 0.365883]
    _, grad, _ = run("dorefa", [W6], [[1.0] * 5], w_bits=2, detach_max=True)
    close(grad, [factors])
    _, grad, _ = run("dorefa", [W6], [[1.0] * 5], w_bits=2)
    close(grad, [[*factors[:4], 0.207328]])


def test_dorefa_one_bit_weights_have_one_scale_and_an_unchanged_gradient() -> None:
    out, grad, _ = run("dorefa", [W6], [[1.0, 2, 3, 4, 5]])
    close(out, [[-0.48, -0.48, 0.48, 0.48, 0.48]])
    assert grad.tolist() == [[1, 2, 3, 4, 5]]
    out, _, _ = run("dorefa", [[1.0, -1], [3.0, 3]], [[1.0, 1], [1, 1]])
    assert out.tolist() == [[2, -2], [2, 2]]


@pytest.mark.parametrize(("bits", "expected"), [(2, [0, 0, 0, 1 / 3, 2 / 3, 1, 1]), (1, [0, 0, 0, 0, 0, 1, 1])])
def test_dorefa_activations(bits: int, expected: list[float]) -> None:
    activation = get_method("dorefa", a_bits=bits).build_activation(LayerShape("linear", 7, 1))
    assert activation is not None
    x = torch.tensor([-0.3, 0.1, 0.16, 0.17, 0.5, 0.84, 1.4], requires_grad=True)
    y = activation(x)
    close(y.detach(), expected, 1e-7)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 1, 1, 0]


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_dorefa_thresholds_are_the_rounding(bits: int) -> None:
    """The planes' comparisons give the quantizer's value for every float around each step."""
    activation = get_method("dorefa", a_bits=bits).build_activation(LayerShape("linear", 1, 1))
    assert activation is not None
    n = 2**bits - 1
    points = [torch.linspace(-0.5, 1.5, 1001)]
    for j in range(1, n + 1):
        x = torch.tensor([(j - 0.5) / n])
        for _ in range(5):
            points += [x, 2 * (j - 0.5) / n - x]
            x = torch.nextafter(x, torch.tensor([2.0]))
    x = torch.cat(points)
    planes = sum((x >= code.threshold).float() for code in activation.codes())
    assert torch.equal(planes, torch.round(x.clamp(0, 1) * n))
    assert torch.equal(activation(x), torch.round(x.clamp(0, 1) * n) / n)
    assert activation.codes()[0].threshold.item() > 0.5 or bits > 1


def test_dorefa_gradient_quantization() -> None:
    g = torch.tensor([[0.5, -2, 1]], dtype=torch.float64)
    close(quantize_gradient(g, 2, noise=False), [[0.666667, -2, 0.666667]])
    close(quantize_gradient(g, 4, noise=False), [[0.4, -2, 0.933333]])
    torch.manual_seed(0)
    many = quantize_gradient(torch.tensor([[0.5, -2, 1]]).repeat(20000, 1), 2)
    assert float(many[:, 0].mean()) == pytest.approx(0.5, abs=0.02)
    assert set(many[:, 0].mul(3).round().tolist()) == {2.0, -2.0}


def test_dorefa_gradient_bits_in_a_layer() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(6, 4, method="dorefa", g_bits=2, noise=False)
    plain = BinaryLinear(6, 4, method="dorefa")
    plain.load_state_dict(layer.state_dict())
    x, g = torch.rand(3, 6), torch.randn(3, 4)
    y = layer(x)
    assert torch.equal(y, plain(x))
    y.backward(g)
    plain(x).backward(quantize_gradient(g, 2, noise=False))
    assert torch.equal(layer.weight.grad, plain.weight.grad)  # type: ignore[arg-type]
    assert layer.eval().binary_spec().weight_scale.shape == (4,)


def test_dorefa_refuses_impossible_bits() -> None:
    for options in ({"w_bits": 9}, {"a_bits": 9}, {"g_bits": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            get_method("dorefa", **options)


# ---------------------------------------------------------------- Bi-Real Net
@pytest.mark.parametrize(
    ("variant", "expected"), [("paper", [0.75, 1.5, 0, 3]), ("pytorch", [1, 2, 0, 4]), ("caffe", [1, 2, 3, 4])]
)
def test_bireal_gradients(variant: str, expected: list[float]) -> None:
    out, grad, _ = run("bireal", [ROW], [[1.0, 2, 3, 4]], weight_gradient=variant)
    close(out, [[0.75, -0.75, 0.75, -0.75]])
    close(grad, [expected])


# ---------------------------------------------------------------- IR-Net
def irnet(k: float, t: float) -> Any:
    binarizer = get_method("irnet").build_weight(LayerShape("conv", 2, 2, (1, 2))).double()
    binarizer.estimator.set(k=k, t=t)
    w = torch.tensor(W0, dtype=torch.float64).view(2, 2, 1, 2).requires_grad_()
    out = binarizer(w)
    (out * torch.tensor(C0, dtype=torch.float64).view(2, 2, 1, 2)).sum().backward()
    assert w.grad is not None
    return binarizer, w, out.detach().flatten(1), w.grad.flatten(1)


def test_irnet_values() -> None:
    binarizer, w, out, _ = irnet(10, 0.1)
    normal = binarizer.normalize(w.detach()).flatten(1)
    close(normal, [[1.134975, -1.286305, 0.226995, -0.075665], [-1.058475, 1.250926, -0.481125, 0.288675]])
    close(normal.abs().mean(1), [0.680985, 0.769800])
    close(binarizer.codes(w)[0].scale, [0.5, 1])
    close(out, [[0.5, -0.5, 0.5, -0.5], [-1, 1, -1, 1]])


@pytest.mark.parametrize(
    ("k", "t", "expected"),
    [
        (
            10,
            0.1,
            [[-1.680530, -1.457938, 0.890370, 2.248098], [-1.473725, -0.084195, 2.473775, -0.915854]],
        ),
        (1, 2, [[-5.044430, -4.420258, 2.496688, 6.967999], [-1.207377, 0.347953, 2.547852, -1.688428]]),
    ],
)
def test_irnet_gradients(k: float, t: float, expected: list[list[float]]) -> None:
    _, w, _, grad = irnet(k, t)
    close(grad, expected)
    close(grad.sum(1), [0, 0])
    centred = w.detach().flatten(1) - w.detach().flatten(1).mean(1, keepdim=True)
    close((grad * centred).sum(1), [0, 0])


def test_irnet_forward_ignores_scale_and_offset() -> None:
    binarizer, w, out, _ = irnet(10, 0.1)
    close(binarizer(3.7 * w.detach() + 0.4).flatten(1), out.tolist())


def test_irnet_constant_filter_stays_finite() -> None:
    binarizer = get_method("irnet").build_weight(LayerShape("linear", 4, 2))
    w = torch.tensor([[0.25] * 4, [1.0, 2, 3, 4]], requires_grad=True)
    out = binarizer(w)
    out.square().sum().backward()
    assert out[0].tolist() == [1, 1, 1, 1]
    assert w.grad is not None
    assert torch.isfinite(w.grad).all()


def test_irnet_refuses_filters_of_one_weight() -> None:
    with pytest.raises(ValueError, match="single weight"):
        BinaryConv2d(4, 4, 1, groups=4, method="irnet")


def test_irnet_t_min_reaches_both_estimators() -> None:
    layer = BinaryConv2d(4, 4, 3, method="irnet", t_min=1e-3)
    set_progress(layer, epoch=0, epochs=10)
    for part in (layer.weight_binarizer, layer.activation):
        assert part is not None
        assert float(part.estimator.t) == pytest.approx(1e-3)


# ---------------------------------------------------------------- ReActNet
def test_reactnet_weight() -> None:
    out, grad, _ = run("reactnet", [[0.5, -1.5, 0.25, 0.75]], [[1.0, 2, 3, 4]])
    close(out, [[0.75, -0.75, 0.75, 0.75]])
    assert grad.tolist() == [[1, 0, 3, 4]]


def test_reactnet_rprelu() -> None:
    act = RPReLU(1)
    with torch.no_grad():
        act.shift_in.fill_(-0.5)
        act.shift_out.fill_(-0.1)
    close(act(torch.tensor([[-1.0], [0.5], [2.0]])).detach().flatten(), [-0.475, -0.1, 1.4], 1e-6)


def test_reactnet_shift_gradient_is_the_sum_over_the_map() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 2, 1, method="reactnet")
    x = torch.randn(2, 3, 4, 4)
    activation = layer.activation
    assert activation is not None
    g = torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        activation.shift.copy_(torch.tensor([0.1, -0.2, 0.3]))
    (activation(x) * g).sum().backward()
    slope = (2 - 2 * (x + torch.tensor([0.1, -0.2, 0.3]).view(3, 1, 1)).abs()).clamp_min(0)
    torch.testing.assert_close(activation.shift.grad, (g * slope).sum((0, 2, 3)))


def test_reactnet_starts_all_positive_only_if_asked() -> None:
    torch.manual_seed(0)
    assert not BinaryLinear(64, 8, method="reactnet").binary_spec().weight.all()
    assert BinaryLinear(64, 8, method="reactnet", init="tiny_positive").binary_spec().weight.all()


# ---------------------------------------------------------------- the registry
def test_registry_lists_the_methods_with_facts() -> None:
    names = [info.name for info in list_methods()]
    assert {"bnn", "xnornet", "dorefa", "bireal", "irnet", "reactnet"} <= set(names)
    assert [i.year for i in list_methods()] == sorted(i.year for i in list_methods())
    for info in list_methods():
        assert info.title
        assert info.summary
        assert info.provenance
        assert info.name == info.name.lower()
        assert method_info(info.name) is info


def test_unknown_names_say_what_exists() -> None:
    with pytest.raises(UnknownNameError, match=r"'ir-net'.*Did you mean 'irnet'.*xnornet"):
        get_method("ir-net")
    with pytest.raises(UnknownNameError, match=r"'t_mim'.*Did you mean 't_min'"):
        get_method("irnet", t_mim=1)
    with pytest.raises(UnknownNameError, match=r"'shfit'.*shift"):
        get_method("reactnet", activation={"shfit": "none"})
    with pytest.raises(UnknownNameError, match=r"option of method 'bnn' 'pading'"):
        BinaryConv2d(4, 4, 3, pading=1)
    with pytest.raises(ValueError, match="weight=None"):
        get_method("bnn", weight=None)


def test_parts_can_be_crossed() -> None:
    method = get_method("irnet", t_min=0.01, activation={"estimator": "approxsign"})
    assert method.parts.activation == {"kind": "sign", "estimator": "approxsign"}
    dotted = get_method("irnet", t_min=0.01, **{"activation.estimator": "approxsign"})
    assert dotted.parts == method.parts
    again = method.with_options(**{"activation.shift": "channel"})
    assert again.parts.activation == {"kind": "sign", "estimator": "approxsign", "shift": "channel"}
    assert again.parts.weight == method.parts.weight
    uniform = get_method("bnn", activation={"kind": "uniform", "bits": 2})
    assert uniform.parts.activation == {"kind": "uniform", "bits": 2}
    assert get_method("xnornet", activation=None).parts.activation is None
    assert get_method(method) is method
    scaled = get_method("bnn", output="channel_scale")
    assert scaled.parts.output == {"kind": "channel_scale"}
    with pytest.raises(ValueError, match="no output part"):
        get_method("bnn", output={"start": "ones"})
