"""Which layers run on the bit-sliced kernel when nobody has timed both."""

from __future__ import annotations

import numpy as np
import pytest

from bitwright.runtime import Session, kernels

from . import builder as b
from .builder import Builder, Geometry

HAS = {k["name"]: k["supported"] for k in kernels()}
BOTH = HAS["bconv_gfni"] and HAS["bconv_avx512vpopcnt"]
pytestmark = pytest.mark.skipif(not BOTH, reason="the rule chooses between two kernels, of which this CPU lacks one")


def kernel_of(size: int, channels: int, outputs: int, kernel: int, stride: int, end: str, beside: int = 0) -> str:
    """`beside`: outputs of a float layer of the same network, which makes it large."""
    m = Builder()
    pad = kernel // 2
    out = (size + 2 * pad - kernel) // stride + 1
    x = m.value("f32", (1, size, size, channels), role="input")
    bits = m.value("bits", (1, size, size, channels))
    answer = m.value("bits", (1, out, out, outputs)) if end == "threshold" else b.NONE
    y = m.value("f32", (1, out, out, outputs), role="output")
    m.map(x, [b.store_bits(bits)])
    rng = np.random.default_rng(0)
    weight = m.constant(rng.integers(0, 1 << 32, (outputs * kernel * kernel, channels // 32), dtype=np.uint32))
    numbers = m.constant(rng.standard_normal(outputs).astype(np.float32))
    steps = {
        "threshold": lambda: [b.threshold(answer, m.constant(np.zeros(outputs, np.int32)))],
        "map": lambda: [b.affine(numbers), b.store(y)],
        "chain of another shape": lambda: [b.prelu(numbers), b.affine(numbers), b.clamp(-1, 1), b.store(y)],
    }[end]()
    geometry = Geometry((1, kernel, kernel), (1, stride, stride), (1, 1, 1), (0, pad, pad), (0, pad, pad))
    m.bconv(bits, weight, outputs, (1, out, out), geometry, steps)
    if end == "threshold":
        m.map(answer, [b.store(y)])
    if beside:
        z = m.value("f32", (1, size, size, beside), role="output")
        floats = m.constant(np.zeros((beside, channels), np.float32))
        m.fconv(x, floats, beside, (1, size, size), Geometry((1, 1, 1)), [b.store(z)])
    return str(Session(m.file(), threads=1).ops()[1]["kernel"])


@pytest.mark.parametrize(
    ("layer", "end", "sliced"),
    [
        ((56, 64, 64, 3, 1), "threshold", True),
        ((7, 512, 512, 3, 1), "threshold", True),  # weights of 1.2 MB
        ((28, 128, 128, 3, 1), "map", True),
        ((28, 128, 128, 3, 1), "chain of another shape", False),  # counts would go through memory
        ((28, 128, 112, 3, 1), "threshold", True),
        ((28, 128, 112, 3, 1), "map", False),  # a panel is not full
        ((28, 128, 32, 3, 1), "threshold", False),  # half of the lanes would be empty
        ((28, 512, 512, 1, 1), "threshold", False),  # features serve one tap
        ((8, 64, 64, 3, 1), "threshold", False),  # small: features weigh too much
        ((4, 512, 512, 3, 1), "threshold", False),  # two tiles
        ((28, 32, 128, 3, 1), "threshold", False),  # few channels
    ],
)
def test_rule(layer: tuple[int, int, int, int, int], end: str, sliced: bool) -> None:
    assert (kernel_of(*layer, end) == "bconv_gfni") == sliced


def test_in_a_large_network_weights_come_from_further_away() -> None:
    """Those of 1.2 MB are then left to the popcount kernel, which reads 0.3 MB."""
    assert kernel_of(7, 512, 512, 3, 1, "threshold", beside=1024) == "bconv_avx512vpopcnt"
    assert kernel_of(14, 256, 256, 3, 1, "threshold", beside=2048) == "bconv_gfni"
