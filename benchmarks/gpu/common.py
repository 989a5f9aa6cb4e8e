"""The problems that correctness and sweep run, and the candidates of each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from steps import options_of

from bitwright.tune import Device, Problem, Space
from bitwright.tune.cuda import Conv2d, candidates

# Small ones with every kind of tail: what correctness is shown on.
SMALL = (
    [
        Problem("gemm", m, n, k, a, out=out)
        for m, n, k in ((1, 1, 1), (70, 75, 300), (129, 257, 1100), (16, 1000, 4096))
        for a, out in (("pm1", "s32"), ("pm1", "bits"), ("u1", "f16"), ("u4", "bf16"), ("s8", "f32"), ("f16", "f16"))
    ]
    + [
        Conv2d(2, 9, 7, c, (3, 3), (stride, stride), (1, 1), fill=fill).problem(40, out=out)
        for c in (64, 130)
        for stride in (1, 2)
        for fill in (-1, 0, 1)
        for out in ("s32", "bits")
    ]
    + [
        conv.problem(n, a, out=out)
        for conv, n in (
            (Conv2d(2, 9, 7, 48, pad=(1, 1), groups=48), 48),
            (Conv2d(2, 9, 7, 132, pad=(1, 0), groups=4, end=(0, 2)), 40),
            (Conv2d(2, 5, 4, 70, (4, 4), (2, 2), (1, 1), transposed=1), 40),
            (Conv2d(1, 5, 4, 70, pad=(1, 1), d=4, kernel_d=3, stride_d=2, pad_d=1), 40),
        )
        for a, out in (("pm1", "f32"), ("pm1", "bits"), ("u3", "s32"))
    ]
)

# Layers of ResNet-18 at batch 32, BERT-base at 16 x 128 tokens, a 4096-wide decoder at 1 and 2048 tokens, squares.
LARGE = [
    Conv2d(32, 56, 56, 64, pad=(1, 1)).problem(64, out="bits"),
    Conv2d(32, 28, 28, 128, pad=(1, 1)).problem(128, out="bits"),
    Conv2d(32, 14, 14, 256, pad=(1, 1)).problem(256, out="bits"),
    Conv2d(32, 7, 7, 512, pad=(1, 1)).problem(512, out="bits"),
    Problem("gemm", 2048, 768, 768, out="f16"),
    Problem("gemm", 2048, 3072, 768, out="f16"),
    Problem("gemm", 4096, 4096, 4096),
    Problem("gemm", 8192, 8192, 8192),
    Problem("gemm", 2048, 4096, 4096, "s8", out="f16"),
    Problem("gemm", 1, 4096, 4096, "s8", out="f16"),
    Problem("gemm", 1, 4096, 4096, "f16", out="f16"),
    Problem("gemm", 2048, 4096, 4096, "f16", out="f16"),
]


def arguments(description: str) -> argparse.Namespace:
    return options_of(description, more=_search_options)


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--strategy", default="two_stage", help="of the search")
    parser.add_argument("--builds", type=int, default=6, help="builds of each family that correctness runs")


def spaces(problems: list[Problem], device: Device, dry_run: bool) -> Iterator[Space]:
    """The candidates of each problem; of a dry run of every tenth one."""
    return (candidates(problem, device) for problem in problems[:: 10 if dry_run else 1])
