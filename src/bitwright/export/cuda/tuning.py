"""Tuning the packed layers of a torch model on a GPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from bitwright.tune import Problem, Store
from bitwright.tune.cuda import GpuReport, this_gpu
from bitwright.tune.cuda.tuning import Progress

from .device import executor_of
from .explaining import calls_of


def problems_of(net: nn.Module, *inputs: Any) -> dict[Problem, int]:
    """The products and convolutions that one run of a model asks for, with how often it does."""
    counts: dict[Problem, int] = {}
    for met in calls_of(net, *inputs):
        if met.call is not None:
            counts[met.call.problem] = counts.get(met.call.problem, 0) + 1
    return counts


def tune_module(
    net: nn.Module,
    *inputs: Any,
    budget: float | str | None = None,
    strategy: str = "two_stage",
    store: Store | None = None,
    again: bool = False,
    device: torch.device | str | int = 0,
    progress: Progress | None = None,
) -> GpuReport:
    """Searches the fastest kernels for the packed layers of a model on a GPU; its next calls use them.

    Answers stay the same bit for bit.

    Args:
        net: a frozen model; it runs once on these inputs, wherever it is (a run on the CPU serves as well).
        inputs: of the model, with the batch of the runs to come.
        budget: seconds, or "30s".
        strategy, again, progress: see `bitwright.tune.cuda.tune_problems`.
        store: where timings are kept; by default the user's, which the operators read. With another one the
            operators do not see them.
        device: which GPU: its number, or "cuda:0".

    Raises:
        TuneError: no GPU can be used, a bad budget, or an unknown strategy.
    """
    number = device if isinstance(device, int) else torch.device(device).index or 0
    this_gpu(number)  # its clear error where there is none
    executor = executor_of(torch.device("cuda", number))
    return executor.tune(
        problems_of(net, *inputs), budget=budget, strategy=strategy, store=store, again=again, progress=progress
    )
