"""CPU families: what they refuse, and that every candidate of the machine computes the product."""

from __future__ import annotations

import numpy as np
import pytest

from bitwright.tune import Config, Device, Problem, TuneError, search, space_of, strategy_of, this_cpu
from bitwright.tune.cpu import TEMPLATES, CpuRunner, DenseProducts, EngineProducts, versions

SHAPES = [(1, 1, 1), (3, 40, 33), (70, 5, 130), (17, 64, 257), (300, 96, 64)]


@pytest.mark.parametrize("a", ["pm1", "u1"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_candidate_is_right(shape: tuple[int, int, int], a: str) -> None:
    problem = Problem("gemm", *shape, a=a)
    found = space_of(problem, this_cpu(), TEMPLATES)
    runner = CpuRunner(problem)
    samples = runner.measure(found.configs, 2)
    unfit = {config: why for config, why in runner.failures.items() if "lay" not in why and "does not take" not in why}
    assert not unfit
    assert found.configs[0] in samples, "the default runs everywhere"
    assert Config.of("numpy_f32") in samples, "the dense baseline is always there"
    assert all(len(s) == 2 for s in samples.values())


def test_a_wrong_kernel_is_caught() -> None:
    problem = Problem("gemm", 5, 6, 70)
    runner = CpuRunner(problem)
    runner._expected[2, 3] += 2
    assert runner.measure([Config.of("numpy_f32")], 1) == {}
    assert "wrong result in 1 of 30 outputs" in runner.failures[Config.of("numpy_f32")]


def test_writing_outside_is_caught() -> None:
    problem = Problem("gemm", 5, 6, 70)
    config = next(iter(EngineProducts().space(problem, this_cpu())))
    runner = CpuRunner(problem)
    build = runner._engine

    def overflowing(of: Config) -> object:
        call = build(of)

        def run() -> object:
            result = call()
            runner._operands["guard"][-1] = 0
            return result

        return run

    runner._engine = overflowing  # type: ignore[method-assign, assignment]
    assert runner.measure([config], 1) == {}
    assert "outside the output" in runner.failures[config]


def test_refusals_have_reasons() -> None:
    device = Device.of("cpu", "any", {"threads": 2}, "")
    engine, dense = EngineProducts(), DenseProducts()
    gemm = Problem("gemm", 32, 64, 70000)
    sliced = Config.of("engine", {"kernel": "bconv_gfni", "side": "w"}, threads=1, rows=0)
    assert "65535 bits, a row has 70000" in str(engine.why_invalid(sliced, gemm, device))
    assert "blocks of 64 rows" in str(
        engine.why_invalid(Config.of("engine", {"kernel": "bconv_avx2", "side": "w"}, threads=1, rows=64), gemm, device)
    )
    assert "not u2 times pm1" in str(engine.why_invalid(sliced, Problem("gemm", 1, 1, 1, a="u2"), device))
    big = Problem("gemm", 1, 1, 1 << 20, a="u8")
    assert "2^24" in str(dense.why_invalid(Config.of("numpy_f32"), big, device))
    assert dense.why_invalid(Config.of("numpy_f32"), gemm, device) is None


def test_a_search_on_this_machine_never_loses_to_dense() -> None:
    problem = Problem("gemm", 64, 64, 512)
    outcome = search(space_of(problem, this_cpu(), TEMPLATES), strategy_of("portfolio"), CpuRunner(problem), budget=20)
    assert outcome.best in outcome.history
    assert outcome.speedup >= 1 / 1.0301


def test_other_problems_are_refused() -> None:
    with pytest.raises(TuneError, match="times matrix products into s32"):
        CpuRunner(Problem("gemm", 1, 1, 1, out="bits"))
    assert set(versions()) == {"engine", "numpy_f32"}


def test_the_environment_names_what_timings_hold_for() -> None:
    device = this_cpu(threads=1)
    assert device.number("threads") == 1
    assert device.name in device.environment
    assert "engine" in device.toolchain
    assert device.environment != this_cpu(threads=2).environment
    assert np.isfinite(device.number("cpus"))
