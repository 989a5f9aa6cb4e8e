"""Builds a method's parts in float64 and compares them with a reference written in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bitwright.binarize import LayerShape, get_method, set_progress

Array = np.ndarray
W0 = np.array([[0.5, -0.3, 0.2, 0.1], [-0.4, 0.8, -0.1, 0.3]])
C0 = np.array([[1.0, 2, 3, 4], [0.5, -1, 2, -0.5]])


def random_rows(seed: int, *shape: int, spread: float = 0.8) -> tuple[Array, Array]:
    """(values, upstream gradients): values on both sides of every window."""
    random = np.random.default_rng(seed)
    return random.normal(0.02, spread, shape), random.normal(0, 1, shape)


def weight_part(method: str, outputs: int, inputs: int, kernel: tuple[int, ...] = (), **options: Any) -> nn.Module:
    """The method's weight binarizer, float64, in training mode, at the start of a run."""
    shape = LayerShape("conv" if kernel else "linear", inputs, outputs, kernel)
    return _started(get_method(method, **options).build_weight(shape))


def activation_part(method: str, channels: int, **options: Any) -> nn.Module:
    """The method's activation binarizer of a linear layer, float64, in training mode, at the start of a run."""
    part = get_method(method, **options).build_activation(LayerShape("linear", channels, 3))
    assert part is not None
    return _started(part)


def _started(part: nn.Module) -> nn.Module:
    set_progress(part, epoch=0, epochs=1)
    return part.double()


def differentiate(part: nn.Module, x: Array, g: Array, *more: Tensor) -> tuple[Array, ...]:
    """(value, gradient of x, gradients of the tensors `more`) as numpy."""
    leaf = torch.tensor(x, requires_grad=True)
    value = part(leaf)
    grads = torch.autograd.grad((value * torch.tensor(g)).sum(), [leaf, *more])
    return value.detach().numpy(), *(grad.numpy() for grad in grads)


def close(actual: Array | Tensor, expected: Any, tolerance: float = 1e-12) -> None:
    """Equal but for rounding of float64 (or for the digits that were printed)."""
    found, wanted = (v.detach().numpy() if isinstance(v, Tensor) else v for v in (actual, expected))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)


def printed(actual: Array | Tensor, expected: Any) -> None:
    """Equal to published numbers with six decimals."""
    close(actual, expected, 6e-7)


def finite_differences(f: Callable[[Array], float], x: Array, h: float = 1e-6) -> Array:
    """Central differences of a scalar function."""
    grad = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[i] += h
        down[i] -= h
        grad[i] = (f(up) - f(down)) / (2 * h)
    return grad
