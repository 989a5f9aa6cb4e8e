"""The int16 residual: the proven bound holds on random networks, is not vacuous, and can be broken."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compiler import build, compile, inspect, verify
from bitwright.compiler import interpreter as oracle
from bitwright.compiler.bwm import encode
from bitwright.compiler.bwm_read import read
from bitwright.compiler.error_bound import bounds
from bitwright.compiler.fixed_point import factors, room
from bitwright.compiler.passes.fixed_residual import HEADROOM, Stream, candidates, fixed_residual, probe, unprobe
from bitwright.compiler.passes.fold_stored import fold_stored
from bitwright.compiler.planner import plan
from bitwright.compiler.program import BConv, Const, DType, Program, StepKind, Value

from .graphs import Array, Builder, onnxruntime
from .residual_networks import residual_network

runtime = pytest.importorskip("bitwright.runtime", reason="the native module is not built")


def images(shape: tuple[int, ...], n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def run(program: Program, x: Array, given: dict[int, Array] | None = None) -> dict[int, Array]:
    """Every value by id, from the numpy oracle; where later ops read a value, `given` replaces it."""
    data = {id(v): oracle.to_internal(v, x) for v in program.inputs}
    own: dict[int, Array] = dict(data)
    for op in program.ops:
        oracle.run_op(op, data)
        for v in op.writes():
            own[id(v)] = data[id(v)]
            if given is not None and id(v) in given:
                data[id(v)] = given[id(v)]
    return own


class Converted:
    """A float program, and the same objects rewritten."""

    def __init__(self, model: Any, x: Array) -> None:
        self.program = build(model)
        self.float_ops = [(op, list(op.steps)) for op in self.program.ops]
        mine = candidates(self.program)
        fold_stored(self.program, mine)
        probes = probe(self.program, mine)
        self.floats = run(self.program, x)
        unprobe(self.program, probes)
        largest = {k: float(np.abs(self.floats[k]).max()) for k in mine}
        peaks = {k: max(float(np.abs(self.floats[id(v)]).max()) for v in vs) for k, vs in probes.items()}
        self.keep = probes
        self.streams: list[Stream]
        self.streams, self.before = fixed_residual(self.program, largest, peaks)
        self.errors = bounds(self.program, self.before)

    @property
    def values(self) -> list[Value]:
        return [v for s in self.streams for v in s.values]

    def discrete(self) -> dict[int, Array]:
        return {id(v): self.floats[id(v)] for v in self.program.values() if v.dtype is DType.BITS}

    def ratios(self, x: Array) -> list[float]:
        """Largest error over its bound, for every i16 value, given equal bits."""
        fixed = run(self.program, x, self.discrete())
        found = []
        for v in self.values:
            q = fixed[id(v)]
            assert q.dtype == np.int16
            assert np.abs(q.astype(int)).max() < 32767, "saturated on the calibration samples"
            error = np.abs(q.astype(np.float64) * v.scale - self.floats[id(v)]).max(axis=(0, 1, 2, 3))
            found.append(float((error / self.errors[id(v)]).max()))
        return found


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_the_bound_holds(seed: int, float_shortcuts: bool) -> None:
    """|q * scale - x| <= E for every element of every i16 map, given equal bits upstream."""
    model, shape = residual_network(seed, float_shortcuts=float_shortcuts)
    x = images(shape, 6, seed)
    made = Converted(model, x)
    assert all(ratio <= 1 for ratio in made.ratios(x))


def test_the_bound_is_not_vacuous() -> None:
    """Without fp32 layers in the shortcuts the largest error comes within a factor of 20 of the bound, everywhere."""
    worst = []
    for seed in range(30):
        model, shape = residual_network(seed, float_shortcuts=False)
        x = images(shape, 16, seed)
        worst += Converted(model, x).ratios(x)
    assert len(worst) > 60
    assert min(worst) > 1 / 20
    assert np.median(worst) > 1 / 4


@pytest.mark.parametrize("what", ["offset", "factor", "slope"])
def test_the_bound_can_be_broken(what: str) -> None:
    """A constant that is off by little is an error beyond the bound."""
    kinds = {"offset": StepKind.FIXED, "factor": StepKind.FIXED, "slope": StepKind.PRELU_I16}
    broken = 0
    for seed in range(40):
        model, shape = residual_network(seed, float_shortcuts=False)
        x = images(shape, 8, seed)
        made = Converted(model, x)
        steps = [s for op in made.program.ops for s in op.steps if s.kind is kinds[what]]
        if not steps:
            continue
        s = steps[0]
        units = int(max(e.max() for e in made.errors.values() if np.isfinite(e).all()) / made.values[0].scale) + 2
        if what == "offset":
            assert s.b is not None
            s.b = Const(s.b.data + np.int32(2 * units))
        else:
            assert s.a is not None
            s.a = Const((s.a.data * 0.9).astype(np.int32) - np.int32(200))
        broken += max(made.ratios(x)) > 1
    assert broken >= 5


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_bits_beyond_the_bound_are_equal(seed: int) -> None:
    model, shape = residual_network(seed, float_shortcuts=False)
    x = images(shape, 6, seed)
    made = Converted(model, x)
    fixed = run(made.program, x, made.discrete())
    for op in made.program.ops:
        for before, s in zip(op.steps, op.steps[1:], strict=False):
            if (before.kind, s.kind) != (StepKind.STORE_I16, StepKind.STORE_BITS_I16):
                continue  # x is not stored in both programs
            old = next(t for t in made.before[id(op)] if t.kind is StepKind.STORE_BITS and t.value is s.value)
            t = np.float32(old.p0) if old.a is None else old.a.data
            far = np.abs(made.floats[id(before.value)].astype(np.float64) - t) > made.errors[id(s.value)]
            np.testing.assert_array_equal(fixed[id(s.value)][far], made.floats[id(s.value)][far])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_fold_stored_changes_no_bit(seed: int) -> None:
    model, shape = residual_network(seed)
    x = images(shape, 4, seed)
    program = build(model)
    before = run(program, x)
    wanted = {id(v): before[id(v)] for v in program.values()}
    fold_stored(program, candidates(program))
    after = run(program, x)
    for v in program.values():
        np.testing.assert_array_equal(after[id(v)], wanted[id(v)])


@pytest.mark.parametrize("seed", range(12))
def test_engine_and_verify(seed: int, tmp_path: Path) -> None:
    """Compiled, read back, run by the engine: each op equals the integer reference."""
    model, shape = residual_network(seed)
    path = tmp_path / "net.bwm"
    report = compile(model, path, residual="int16", calibration=images(shape, 24, seed))
    q = report.quantization
    assert q is not None
    assert q.streams, str(report)
    assert all(s.measured <= s.bound for s in q.streams)
    assert any(v.dtype is DType.I16 for v in read(path).values())
    checked = verify(model, path, images(shape, 10, seed + 100))
    assert checked.ok, str(checked)
    assert checked.source is not None
    assert checked.source.samples == 10
    assert "int16 residual" in str(inspect(path))
    assert checked.to_dict()["source"]["rms_error"] == checked.source.rms_error


def test_error_against_fp32_is_small(tmp_path: Path) -> None:
    """One block, so that no flipped bit travels: the outputs differ by rounding alone."""
    b = Builder((8, 9, 9))
    y = b.op("Add", b.bconv("x", 8, 8, pads=(1, 1, 1, 1), scale=0.05), b.conv("x", 8, 8, (1, 1)))
    z = b.op("Add", b.bconv(y, 8, 8, pads=(1, 1, 1, 1), scale=0.05, threshold=-9.0), y)
    model = b.model(b.op("Flatten", b.op("GlobalAveragePool", z)))
    x = images(b.shape, 16)
    compile(model, tmp_path / "net.bwm", residual="int16", calibration=x)
    got = runtime.Session(tmp_path / "net.bwm").run(x)
    np.testing.assert_allclose(got, onnxruntime(model, x)[0], atol=2e-3)


def test_what_does_not_fit_stays_float() -> None:
    """A slope of 9, a function, a gate: the chain stays float, and the report says why."""

    def reasons(after: Any) -> str:
        b = Builder((8, 6, 6))
        x = b.conv("x", 8, 8, (1, 1))
        y = after(b, b.op("Add", b.bconv(x, 8, 8, pads=(1, 1, 1, 1), scale=0.1, module="block"), x))
        z = b.op("Add", b.bconv(y, 8, 8, pads=(1, 1, 1, 1), scale=0.1), y)
        made = Converted(b.model(z), images(b.shape, 4))
        assert made.streams
        return "; ".join(f"{k}: {v}" for s in made.streams for k, v in s.kept.items())

    slope = np.full((8, 1, 1), 9.0)
    assert "block: a slope of 9" in reasons(lambda b, y: b.op("PRelu", y, b.const(slope)))
    assert "block: it holds unary" in reasons(lambda b, y: b.op("Tanh", y))
    assert "block: a scale behind" in reasons(lambda b, y: b.op("Mul", y, b.const(0.5)))
    assert "block" not in reasons(lambda b, y: b.op("PRelu", y, b.const(np.full((8, 1, 1), 1.5))))


def test_no_stream(tmp_path: Path) -> None:
    """A network without shortcuts stays as it is, and the report says so."""
    b = Builder((8, 6, 6))
    model = b.model(b.bconv("x", 8, 4))
    report = compile(model, tmp_path / "net.bwm", residual="int16", calibration=images(b.shape, 4))
    assert "no shortcut" in str(report)
    assert (tmp_path / "net.bwm").read_bytes()[10] == 0  # minor version: nothing new in it


def test_headroom_and_scale() -> None:
    model, shape = residual_network(3)
    made = Converted(model, images(shape, 4))
    for s in made.streams:
        assert s.scale * 32767 >= HEADROOM * s.largest * (1 - 1e-6)
        assert all(v.scale == s.scale for v in s.values)


@given(st.lists(st.floats(-7.9, 7.9), min_size=1, max_size=5))
def test_factors(real: list[float]) -> None:
    """The nearest 15-bit factors, with the smallest shift."""
    found = factors(np.array(real), 3)
    assert found is not None
    m, n = found
    assert np.abs(m).max() <= 32767
    np.testing.assert_allclose(m * 2.0**n / 2**15, real, atol=2.0**n / 2**16)
    assert n == 0 or np.abs(np.rint(np.array(real) * 2.0 ** (15 - n + 1))).max() > 32767
    assert factors(np.array([9.0]), 3) is None


def test_room() -> None:
    assert [room(k) for k in (1, 2, 576, 4608, 32767, 32768)] == [14, 13, 5, 2, 0, -1]


def test_never_and_always(tmp_path: Path) -> None:
    """Thresholds outside the stream's range and NaN become constant bits."""
    b = Builder((8, 6, 6))
    x = b.conv("x", 8, 8, (1, 1))
    y = b.op("Add", b.bconv(x, 8, 8, pads=(1, 1, 1, 1), scale=0.1), x)
    threshold = np.array([1e6, -1e6, np.inf, -np.inf, 0, 0.5, -0.5, 3], dtype=np.float32)
    z = b.op("Add", b.bconv(y, 8, 8, pads=(1, 1, 1, 1), scale=0.1, threshold=threshold), y)
    made = Converted(b.model(z), images(b.shape, 4))
    op = next(op for op in made.program.ops if isinstance(op, BConv) and op.steps[-1].kind is StepKind.STORE_BITS_I16)
    bits = run(made.program, images(b.shape, 4))[id(op.steps[-1].value)].reshape(-1, 8)
    assert [set(bits[:, c].tolist()) for c in range(4)] == [{False}, {True}, {False}, {True}]
    plan(made.program)
    assert read(encode(made.program)).ops
