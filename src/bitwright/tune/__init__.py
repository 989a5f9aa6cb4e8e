"""The auto-tuner of low-bit products: one framework for CPU kernels and CUDA kernels.

A `Problem` (what is computed) on a `Device` has candidates: the `Config`s of every `Template` (a family of kernels)
that are valid there. A `Strategy` orders measurements, a `Runner` takes them, `search` decides, a `Store` keeps every
timing.

    with bw.tune(budget="30s"):           # the first run of each session inside tunes it
        session.run(x)
    bw.tune.tune_session(session, budget="2m").speedup
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from . import bundled
from .config import Config
from .device import Device, this_cpu
from .errors import TuneError, WrongResultError
from .formats import FORMATS, Format
from .history import History
from .layers import LayerResult, ModelReport, during, tune_session
from .problem import Problem, bucket_of
from .runner import FakeClock, RecordedRunner, Runner
from .search import Outcome, search
from .store import Record, Store
from .strategies import Strategy, Trial, strategies, strategy_of
from .template import Space, Template, space_of

__all__ = [
    "FORMATS",
    "Config",
    "Device",
    "FakeClock",
    "Format",
    "History",
    "LayerResult",
    "ModelReport",
    "Outcome",
    "Problem",
    "Record",
    "RecordedRunner",
    "Runner",
    "Space",
    "Store",
    "Strategy",
    "Template",
    "Trial",
    "TuneError",
    "WrongResultError",
    "bucket_of",
    "bundled",
    "during",
    "search",
    "space_of",
    "strategies",
    "strategy_of",
    "this_cpu",
    "tune_session",
]


class _Callable(ModuleType):
    """`bw.tune(...)` is `bw.tune.during(...)`."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return during(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
