"""What a reference file gives, and the plain convolution with its gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Params = Mapping[str, Array]  # the layer's parameters and buffers, by their names in the state_dict
Grads = Any  # the gradient of the input alone, or (that, {parameter's name: its gradient})
Quantizer = Callable[[Array, Params], tuple[Array, Callable[[Array], Grads]]]
Output = Callable[[Array, Array, Params], tuple[Array, Callable[[Array], Grads]]]

PAD, STRIDE = 1, 2  # of the convolution that everything is compared in; kernel 3x3
AXES = (1, 2, 3)  # a filter's


def _normal(scale: float, mean: float = 0.0) -> Callable[[np.random.Generator, tuple[int, ...]], Array]:
    return lambda rng, shape: rng.normal(mean, scale, shape)


@dataclass(frozen=True)
class Case:
    """A method with one set of options.

    Attributes:
        options: of the method.
        weight: (latent weight, params) -> (value, gradient with respect to the value -> latent gradient).
        activation: (x, params) -> (value including every scale, gradient with respect to it -> gradient of x); None: x.
        output: (y, x, params) -> (result, its gradient -> gradient of y); None: y.
        parameters: values to set first: name in the state_dict -> function of the generator and a shape.
        latent, x: distributions.
        evaluates: whether eval mode has the same value as training mode.
        trains: whether training mode is compared, with gradients; False for methods that draw numbers there.
        loss: (latent, params) -> (the method's regularisation, its latent gradient or (that, {name: gradient})).
    """

    weight: Quantizer
    activation: Quantizer | None = None
    output: Output | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = field(default_factory=dict)
    latent: Callable[[np.random.Generator, tuple[int, ...]], Array] = field(default_factory=lambda: _normal(0.8))
    x: Callable[[np.random.Generator, tuple[int, ...]], Array] = field(default_factory=lambda: _normal(0.8, 0.2))
    evaluates: bool = True
    loss: Callable[[Array, Params], tuple[float, Grads]] | None = None
    trains: bool = True
    groups: tuple[int, ...] = (1, 2)
    tolerance: float = 1e-6


def sign(x: Array) -> Array:
    return np.where(x >= 0, 1.0, -1.0)


def filters(f: Callable[..., Array], w: Array, **kw: Any) -> Array:
    """`f` over every filter, axes kept."""
    return f(w, axis=tuple(range(1, w.ndim)), keepdims=True, **kw)


def channel(v: Array) -> Array:
    """`[C]` to `[1, C, 1, 1]`."""
    return np.asarray(v, np.float64).reshape(1, -1, 1, 1)


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


def convolve(a: Array, w: Array, groups: int) -> tuple[Array, Callable[[Array], tuple[Array, Array]]]:
    """(output, its gradient -> (gradient of w, gradient of a)) of the plain convolution."""
    k = w.shape[-1]
    split = [(windows(ag, k), wg) for ag, wg in zip(np.split(a, groups, 1), np.split(w, groups, 0), strict=True)]
    out = split[0][0][1]
    y = [np.einsum("of,nfp->nop", wg.reshape(len(wg), -1), cols) for (cols, _), wg in split]
    shape = (a.shape[0], a.shape[1] // groups, *a.shape[2:])

    def back(g: Array) -> tuple[Array, Array]:
        gws, gas = [], []
        for gg, ((cols, _), wg) in zip(np.split(g, groups, 1), split, strict=True):
            up = gg.reshape(len(a), len(wg), -1)
            gws.append(np.einsum("nop,nfp->of", up, cols).reshape(wg.shape))
            gas.append(fold(np.einsum("of,nop->nfp", wg.reshape(len(wg), -1), up), shape, k, out))
        return np.concatenate(gws, 0), np.concatenate(gas, 1)

    return np.concatenate(y, 1).reshape(len(a), len(w), *out), back


def schedule(t_min: float, t_max: float) -> tuple[float, float]:
    """(k, t) of EDE and TAA at epoch 3 of 8, where everything is compared."""
    t = 10 ** (np.log10(t_min) + 3 / 8 * (np.log10(t_max) - np.log10(t_min)))
    return max(1 / t, 1.0), t


# activations that several methods share
def sign_activation(slope: Callable[[Array], Array], shift: str = "") -> Quantizer:
    """`sign(x + shift)` with the given slope; `shift` names the learned shift per channel."""

    def quantize(x: Array, p: Params) -> tuple[Array, Callable[[Array], Grads]]:
        z = x + channel(p[shift]) if shift else x

        def back(g: Array) -> Grads:
            gz = g * slope(z)
            return (gz, {shift: gz.sum((0, 2, 3))}) if shift else gz

        return sign(z), back

    return quantize


def clipped(x: Array) -> Array:
    return (np.abs(x) <= 1) * 1.0


def clipped_open(x: Array) -> Array:
    return (np.abs(x) < 1) * 1.0


def triangle(x: Array) -> Array:
    return np.maximum(0, 2 - 2 * np.abs(x))


def ones(x: Array) -> Array:
    return np.ones_like(x)


def ede(t_min: float = 0.1, t_max: float = 10.0) -> Callable[[Array], Array]:
    k, t = schedule(t_min, t_max)
    return lambda x: k * t * (1 - np.tanh(t * x) ** 2)
