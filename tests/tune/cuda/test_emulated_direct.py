"""Convolutions tap by tap, run lane by lane: groups, depth, transposed, any padding, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bitwright.tune import Config, Problem, TuneError
from bitwright.tune.cuda import Conv2d, model
from bitwright.tune.cuda.families import Direct

from .harness import emulate, needs_compiler

pytestmark = needs_compiler


def direct(tm: int = 2, threads: int = 64) -> Config:
    return Config.of("direct", {"threads": threads, "tm": tm})


@pytest.mark.parametrize(("a", "out"), [("pm1", "s32"), ("pm1", "bits"), ("u1", "f32"), ("u3", "bits"), ("s4", "bf16")])
@pytest.mark.parametrize(
    "conv",
    [
        Conv2d(2, 7, 6, 40, pad=(1, 1), groups=40),
        Conv2d(1, 5, 6, 132, pad=(1, 0), groups=4),
        Conv2d(2, 5, 4, 21, (2, 3), (2, 1), (0, 1), (1, 1), groups=3, end=(2, 0)),
        Conv2d(1, 4, 5, 33, (4, 4), (2, 2), (1, 1), transposed=1),
        Conv2d(2, 3, 4, 8, (3, 2), (3, 2), (0, 1), (1, 2), groups=2, transposed=1, end=(-2, 0)),
        Conv2d(1, 4, 3, 34, pad=(1, 1), d=4, kernel_d=3, stride_d=2, pad_d=1),
        Conv2d(1, 2, 3, 6, (2, 2), (2, 2), d=3, kernel_d=2, stride_d=2, end_d=-1, transposed=1, groups=3),
    ],
    ids=str,
)
def test_every_geometry(conv: Conv2d, a: str, out: str) -> None:
    for seed, tm in enumerate((1, 4)):
        emulate(Direct(), direct(tm), conv.problem(conv.groups * (seed + 1) * 3, a, out=out), model("b200"), seed=seed)


@pytest.mark.parametrize("fill", [-1, 0, 1])
def test_every_padding_of_signs(fill: int) -> None:
    conv = Conv2d(2, 5, 6, 70, pad=(1, 2), end=(0, 1), fill=fill, groups=2)
    emulate(Direct(), direct(), conv.problem(40), model("t4"), seed=3)


@st.composite
def geometries(draw: st.DrawFn) -> Problem:
    deep, transposed, groups = draw(st.booleans()), draw(st.integers(0, 1)), draw(st.integers(1, 5))

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    values: dict[str, Any] = {"kernel": pair(1, 3), "stride": pair(1, 3), "pad": pair(0, 2), "dilation": pair(1, 2)}
    if deep:
        values |= {"d": draw(st.integers(1, 4)), "kernel_d": draw(st.integers(1, 3)), "pad_d": draw(st.integers(0, 1))}
        values |= {"stride_d": draw(st.integers(1, 2)), "end_d": draw(st.integers(-1, 2))}
    fill = 0 if transposed else draw(st.sampled_from([-1, 0, 1]))
    a = draw(st.sampled_from(["pm1", "pm1", "u1", "u2", "s3"])) if fill == 0 else "pm1"
    channels = groups * draw(st.sampled_from([1, 2, 7, 31, 32, 33, 65]))
    size = pair(1, 6)
    try:
        conv = Conv2d(
            draw(st.integers(1, 2)),
            *size,
            channels,
            fill=fill,
            groups=groups,
            transposed=transposed,
            end=pair(-1, 2),
            **values,
        )
    except TuneError:
        assume(False)
    return conv.problem(groups * draw(st.integers(1, 12)), a, out=draw(st.sampled_from(["s32", "f32", "bits"])))


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(geometries(), st.sampled_from([1, 2, 4]), st.integers(0, 99))
def test_random_geometries(problem: Problem, tm: int, seed: int) -> None:
    emulate(Direct(), direct(tm), problem, model("h100"), seed=seed, data=seed)


def test_it_says_what_it_does_not_do() -> None:
    gpu, ok_conv = model("a100"), Conv2d(1, 8, 8, 32, groups=32)
    ok = ok_conv.problem(32)
    assert Direct().why_invalid(direct(), ok, gpu) is None
    cases = [
        (Problem("gemm", 64, 64, 64), "no products of matrices"),
        (Conv2d(1, 8, 8, 32, groups=4).problem(32, "f16", out="f16"), "no f16 activations"),
        (
            Problem("conv2d", 36, 33, 9, detail=str(Conv2d(1, 8, 8, 32, groups=32))),
            "33 output channels cannot be split into 32",
        ),
        (Conv2d(1, 8, 8, 32, pad=(1, 1), fill=1).problem(32, "u2"), "padded with 0, not with 1"),
        (Conv2d(1, 3, 3, 2).problem(32 * 65536), "65536 columns of blocks"),
    ]
    for problem, reason in cases:
        assert reason in str(Direct().why_invalid(direct(), problem, gpu))
    assert "4 pixels at once" in str(Direct().why_invalid(direct(4), Conv2d(1, 3, 3, 2).problem(4), gpu))
