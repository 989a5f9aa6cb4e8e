"""Spaces and refusals over the table of GPUs: pure, no hardware, no compiler."""

from __future__ import annotations

from itertools import product

import pytest

from bitwright.tune import Config, Problem, TuneError, space_of
from bitwright.tune.cuda import Conv2d, all_families, model, models
from bitwright.tune.cuda.families import Build, MmaB1, WgmmaB1

SQUARE = Problem("gemm", 4096, 4096, 4096)
PROBLEMS = [
    SQUARE,
    Problem("gemm", 1, 4096, 4096),
    Problem("gemm", 16, 1000, 1152, out="bits"),
    Problem("gemm", 3136, 64, 576, "u2", out="f16"),
    Problem("gemm", 100, 33, 70, "s4", out="bf16"),
    Problem("gemm", 8, 4096, 4096, "s8", out="f16"),
    Problem("gemm", 8, 4096, 4096, "f16", out="f16"),
    Problem("gemm", 8, 4096, 4096, "bf16", out="bf16"),
    Conv2d(8, 14, 14, 256, pad=(1, 1), groups=256).problem(256),
    Conv2d(1, 7, 7, 64, (2, 2), (2, 2), d=4, kernel_d=2, stride_d=2, transposed=1).problem(64, "u3", out="bits"),
    Conv2d(8, 14, 14, 256, pad=(1, 1)).problem(256, out="bits"),
    Conv2d(1, 56, 56, 64, stride=(2, 2), pad=(1, 1), fill=-1).problem(128),
]


