"""The packed operators on CUDA tensors: which kernel runs which call, and running it.

`calls` says what a call is for the tuner (or why no kernel serves it), `weights` keeps weights in the kernels' layout,
`executor` runs a call through a `Launcher`: the driver (`device`), or in tests the emulator. `explain` and
`tune_module` are for people.

Rules: everything runs on torch's current stream, in memory of torch's allocator, without synchronizing. The first call
of a shape chooses, compiles and loads its kernels and lays out its weights; so run a model once before its capture in
a CUDA graph (`NotPreparedError` says so otherwise). What no kernel serves runs in plain torch, with one
`PlainTorchWarning` a reason.

No GPU has run this yet: tests put the emulator in the driver's place.
"""

from __future__ import annotations

from .calls import Call, call_of
from .executor import Executor, NotPreparedError
from .explaining import Explained, explain
from .fusing import FuseError, PackedEdge, fuse
from .operators import PlainTorchWarning, run, run_elementwise
from .tuning import tune_module

__all__ = [
    "Call",
    "Executor",
    "Explained",
    "FuseError",
    "NotPreparedError",
    "PackedEdge",
    "PlainTorchWarning",
    "call_of",
    "explain",
    "fuse",
    "run",
    "run_elementwise",
    "tune_module",
]
