"""What is timed: plain data that travels to a peer's process as JSON. Standard library only.

A peer module defines `KINDS`, the kinds of task that it can do, and `make(task)`, which returns a function. That
function does the task once and returns None (its wall time counts) or the seconds that the peer's own profiler gives
for the part that the task asks for.
"""

from __future__ import annotations

from typing import Any, NamedTuple

Task = dict[str, Any]


class Layer(NamedTuple):
    """A 3x3 convolution of ResNet-18, padding 1, one image."""

    size: int
    channels: int
    outputs: int
    stride: int

    @property
    def name(self) -> str:
        stride = f" s{self.stride}" if self.stride > 1 else ""
        return f"{self.size}x{self.size} {self.channels}->{self.outputs}{stride}"

    @property
    def out_size(self) -> int:
        return self.size // self.stride

    @property
    def macs(self) -> int:
        return self.out_size**2 * 9 * self.channels * self.outputs

    def task(self, kind: str, **more: Any) -> Task:
        return {"kind": kind, **self._asdict(), **more}


LAYERS = (
    Layer(56, 64, 64, 1),
    Layer(56, 64, 128, 2),
    Layer(28, 128, 128, 1),
    Layer(28, 128, 256, 2),
    Layer(14, 256, 256, 1),
    Layer(14, 256, 512, 2),
    Layer(7, 512, 512, 1),
)

# (rows of A, rows of B, K): every row of A with every row of B.
GEMMS = ((784, 128, 1152), (1024, 1024, 4096))