@pytest.mark.parametrize("name", ["t4", "a100", "rtx4090", "h100", "b200", "rtx5090"])
def test_every_refusal_has_a_reason_and_every_config_a_build(name: str) -> None:
    gpu = model(name)
    turn = models().index(name) % 3
    for problem in PROBLEMS[turn::3]:
        space = space_of(problem, gpu, all_families())
        assert len(set(space.configs)) == len(space.configs)
        assert all(reason.strip() for _, reason in space.refused)
        by_name = {t.name: t for t in all_families()}
        for config in space.configs[:: max(1, len(space.configs) // 40)]:
            family = by_name[config.template]
            build, launch = family.build_of(config, problem, gpu), family.launch_of(config, problem)
            assert 32 <= build.threads <= 1024
            assert build.threads % 32 == 0
            assert build.shared_bytes <= gpu.number("smem")
            assert all(side >= 1 for side in launch.grid)
            assert max(launch.grid[1:]) <= 65535
            assert family.cost(config, problem, gpu) > 0


def test_run_time_parameters_share_a_build() -> None:
    gpu, family = model("a100"), MmaB1()
    configs = space_of(SQUARE, gpu, [family]).configs
    builds: dict[Config, set[Build]] = {}
    for config in configs:
        builds.setdefault(config.build, set()).add(family.build_of(config, SQUARE, gpu))
    assert all(len(found) == 1 for found in builds.values())
    assert len(set.union(*builds.values())) == len(builds) < len(configs)
    assert {key for config in configs for key, _ in config.run} == {"split", "swizzle"}


def test_the_space_is_small_enough_to_search() -> None:
    for name, most in (("t4", 600), ("a100", 2500), ("h100", 2200), ("b200", 950)):
        builds = {c.build for c in space_of(SQUARE, model(name), all_families()).configs}
        assert 100 < len(builds) <= most, f"{name}: {len(builds)}"


def test_no_instruction_that_is_not_native() -> None:
    for name in ("t4", "a30", "l4", "h200", "b300"):
        gpu = model(name)
        for config in space_of(SQUARE, gpu, [MmaB1(), WgmmaB1()]).configs:
            cc = gpu.number("cc")
            logic = "and" if config.template == "wgmma_b1" else str(config["instruction"]).split(".")[1]
            assert cc < 100, "1-bit products are emulated there"
            assert cc < 90 or logic == "and", "xor is emulated there"
            assert cc >= 80 or logic == "xor"


@pytest.mark.parametrize(
    ("name", "changed", "reason"),
    [
        ("h100", {"instruction": "m16n8k256.xor"}, "`xor` is not native on sm_90"),
        ("b200", {}, "emulated on sm_100"),
        ("rtx5090", {}, "emulated on sm_120"),
        ("t4", {}, "8 x 8 x 128 only"),
        ("t4", {"instruction": "m8n8k128.xor", "stages": 3}, "no asynchronous copies"),
        ("a100", {"instruction": "m8n8k128.xor"}, "four times as large"),
        ("a100", {"bm": 256, "bn": 256, "wm": 64, "wn": 128}, "accumulators a thread|registers"),
        ("a100", {"bm": 256, "bn": 128, "wm": 64, "wn": 64, "bk": 1024, "stages": 4}, "bytes of shared memory"),
        ("a100", {"bm": 256, "bn": 256, "wm": 16, "wn": 32}, "4096 threads"),
        ("a100", {"bm": 96}, "no whole number of warp tiles"),
        ("a100", {"split": 8}, "too few to split"),
        ("a100", {"swizzle": 8, "bn": 128}, None),
    ],
)
def test_refusals(name: str, changed: dict[str, int | str], reason: str | None) -> None:
    tile: dict[str, int | str] = {"bm": 128, "bn": 128, "bk": 512, "wm": 64, "wn": 64, "stages": 3}
    values = {**tile, "instruction": "m16n8k256.and", "swizzle": 1, "split": 1, **changed}
    run = {key: values.pop(key) for key in ("swizzle", "split")}
    why = MmaB1().why_invalid(Config.of("mma_b1", values, **run), SQUARE, model(name))
    if reason is None:
        assert why is None
    else:
        assert why is not None
        assert any(part in why for part in reason.split("|")), why


def test_refusals_of_wgmma() -> None:
    tile = {"bm": 128, "bn": 128, "bk": 1024, "wm": 64, "wn": 128, "stages": 4}
    config = Config.of("wgmma_b1", tile, swizzle=1, split=1)
    assert WgmmaB1().why_invalid(config, SQUARE, model("h200")) is None
    for name in ("t4", "a100", "rtx4090", "b200", "rtx5090"):
        assert "has no wgmma" in str(WgmmaB1().why_invalid(config, SQUARE, model(name)))


def test_refusals_by_problem() -> None:
    gpu = model("a100")
    default = next(iter(MmaB1().space(SQUARE, gpu)))
    cases = [
        (Problem("gemm", 64, 64, 64, w="u1"), "weights pm1, not u1"),
        (Problem("gemm", 64, 64, 64, a="f16", out="f16"), "no f16 activations"),
        (Problem("layer", 64, 64, 64), "does not run a layer"),
        (Problem("conv2d", 64, 64, 99, detail=str(Conv2d(1, 10, 10, 64))), "k is 99, the geometry has 9 taps"),
        (Conv2d(1, 8, 8, 64, pad=(1, 1), fill=1).problem(64, "u2"), "padded with 0, not with 1"),
    ]
    for problem, reason in cases:
        assert reason in str(MmaB1().why_invalid(default, problem, gpu))


def test_geometry_comes_back_and_bad_ones_are_named() -> None:
    for kernel, stride, pad in product([(3, 3), (1, 5)], [(1, 1), (2, 1)], [(0, 0), (1, 2)]):
        conv = Conv2d(2, 9, 11, 70, kernel, stride, pad, fill=-1)
        assert Conv2d.parse(str(conv)) == conv
    for wrong in ("h=3", "images=1 h=3 w=3 c=3 kernel=3", "images=1 h=x", "images=1x1 h=3 w=3 c=3", "spam=1"):
        with pytest.raises(TuneError):
            Conv2d.parse(wrong)
    with pytest.raises(TuneError, match="larger than the padded map"):
        Conv2d(1, 2, 2, 64)
    with pytest.raises(TuneError, match="fill is 2"):
        Conv2d(1, 4, 4, 64, fill=2)
