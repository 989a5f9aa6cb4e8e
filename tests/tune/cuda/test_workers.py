"""Builds reach the processes that compile ahead as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bitwright.tune import Problem
from bitwright.tune.cuda import all_families, model, workers
from bitwright.tune.cuda.compiler import Compiled
from bitwright.tune.cuda.families import Build
from bitwright.tune.cuda.families.cutlass_b1 import params_build


def test_every_build_comes_back_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problem, gpu = Problem("gemm", 64, 4096, 4096), model("h100")
    builds = []
    for family in all_families():
        config = next((c for c in family.space(problem, gpu) if family.why_invalid(c, problem, gpu) is None), None)
        if config is not None:
            builds.append(family.build_of(config, problem, gpu))
    builds += [params_build(build) for build in builds if build.library]
    assert len(builds) >= 8
    compiled: list[tuple[Build, str, str]] = []

    def compile_build(build: Build, arch: str, folder: str) -> Compiled:
        compiled.append((build, arch, folder))
        return Compiled(build.kernel, arch, b"")

    monkeypatch.setattr(workers, "compile_build", compile_build)
    sender = workers.Workers("sm_90a", str(tmp_path))
    lines = [sender._line(build) for build in builds]
    assert all(line.endswith("\n") and json.loads(line) for line in lines)
    monkeypatch.setattr("sys.stdin", lines)
    workers.main()
    assert compiled == [(build, "sm_90a", str(tmp_path)) for build in builds]
