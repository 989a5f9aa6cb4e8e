"""Frozen networks end to end beside the same networks in torch bf16, both in CUDA graphs, batch 1 to 256.

Writes results/gpu_networks.json: milliseconds a batch and samples a second. The packed layers are tuned first
(`tune_module`, a part of the budget), so that their kernels are measured ones. Networks that this version of the
package does not have are listed as such. Written without a GPU; never run on one.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

from steps import Items, device_of, options_of, torch_seconds

from bitwright.tune import Store
from bitwright.tune.cuda import Chooser
from bitwright.tune.search import seconds_of

BATCHES = (1, 8, 32, 128, 256)
NETWORKS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "resnet18": ({"num_classes": 1000}, (3, 224, 224)),
    "bnext_t": ({"num_classes": 1000}, (3, 224, 224)),
    "bibert": ({}, (128,)),
    "vgg_small": ({"num_classes": 10}, (3, 32, 32)),
}
METHOD = "bireal"


def networks() -> tuple[list[str], list[str]]:
    """Those that are there, and those that are not."""
    from bitwright import models

    there = set(models.list_models())
    return [n for n in NETWORKS if n in there], [n for n in NETWORKS if n not in there]


def made(name: str, binary: bool) -> Any:
    """A network with random weights, in eval mode; frozen if it is binary."""
    import torch

    from bitwright import export, models

    torch.manual_seed(0)
    net = models.create(name, method=METHOD if binary else None, **NETWORKS[name][0]).eval()
    return export.freeze(net) if binary else net


def measured(name: str, batch: int, budget: float | None, device: str = "cuda") -> dict[str, Any]:
    """Both networks on one batch."""
    import torch

    from bitwright.export.cuda import FuseError, fuse, tune_module

    x = torch.randn(batch, *NETWORKS[name][1], device=device)
    net = made(name, True).to(device).to(memory_format=torch.channels_last)
    x = x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x
    each = None if budget is None else budget / 2
    tuned = tune_module(net, x, budget=each, strategy="portfolio")
    ours = torch_seconds([lambda: net(x)])
    other = made(name, False).to(device).to(torch.bfloat16).to(memory_format=torch.channels_last)
    half = x.to(torch.bfloat16)
    dense = torch_seconds([lambda: other(half)])
    milliseconds = {"ours": round(1e3 * ours, 4), "bf16": round(1e3 * dense, 4)}
    try:
        fused = fuse(net)  # bits between layers, where a network has such pairs
    except FuseError:
        pass
    else:
        tune_module(fused, x, budget=each, strategy="portfolio")
        milliseconds["fused"] = round(1e3 * torch_seconds([lambda: fused(x)]), 4)
    return {
        "ms": milliseconds,
        "samples_per_second": {"ours": round(batch / ours, 1), "bf16": round(batch / dense, 1)},
        "faster": round(dense / ours, 3),
        "tuned": str(tuned),
    }


def main() -> int:
    options = options_of(__doc__ or "")
    device = device_of(options)
    there, missing = networks()
    for name in missing:
        print(f"{name}: this version of the package has no such network")
    if options.dry_run:
        _list(there, device)
        return 0
    items = Items(options.results / "gpu_networks.json", device.environment, options.budget)
    share = None if options.budget is None else 0.4 * seconds_of(options.budget) / (len(there) * len(BATCHES))
    for name in there:
        for batch in BATCHES:
            items.run(f"{name} batch {batch}", partial(measured, name, batch, share))
    items.data["not in this version"] = missing
    return items.finish()


def _list(there: list[str], device: Any) -> None:
    """The products of each network at the largest batch, by shapes alone."""
    import torch

    from bitwright.export.cuda.tuning import problems_of

    for name in there:
        counts = problems_of(made(name, True), torch.zeros(1, *NETWORKS[name][1]))
        chooser = Chooser(device, Store())
        chosen = {chooser.choose(problem).config.template for problem in counts}
        layers = sum(counts.values())
        print(
            f"{name}: {layers} packed layers, {len(counts)} shapes, by {', '.join(sorted(chosen))}; batches {BATCHES}"
        )


if __name__ == "__main__":
    sys.exit(main())
