"""Kernels on the GPU against integer products: every family, format and output, on small shapes with all tails.

Ends with 1 if any candidate is wrong. Written without a GPU; never run on one.
"""

from __future__ import annotations

import sys

from common import SMALL, arguments, device_of, spaces, write

from bitwright.tune import Config, Space
from bitwright.tune.cuda.gpu import Gpu
from bitwright.tune.cuda.runner import CudaRunner


def chosen(space: Space, builds: int) -> list[Config]:
    """Builds of each family, spread over its space, each with its first and its last way to be called."""
    picked: list[Config] = []
    for family in dict.fromkeys(c.template for c in space.configs):
        by_build: dict[Config, list[Config]] = {}
        for config in space.configs:
            if config.template == family:
                by_build.setdefault(config.build, []).append(config)
        groups = list(by_build.values())
        for group in groups[:: max(1, len(groups) // builds)][:builds]:
            picked += dict.fromkeys((group[0], group[-1]))
    return picked


def main() -> int:
    options = arguments(__doc__ or "")
    device = device_of(options)
    report, wrong = [], 0
    for space in spaces(SMALL, device, options.dry_run):
        configs = chosen(space, options.builds)
        print(f"{space.problem}: {len(configs)} of {len(space.configs)} candidates on {device.name}")
        if options.dry_run:
            continue
        gpu = Gpu(0, str(device["target"]))
        runner = CudaRunner(space.problem, device, gpu, cold=False)
        right = runner.measure(configs, 1)
        gpu.release()
        wrong += len(runner.failures)
        failures = [{**config.to_dict(), "why": why} for config, why in runner.failures.items()]
        report.append({"problem": space.problem.to_dict(), "right": len(right), "failures": failures})
        for failure in failures:
            print("  WRONG", failure)
    if not options.dry_run:
        write(options.results / "gpu_correctness.json", {"environment": device.environment, "problems": report})
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
