"""Kernels on the GPU against integer products: every family, format and output, on small shapes with all tails.

Ends with 1 if any candidate is wrong. Written without a GPU; never run on one.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from common import SMALL, arguments, spaces
from steps import Items, device_of

from bitwright.tune import Config, Device, Space
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


def verified(space: Space, configs: list[Config], device: Device) -> dict[str, Any]:
    """Runs candidates once each; "error" if any is wrong."""
    gpu = Gpu(0, str(device["target"]))
    try:
        runner = CudaRunner(space.problem, device, gpu, cold=False)
        right = runner.measure(configs, 1)
    finally:
        gpu.release()
    failures = [{**config.to_dict(), "why": why} for config, why in runner.failures.items()]
    report: dict[str, Any] = {"right": len(right), "failures": failures}
    return {**report, "error": f"{len(failures)} candidates failed"} if failures else report


def main() -> int:
    options = arguments(__doc__ or "")
    device = device_of(options)
    items = None
    if not options.dry_run:
        items = Items(options.results / "gpu_correctness.json", device.environment, options.budget)
    for space in spaces(SMALL, device, options.dry_run):
        configs = chosen(space, options.builds)
        print(f"{space.problem}: {len(configs)} of {len(space.configs)} candidates on {device.name}")
        if items is not None:
            items.run(str(space.problem), partial(verified, space, configs, device))
    return 0 if items is None else items.finish()


if __name__ == "__main__":
    sys.exit(main())
