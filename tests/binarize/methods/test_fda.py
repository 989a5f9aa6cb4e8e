"""FDA-BNN: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.binarize.against import (
    close,
    printed,
    random_rows,
    weight_part,
)

from bitwright.binarize import (
    get_estimator,
    set_progress,
)
from bitwright.nn import BinaryConv2d


@pytest.mark.parametrize(("epoch", "alpha"), [(0, 0.099998), (199, 0.05), (399, 0)])
def test_fda_schedule(epoch: int, alpha: float) -> None:
    part = weight_part("fda", 2, 8)
    set_progress(part, epoch=epoch, epochs=400)
    assert float(part.noise.alpha) == pytest.approx(alpha, abs=1e-6)
    assert int(part.estimator.n) == 9 + 9 * epoch // 400


def expected(x: np.ndarray, n: int) -> np.ndarray:
    """The closed form of the series, 0 outside the window."""
    u = 0.1 * x
    return 0.4 / np.pi * np.sin(2 * (n + 1) * u) / (2 * np.sin(u)) * (np.abs(x) <= 1)


@pytest.mark.parametrize(("n", "peak", "at"), [(9, 1.273240, 0.579843), (18, 2.419155, -0.390171)])
def test_fda_series(n: int, peak: float, at: float) -> None:
    estimator = get_estimator("fourier", n=n, n_end=n).double()
    printed(estimator.derivative(torch.tensor([0.0, 1.0, 1.01], dtype=torch.float64)), [peak, at, 0])
    x = random_rows(0, 50)[0]
    close(estimator.derivative(torch.tensor(x)), expected(x, n))


def test_fda_noise_is_learned_and_absent_in_eval_mode() -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(8, 4, 3, method="fda")
    set_progress(layer, epoch=0, epochs=4)
    x = torch.randn(2, 8, 6, 6)
    with torch.no_grad():
        plain = BinaryConv2d(8, 4, 3, method="bireal")
        plain.set_latent(layer.weight)
        assert torch.equal(layer.eval()(x), plain.eval()(x))
        assert not torch.allclose(layer.train()(x), plain(x), atol=1e-3)
        set_progress(layer, epoch=3, epochs=4)
        torch.testing.assert_close(layer(x), plain.train()(x))
    set_progress(layer, epoch=0, epochs=4)
    layer(x).square().sum().backward()
    for part in (layer.weight_binarizer, layer.activation):
        assert float(part.noise.fc1.grad.abs().sum()) > 0
        assert float(part.noise.fc2.grad.abs().sum()) > 0


def test_fda_one_scale_a_layer() -> None:
    w, _ = random_rows(0, 4, 64)
    code = weight_part("fda", 4, 64, scale="layer").codes(torch.tensor(w))[0]
    close(code.scale, np.full(4, np.abs(w).mean()))
