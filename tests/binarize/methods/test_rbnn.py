"""RBNN: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from tests.binarize.against import activation_part, close, random_rows, weight_part

from bitwright.binarize import (
    set_progress,
)
from bitwright.nn import BinaryConv2d


def standardize(w: np.ndarray) -> np.ndarray:
    """Rows to mean 0 and standard deviation 1 (n - 1)."""
    return (w - w.mean(1, keepdims=True)) / w.std(1, ddof=1, keepdims=True)


def test_rbnn_activation_is_steep_from_the_start() -> None:
    a = activation_part("rbnn", 12)
    set_progress(a, epoch=0, epochs=10)
    assert (float(a.estimator.k), float(a.estimator.t)) == (1, 1)
    set_progress(a, epoch=9, epochs=10)
    assert float(a.estimator.t) == pytest.approx(10 ** (-2 + 2.7))


def test_rbnn_rotation_is_orthogonal_and_brings_filters_to_their_signs() -> None:
    w = torch.tensor(random_rows(0, 16, 2 * 9)[0].reshape(16, 2, 3, 3))
    part = weight_part("rbnn", 16, 2, (3, 3), sweeps=1)
    standard = torch.tensor(standardize(w.numpy().reshape(16, 18))).view_as(w)
    close(part.rotate(standard).flatten(1).norm(dim=1), standard.flatten(1).norm(dim=1), 1e-6)
    objective = [float(part.rotate(standard).abs().sum())]
    for _ in range(6):
        part.update_rotation(w)
        for r in (part.rotation1, part.rotation2):
            close(r.T @ r, np.eye(len(r)), 1e-6)
        objective.append(float(part.rotate(standard).abs().sum()))
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(objective))
    assert objective[-1] > 1.01 * objective[0]


def test_rbnn_rotates_once_an_epoch() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(4, 8, 3, method="rbnn")
    set_progress(layer, epoch=0, epochs=5, step=0, steps=50)
    first = layer.weight_binarizer.rotation1.clone()
    set_progress(layer, epoch=0, epochs=5, step=1, steps=50)
    assert torch.equal(first, layer.weight_binarizer.rotation1)
    set_progress(layer, epoch=1, epochs=5, step=10, steps=50)
    assert not torch.equal(first, layer.weight_binarizer.rotation1)


@pytest.mark.parametrize(("theta", "factor"), [(0.5, 0.520574), (1.0, 0.158529), (math.pi / 2, 0)])
def test_rbnn_code_gradient_factor(theta: float, factor: float) -> None:
    w, _ = random_rows(0, 1, 9)
    part = weight_part("rbnn", 1, 9, backward="code")
    with torch.no_grad():
        part.theta.fill_(theta)
    z = torch.tensor(standardize(w), requires_grad=True)
    part.center, part.standardize = "none", False
    part.normalize(z).sum().backward()
    close(z.grad, np.full((1, 9), factor), 1e-6)


@pytest.mark.parametrize(
    ("inputs", "kernel", "rows"),
    [(16, 9, 12), (32, 9, 16), (64, 9, 24), (128, 9, 32), (256, 9, 48), (512, 9, 64), (7, 1, 1)],
)
def test_rbnn_sizes_of_the_rotations(inputs: int, kernel: int, rows: int) -> None:
    part = weight_part("rbnn", 2, inputs, (kernel,))
    assert part.rotation1.shape == (rows, rows)
    assert part.rotation2.shape[0] == inputs * kernel // rows
