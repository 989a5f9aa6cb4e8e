"""`direct`: convolutions tap by tap on the CUDA cores; what has groups of few channels, or is transposed."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import ceil
from typing import ClassVar

from ...config import Config
from ...device import Device
from ...formats import format_of
from ...problem import Problem
from ..conv import Conv2d
from .base import Build, CudaTemplate, Launch, number, planes_of_problem, shared_flags


class Direct(CudaTemplate):
    """Popcounts of the taps inside of the map (kernels/direct.cuh): every geometry, any architecture."""

    name, version = "direct", 1
    layout: ClassVar[str] = "words"  # canonical: n x taps x words of a group
    grouped = deep = transposes = True

    def space(self, problem: Problem, device: Device) -> Iterable[Config]:
        for threads, tm in product((128, 256, 64), (4, 2, 1)):
            yield Config.of(self.name, {"threads": threads, "tm": tm})

    def why_not_at_all(self, problem: Problem, device: Device) -> str | None:
        if problem.op == "gemm":
            return f"{self.name} convolves; it has no products of matrices"
        if format_of(problem.a).kind == "float":
            return f"{self.name} has no {problem.a} activations"
        return super().why_not_at_all(problem, device)

    def why_invalid(self, config: Config, problem: Problem, device: Device) -> str | None:
        reason = self.why_not_at_all(problem, device)
        if reason:
            return reason
        columns = ceil(problem.n / 32)
        if columns > 65535:
            return f"{problem.n} outputs are {columns} columns of blocks, a grid has at most 65535"
        tm = number(config.parameters, "tm")
        if tm > 1 and tm >= 2 * problem.m:
            return f"{tm} pixels at once, there are {problem.m}"
        return None

    def cost(self, config: Config, problem: Problem, device: Device) -> float:
        p, conv = config.parameters, Conv2d.parse(problem.detail)
        tm = number(p, "tm")
        words = conv.taps * ceil(conv.group_channels / 32)
        # a lane of a multiprocessor's 128 does 8 operations a word, and loads its weights once for `tm` pixels
        each = words * (planes_of_problem(problem) * (8 + 8) + 12 / tm) + 12.0 * conv.taps
        lanes = ceil(problem.n / 32) * 32 * problem.m
        waves = max(1.0, 512.0 * tm * device.number("sms") / lanes)  # too few warps to hide latency
        return 1500.0 + lanes * each / (128.0 * device.number("sms")) * waves

    def launch_of(self, config: Config, problem: Problem) -> Launch:
        p = config.parameters
        rows = number(p, "threads") // 32 * number(p, "tm")
        return Launch((ceil(problem.m / rows), ceil(problem.n / 32), 1), 1)

    def build_of(self, config: Config, problem: Problem, device: Device) -> Build:
        p, conv = config.parameters, Conv2d.parse(problem.detail)
        defines = {"tm": number(p, "tm"), "threads": number(p, "threads"), **shared_flags(problem)}
        defines["sign"] = int(format_of(problem.a).kind == "sign")
        defines |= {"transposed": conv.transposed, "deep": int(conv.deep)}
        defines["resident"] = 1024 // defines["threads"]  # 64 registers a thread
        return Build("direct", tuple(sorted(defines.items())), defines["threads"], 0, "direct")
