"""Estimators against the published table values, their own primitives, and autograd's rules."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitwright.binarize import (
    ScheduleNotSetWarning,
    UnknownNameError,
    bsign,
    get_estimator,
    list_estimators,
    replace_value,
    set_progress,
)
from bitwright.binarize.estimators import EDE, TAA, Fourier, make_estimator

NAMES = [info.name for info in list_estimators()]
# the slope at one element of the others depends on the whole tensor; the tests of their methods check them
SINGLE = [info.name for info in list_estimators() if info.per_element]
POINTS_1 = [-1.5, -1, -0.5, 0, 0.25, 0.5, 1, 2]
POINTS_2 = [-1.5, -1, -0.4, 0, 0.3, 1, 2]


def gradient(estimator: torch.nn.Module, points: list[float], dtype: torch.dtype = torch.float64) -> Tensor:
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    estimator.eval()(x).sum().backward()
    assert x.grad is not None
    return x.grad


def annealed(cls: type[EDE] | type[TAA], k: float, t: float) -> EDE | TAA:
    estimator = cls()
    estimator.set(k=k, t=t)
    return estimator.double()


TABLE = [
    (get_estimator("identity"), POINTS_1, [1] * 8),
    (get_estimator("clipped"), POINTS_1, [0, 1, 1, 1, 1, 1, 1, 0]),
    (get_estimator("clipped", strict=True), POINTS_2, [0, 0, 1, 1, 1, 0, 0]),
    (get_estimator("clipped", t=1.3), [-1.31, -1.3, 1.3, 1.31], [0, 1, 1, 0]),
    (get_estimator("approxsign"), POINTS_1, [0, 0, 1, 2, 1.5, 1, 0, 0]),
    (get_estimator("approxsign"), POINTS_2, [0, 0, 1.2, 2, 1.4, 0, 0]),
    (
        get_estimator("swishsign"),
        POINTS_1,
        [-0.03034, -0.194992, -0.084622, 5, 2.262047, -0.084622, -0.194992, -0.003631],
    ),
    (annealed(EDE, 10, 0.1), POINTS_1, [0.977833, 0.990066, 0.997504, 1, 0.999375, 0.997504, 0.990066, 0.961043]),
    (annealed(EDE, 1, 10), POINTS_1, [0, 0, 0.001816, 10, 0.265922, 0.001816, 0, 0]),
    (annealed(EDE, 1, 1), POINTS_2, [0.180707, 0.419974, 0.855639, 1, 0.915137, 0.419974, 0.070651]),
    (annealed(EDE, 1, 10), POINTS_2, [0, 0, 0.013410, 10, 0.098660, 0, 0]),
    (get_estimator("softsign"), POINTS_1, [0.16, 0.25, 0.444444, 1, 0.64, 0.444444, 0.25, 0.111111]),
    (
        get_estimator("arctan"),
        POINTS_1,
        [0.086182, 0.183999, 0.576801, 2, 1.236973, 0.576801, 0.183999, 0.049409],
    ),
    (
        Fourier(n=9, omega=math.pi / 2, window=None).double(),
        [0, 0.25, 0.5, 1, 2],
        [20, 2.613126, 0, 0, -20],
    ),
    (annealed(TAA, 10, 0.1), POINTS_2, [1.264214, 1.314214, 1.374214, 1.414214, 1.384214, 1.314214, 1.214214]),
    (annealed(TAA, 1, 1), POINTS_2, [0, 0.414214, 1.014214, 1.414214, 1.114214, 0.414214, 0]),
    (annealed(TAA, 1, 10), POINTS_2, [0, 0, 0, 14.142136, 0, 0, 0]),
    (Fourier(n=9).double(), POINTS_2, [0, 0.579843, 1.142012, 1.273240, 1.198388, 0.579843, 0]),
    (Fourier(n=18).double(), POINTS_2, [0, -0.390171, 1.589921, 2.419155, 1.928469, -0.390171, 0]),
    (get_estimator("halfrange"), POINTS_2, [0, 0, 0, 1, 1, 0, 0]),
    (get_estimator("halfrange"), [-0.5, -0.3, -0.1, 0.4, 1, 1.2], [0, 0, 1, 1, 0, 0]),
    (get_estimator("window"), [-0.1, 0, 0.5, 1, 1.1], [0, 1, 1, 1, 0]),
    (get_estimator("poke"), [*POINTS_2, 2.97, 2.98], [1] * 8 + [0]),
    (get_estimator("stateaware", minus=0.5, plus=2.0), [-1.5, -0.4, 0.3, 1.2], [0, 0.5, 2, 0]),
    (get_estimator("dsq", alpha=0.2), [0, 0.5, 1], [1.373265, 1.029949, 0.494376]),
    (get_estimator("dsq", alpha=0.5), [0], [1.098612]),
]


@pytest.mark.parametrize(("estimator", "points", "expected"), TABLE, ids=lambda v: str(v)[:40])
def test_table(estimator: torch.nn.Module, points: list[float], expected: list[float]) -> None:
    actual = gradient(estimator, points)
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


def test_every_estimator_is_in_the_table_or_has_a_primitive() -> None:
    tested = {type(e).info.name for e, _, _ in TABLE}
    # these two have no published values; their primitives are tested below
    assert set(SINGLE) - tested == {"tanh", "sigmoid"}


@pytest.mark.parametrize("name", SINGLE)
def test_derivative_of_primitive(name: str) -> None:
    """Central differences of the primitive, away from kinks."""
    estimator = get_estimator(name).double()
    x = torch.linspace(-1.93, 1.87, 77, dtype=torch.float64)
    h = 1e-6
    numeric = (estimator.primitive(x + h) - estimator.primitive(x - h)) / (2 * h)
    closed = estimator.derivative(x)
    jump = (estimator.derivative(x + 1e-5) - estimator.derivative(x - 1e-5)).abs() > 1e-2
    assert int(jump.sum()) <= 3
    torch.testing.assert_close(closed[~jump], numeric[~jump], atol=1e-6, rtol=1e-6)
    assert float(estimator.primitive(torch.zeros(1, dtype=torch.float64))) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "area"), [("clipped", 2), ("approxsign", 2), ("swishsign", 2), ("tanh", 2), ("sigmoid", 2)]
)
def test_integral(name: str, area: float) -> None:
    x = torch.linspace(-60, 60, 2_000_001, dtype=torch.float64)
    assert float(torch.trapezoid(get_estimator(name).double().derivative(x), x)) == pytest.approx(area, abs=1e-3)


def test_approxsign_is_closer_to_sign_than_clip() -> None:
    """Area between F and sign on [-1, 1]: 2/3 against 1 (Bi-Real Net, section 3.3)."""
    x = torch.linspace(-1, 1, 200_001, dtype=torch.float64)
    for name, area in (("approxsign", 2 / 3), ("clipped", 1.0)):
        error = (get_estimator(name).primitive(x) - bsign(x)).abs()
        assert float(torch.trapezoid(error, x)) == pytest.approx(area, abs=1e-4)


def test_swishsign_is_negative_past_its_zero() -> None:
    zero = 2.399357 / 5
    assert (
        float(gradient(get_estimator("swishsign"), [zero - 1e-4]))
        > 0
        > float(gradient(get_estimator("swishsign"), [zero + 1e-4]))
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_and_extremes_are_finite(name: str, dtype: torch.dtype) -> None:
    points = [-3e4, -100.0, -12.0, -1.0, -0.0, 0.0, 1e-6, 0.999, 12.0, 100.0, 3e4]
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    y = get_estimator(name).eval()(x)
    assert y.dtype == dtype
    assert torch.equal(y, torch.where(x >= 0, 1.0, -1.0).to(dtype))
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert torch.isfinite(x.grad).all()
    # the slope is the float32 one, rounded once
    exact = get_estimator(name).derivative(x.detach().float())
    assert torch.equal(x.grad, exact.to(dtype))


@pytest.mark.parametrize("name", NAMES)
def test_slope_is_float32_under_autocast(name: str) -> None:
    x = torch.linspace(-1.2, 1.2, 50, requires_grad=True)
    estimator = get_estimator(name).eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        estimator(x).sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, estimator.derivative(x.detach()))


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_bsign_has_two_values(values: list[float]) -> None:
    x = torch.tensor(values, dtype=torch.float32)
    expected = [1.0 if v >= 0 else -1.0 for v in values]  # Python: NaN >= 0 is False
    assert bsign(x).tolist() == expected


def test_bsign_edges() -> None:
    x = torch.tensor([0.0, -0.0, math.nan, math.inf, -math.inf, -1e-45])
    assert bsign(x).tolist() == [1, 1, -1, 1, -1, -1]
    with pytest.raises(TypeError, match="floating-point"):
        bsign(torch.tensor([1, 2]))


def test_replace_value_keeps_infinite_and_nan_inputs_exact() -> None:
    x = torch.tensor([math.inf, -math.inf, math.nan, 1.0], requires_grad=True)
    y = replace_value(x, torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 1.0, 2.0, 3.0]))
    assert y.tolist() == [1, 2, 3, 4]
    (y * torch.tensor([1.0, 1.0, 1.0, 10.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2, 30]


@pytest.mark.parametrize(
    ("t_min", "epochs", "expected"),
    [
        (1e-3, 400, {0: (1e-3, 1e3), 100: (0.01, 100), 200: (0.1, 10), 300: (1, 1), 399: (9.772372, 1)}),
        (1e-1, 400, {0: (0.1, 10), 200: (1, 1), 399: (9.885531, 1)}),
    ],
)
def test_ede_schedule(t_min: float, epochs: int, expected: dict[int, tuple[float, float]]) -> None:
    estimator = get_estimator("ede", t_min=t_min)
    for epoch, (t, k) in expected.items():
        set_progress(estimator, epoch=epoch, epochs=epochs)
        assert float(estimator.t) == pytest.approx(t, rel=1e-6)
        assert float(estimator.k) == pytest.approx(k, rel=1e-6)
        if epoch == 0:
            assert float(estimator.k * estimator.t) == pytest.approx(1, rel=1e-6)


def test_fourier_schedule() -> None:
    estimator = get_estimator("fourier")
    counts = []
    for epoch in range(400):
        set_progress(estimator, epoch=epoch, epochs=400)
        counts.append(int(estimator.n))
    assert counts[0] == 9
    assert counts[-1] == 17
    assert counts == sorted(counts)


@pytest.mark.parametrize("name", [info.name for info in list_estimators() if info.needs_epoch])
def test_schedule_is_saved(name: str) -> None:
    trained, fresh = get_estimator(name), get_estimator(name)
    set_progress(trained, epoch=7, epochs=10)
    x = [-0.7, 0.2, 0.9]
    assert not torch.equal(gradient(trained, x), gradient(fresh, x))
    fresh.load_state_dict(trained.state_dict(), strict=True)
    assert torch.equal(gradient(trained, x), gradient(fresh, x))


@pytest.mark.parametrize("name", [info.name for info in list_estimators() if info.needs_epoch])
def test_forgotten_schedule_warns_once_and_a_reload_does_not(name: str) -> None:
    x = torch.ones(2, requires_grad=True)
    forgotten = get_estimator(name).train()
    with pytest.warns(ScheduleNotSetWarning, match="set_progress"):
        forgotten(x)
    trained = get_estimator(name)
    set_progress(trained, epoch=1, epochs=2)
    reloaded = get_estimator(name).train()
    reloaded.load_state_dict(trained.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        forgotten(x)
        trained.train()(x)
        reloaded(x)


def test_specs_and_errors() -> None:
    assert repr(make_estimator({"name": "swishsign", "beta": 3.0})) == "SwishSign(beta=3.0)"
    original = get_estimator("clipped")
    assert make_estimator(original) is not original
    with pytest.raises(UnknownNameError, match=r"Did you mean 'swishsign'\?.*approxsign"):
        get_estimator("swishsin")
    with pytest.raises(UnknownNameError, match=r"'bta'.*Did you mean 'beta'"):
        get_estimator("swishsign", bta=1)
    with pytest.raises(TypeError, match="int"):
        make_estimator(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs 'name'"):
        make_estimator({"beta": 3})
    for bad in ({"name": "clipped", "t": 0}, {"name": "ede", "t_min": 1, "t_max": 0.1}, {"name": "window", "low": 2}):
        with pytest.raises(ValueError, match=r"must be|need"):
            make_estimator(bad)


def test_facts_are_complete() -> None:
    for info in list_estimators():
        assert info.formula
        assert info.summary
        assert info.source
        assert info.provenance
        assert get_estimator(info.name).needs_epoch == info.needs_epoch


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clipped", {}),
        ("clipped", {"strict": True}),
        ("clipped", {"t": 1.3}),
        ("window", {}),
        ("window", {"low": -0.3, "high": 0.7, "closed": False}),
        ("halfrange", {}),
        ("identity", {}),
        ("approxsign", {}),
    ],
)
def test_fast_gradients_are_the_derivative_at_every_edge(name: str, options: Any, dtype: torch.dtype) -> None:
    """Estimators with a faster backward pass: the gradient is `g * derivative(x)` for the floats around each edge."""
    estimator = get_estimator(name, **options)
    points = [0.0, -0.0, 1.0, -1.0, 1.3, -1.3, -0.3, 0.7, 1e-40, -1e-40, torch.inf, -torch.inf]
    x = torch.tensor(points, dtype=dtype)
    up, down = torch.full_like(x, torch.inf), torch.full_like(x, -torch.inf)
    x = torch.cat([x, torch.nextafter(x, up), torch.nextafter(x, down), torch.randn(500, dtype=dtype)]).requires_grad_()
    g = torch.randn_like(x)
    y = estimator(x)
    y.backward(g)
    assert torch.equal(y.detach(), torch.where(x.detach() >= 0, 1.0, -1.0).to(dtype))
    slope = estimator.derivative(x.detach())
    expected = torch.where(slope == 0, torch.zeros_like(g), g * slope)
    assert torch.equal(x.grad, expected)  # type: ignore[arg-type]


def test_more_published_slopes() -> None:
    ede: Any = get_estimator("ede").double()
    ede.t.fill_(0.1)
    ede.k.fill_(10.0)
    slopes = ede.derivative(torch.tensor([-1.5, -1, -0.4, 0, 0.3, 1, 2], dtype=torch.float64))
    assert slopes.tolist() == pytest.approx([0.977833, 0.990066, 0.998402, 1, 0.999101, 0.990066, 0.961043], abs=1e-6)
    poke = get_estimator("poke", bound=3.0)
    edge = torch.tensor([2.9765625])
    around = torch.cat([torch.nextafter(edge, torch.zeros(1)), edge, -edge, -torch.nextafter(edge, torch.zeros(1))])
    assert poke.derivative(around).tolist() == [1, 0, 0, 1]
