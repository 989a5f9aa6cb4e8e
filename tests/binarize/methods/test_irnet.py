"""IR-Net, its schedules, LCR-BNN: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import pytest
import torch
from tests.binarize.against import C0, W0, close, differentiate, printed, random_rows, weight_part

from bitwright.binarize import (
    set_progress,
)


@pytest.mark.parametrize(
    ("k", "t", "expected"),
    [
        (10, 0.1, [[-1.680530, -1.457938, 0.890370, 2.248098], [-1.473725, -0.084195, 2.473775, -0.915854]]),
        (1, 2, [[-5.044430, -4.420258, 2.496688, 6.967999], [-1.207377, 0.347953, 2.547852, -1.688428]]),
    ],
)
def test_irnet_vectors(k: float, t: float, expected: list[list[float]]) -> None:
    part = weight_part("irnet", 2, 4)
    part.estimator.set(k=k, t=t)
    printed(
        part.normalize(torch.tensor(W0)),
        [[1.134975, -1.286305, 0.226995, -0.075665], [-1.058475, 1.250926, -0.481125, 0.288675]],
    )
    value, grad = differentiate(part, W0, C0)
    close(value, [[0.5, -0.5, 0.5, -0.5], [-1, 1, -1, 1]])
    printed(grad, expected)
    close(grad.sum(1), 0)
    close((grad * (W0 - W0.mean(1, keepdims=True))).sum(1), 0)


def test_irnet_forward_is_invariant_to_scale_and_shift() -> None:
    w, g = random_rows(3, 4, 30)
    part = weight_part("irnet", 4, 30)
    close(differentiate(part, 3.7 * w + 0.4, g)[0], differentiate(part, w, g)[0])


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("irnet", {}, {0: (0.1, 10), 200: (1, 1), 399: (9.885531, 1)}),
        ("irnet", {"t_min": 1e-3}, {0: (1e-3, 1e3), 100: (0.01, 100), 200: (0.1, 10), 300: (1, 1)}),
        ("lcrbnn", {}, {0: (1e-3, 1e3), 399: (9.772372, 1)}),
        ("rbnn", {}, {0: (0.01, 100), 400: (10, 1)}),
    ],
)
def test_schedules(method: str, options: dict[str, float], expected: dict[int, tuple[float, float]]) -> None:
    part = weight_part(method, 2, 4, **options)
    for epoch, (t, k) in expected.items():
        set_progress(part, epoch=epoch, epochs=400)
        assert float(part.estimator.t) == pytest.approx(t, rel=1e-6)
        assert float(part.estimator.k) == pytest.approx(k, rel=1e-6)
