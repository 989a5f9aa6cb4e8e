"""PyTorch (oneDNN): convolutions in float32 and bfloat16, channels last, frozen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

KINDS = {"conv fp32", "conv bf16"}


def make(task: dict[str, Any]) -> Callable[[], None]:
    """See tasks.py."""
    torch.set_num_threads(task["threads"])
    torch.manual_seed(0)
    dtype = torch.bfloat16 if task["kind"] == "conv bf16" else torch.float32
    conv = torch.nn.Conv2d(task["channels"], task["outputs"], 3, task["stride"], 1, bias=False).eval().to(dtype)
    x = torch.randn(1, task["channels"], task["size"], task["size"], dtype=dtype).to(memory_format=torch.channels_last)
    conv = conv.to(memory_format=torch.channels_last)
    with torch.inference_mode():
        frozen = torch.jit.freeze(torch.jit.trace(conv, x))
        frozen = torch.jit.optimize_for_inference(frozen)

    def run() -> None:
        with torch.inference_mode():
            frozen(x)

    return run
