"""Every method's convolution against numpy float64, written from the papers' formulas without the library's code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bitwright.binarize import list_methods, set_progress
from bitwright.nn import BinaryConv2d

Array = NDArray[np.float64]
PAD, STRIDE = 1, 2


def sign(x: Array) -> Array:
    return np.where(x >= 0, 1.0, -1.0)


def windows(a: Array, k: int) -> tuple[Array, tuple[int, int]]:
    """im2col of one group: [N, I*k*k, P]."""
    a = np.pad(a, ((0, 0), (0, 0), (PAD, PAD), (PAD, PAD)))
    n, c, h, w = a.shape
    ho, wo = (h - k) // STRIDE + 1, (w - k) // STRIDE + 1
    cols = np.empty((n, c, k, k, ho, wo))
    for i in range(k):
        for j in range(k):
            cols[:, :, i, j] = a[:, :, i : i + STRIDE * ho : STRIDE, j : j + STRIDE * wo : STRIDE]
    return cols.reshape(n, c * k * k, ho * wo), (ho, wo)


def fold(cols: Array, shape: tuple[int, ...], k: int, out: tuple[int, int]) -> Array:
    """The transpose of `windows`."""
    n, c, h, w = shape
    padded = np.zeros((n, c, h + 2 * PAD, w + 2 * PAD))
    cols = cols.reshape(n, c, k, k, *out)
    for i in range(k):
        for j in range(k):
            padded[:, :, i : i + STRIDE * out[0] : STRIDE, j : j + STRIDE * out[1] : STRIDE] += cols[:, :, i, j]
    return padded[:, :, PAD:-PAD, PAD:-PAD]


def convolve(a: Array, w: Array, groups: int, g: Array) -> tuple[Array, Array, Array]:
    """(output, gradient of w, gradient of a) of the plain convolution for upstream gradient g."""
    k, ys, gws, gas = w.shape[-1], [], [], []
    for ag, wg, gg in zip(np.split(a, groups, 1), np.split(w, groups, 0), np.split(g, groups, 1), strict=True):
        cols, out = windows(ag, k)
        flat = wg.reshape(len(wg), -1)
        ys.append(np.einsum("of,nfp->nop", flat, cols).reshape(len(a), len(wg), *out))
        up = gg.reshape(len(a), len(wg), -1)
        gws.append(np.einsum("nop,nfp->of", up, cols).reshape(wg.shape))
        gas.append(fold(np.einsum("of,nop->nfp", flat, up), ag.shape, k, out))
    return np.concatenate(ys, 1), np.concatenate(gws, 0), np.concatenate(gas, 1)


AXES = (1, 2, 3)


def filters(f: Callable[..., Array], w: Array, **kw: Any) -> Array:
    return f(w, axis=AXES, keepdims=True, **kw)


# each: w -> (binary weight, gradient with respect to it -> latent gradient)
WeightRule = Callable[[Array], tuple[Array, Callable[[Array], Array]]]


def bnn(w: Array) -> Any:
    return sign(w), lambda g: g


def xnornet(w: Array) -> Any:
    v = w - w.mean(1, keepdims=True)
    n = v[0].size
    alpha = filters(np.mean, np.abs(v))

    def back(g: Array) -> Array:
        gv = np.sign(v) / n * filters(np.sum, g * sign(v)) + alpha * g * (np.abs(v) <= 1)
        return gv - gv.mean(1, keepdims=True)

    return alpha * sign(v), back


def dorefa(w: Array) -> Any:
    return np.abs(w).mean() * sign(w), lambda g: g


def bireal(w: Array) -> Any:
    alpha = filters(np.mean, np.abs(w))
    return alpha * sign(w), lambda g: g * alpha * (np.abs(w) < 1)


def reactnet(w: Array) -> Any:
    return filters(np.mean, np.abs(w)) * sign(w), lambda g: g * (np.abs(w) <= 1)


T = 10 ** (-1 + 2 * 3 / 8)  # epoch 3 of 8 from 0.1 to 10
K = max(1 / T, 1)


def irnet(w: Array) -> Any:
    n = w[0].size
    centred = w - filters(np.mean, w)
    sd = np.sqrt(filters(np.sum, centred**2) / (n - 1))
    v = centred / sd
    s = 2.0 ** np.round(np.log2(filters(np.mean, np.abs(v))))

    def back(g: Array) -> Array:
        gv = s * g * K * T * (1 - np.tanh(T * v) ** 2)
        # d v_i / d c_j = (delta_ij - v_i v_j / (n - 1)) / sd, then the mean is removed
        gc = (gv - v * filters(np.sum, gv * v) / (n - 1)) / sd
        return gc - filters(np.mean, gc)

    return s * sign(v), back


def triangle(x: Array) -> Array:
    return np.maximum(0, 2 - 2 * np.abs(x))


# each: x -> (levels, slope)
ACTIVATIONS: dict[str, Callable[[Array], tuple[Array, Array]]] = {
    "bnn": lambda x: (sign(x), (np.abs(x) <= 1) * 1.0),
    "xnornet": lambda x: (sign(x), (np.abs(x) < 1) * 1.0),
    "dorefa": lambda x: (np.round(np.clip(x, 0, 1)), ((x >= 0) & (x <= 1)) * 1.0),
    "bireal": lambda x: (sign(x), triangle(x)),
    "irnet": lambda x: (sign(x), K * T * (1 - np.tanh(T * x) ** 2)),
    "reactnet": lambda x: (sign(x), triangle(x)),
}
WEIGHTS: dict[str, WeightRule] = {
    "bnn": bnn,
    "xnornet": xnornet,
    "dorefa": dorefa,
    "bireal": bireal,
    "irnet": irnet,
    "reactnet": reactnet,
}


def test_every_method_has_a_reference() -> None:
    assert {info.name for info in list_methods()} == set(WEIGHTS) == set(ACTIVATIONS)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("method", sorted(WEIGHTS))
def test_forward_and_gradients(method: str, groups: int) -> None:
    rng = np.random.default_rng(7)
    w = rng.normal(0, 0.8, (6, 4 // groups, 3, 3))
    x = rng.normal(0.2, 0.8, (2, 4, 7, 7))
    g = rng.normal(size=(2, 6, 4, 4))
    shift = rng.normal(0, 0.3, 4) if method == "reactnet" else np.zeros(4)

    levels, slope = ACTIVATIONS[method](x + shift.reshape(1, 4, 1, 1))
    binary, back = WEIGHTS[method](w)
    y, gw, ga = convolve(levels, binary, groups, g)

    layer = BinaryConv2d(4, 6, 3, stride=STRIDE, padding=PAD, groups=groups, method=method, dtype=torch.float64)
    set_progress(layer, epoch=3, epochs=8)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(w))
        if method == "reactnet":
            layer.activation.shift.copy_(torch.from_numpy(shift))  # type: ignore[union-attr]
    xt = torch.from_numpy(x).requires_grad_()
    out = layer(xt)
    out.backward(torch.from_numpy(g))

    def same(actual: torch.Tensor | None, expected: Array) -> None:
        assert actual is not None
        # k and t are float32 buffers, so IR-Net agrees to float32 only
        np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=1e-6, atol=1e-6)

    same(out, y)
    same(layer.weight.grad, back(gw))
    same(xt.grad, ga * slope)
    if method == "reactnet":
        same(layer.activation.shift.grad, (ga * slope).sum((0, 2, 3)))  # type: ignore[union-attr]
    layer.eval()
    with torch.no_grad():
        same(layer(xt), y)
