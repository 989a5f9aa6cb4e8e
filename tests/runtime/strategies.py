"""Random convolutions and the models of one op that the property tests run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from bitwright.runtime import kernels

from .builder import Geometry
from .reference import conv_size

ISAS = sorted({k["isa"] for k in kernels() if k["supported"]})


@dataclass
class Case:
    """One convolution: sizes, and the seed of its numbers."""

    geometry: Geometry
    size: tuple[int, int, int]
    out: tuple[int, int, int]
    channels: int
    outputs: int
    batch: int
    low: int
    threads: int
    isa: str
    seed: int

    def random(self) -> np.random.Generator:
        return np.random.default_rng(self.seed)


@st.composite
def cases(draw: Any, binary: bool = True) -> Case:
    dims = draw(st.integers(1, 3))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    per_in = draw(
        st.sampled_from([1, 2, 7, 31, 32, 33, 40, 64, 70]) if groups == 1 else st.sampled_from([1, 3, 17, 32, 35])
    )
    per_out = draw(
        st.sampled_from([1, 3, 16, 32, 33, 64, 65, 100]) if groups == 1 else st.sampled_from([1, 5, 32, 33, 64])
    )
    transposed = draw(st.integers(0, 4)) == 0
    kernel, stride, dilation, begin, end, size, out = ([1, 1, 1], [1] * 3, [1] * 3, [0] * 3, [0] * 3, [1] * 3, [1] * 3)
    for k in range(3 - dims, 3):
        kernel[k] = draw(st.integers(1, 4 if dims < 3 else 2))
        stride[k] = draw(st.integers(1, 3))
        dilation[k] = draw(st.integers(1, 3))
        size[k] = draw(st.integers(1, 7 if dims < 3 else 4))
        begin[k] = draw(st.integers(0, 3))
        end[k] = 0 if transposed else draw(st.integers(0, 3))
    pad_mode = 0 if transposed else draw(st.sampled_from([0, 0, 1, 2, 3] if binary else [0, 0, 3]))
    geometry = Geometry(kernel, stride, dilation, begin, end, groups, pad_mode, transposed)
    for k in range(3):
        extent = dilation[k] * (kernel[k] - 1) + 1
        if transposed:
            most = (size[k] - 1) * stride[k] + extent + max(stride[k], dilation[k]) - 1 - begin[k]
            if most < 1:
                begin[k] = 0
                most = (size[k] - 1) * stride[k] + extent + max(stride[k], dilation[k]) - 1
            out[k] = draw(st.integers(1, most))
        else:
            begin[k] += max(0, extent - size[k] - begin[k] - end[k])
            out[k] = conv_size(size[k], geometry, k)
    return Case(
        geometry,
        (size[0], size[1], size[2]),
        (out[0], out[1], out[2]),
        per_in * groups,
        per_out * groups,
        draw(st.integers(1, 5)),
        draw(st.sampled_from([0, 0, 1])) if binary else 0,
        draw(st.sampled_from([1, 2])),
        draw(st.sampled_from(ISAS)),
        draw(st.integers(0, 2**32 - 1)),
    )


@st.composite
def odd_cases(draw: Any) -> Case:
    """Few or odd channels and outputs, up to 32 groups, larger maps and batches: all ways of lanes and tiles."""
    case: Case = draw(cases())
    groups = draw(st.sampled_from([1, 1, 2, 3, 8, 16, 32]))
    kernel, stride, dilation, begin, size, out = ([1, 1, 1], [1] * 3, [1] * 3, [0] * 3, [1] * 3, [1] * 3)
    for k in range(draw(st.sampled_from([1, 1, 2])), 3):
        kernel[k] = draw(st.sampled_from([1, 2, 3, 5, 7]))
        stride[k] = draw(st.integers(1, 3))
        dilation[k] = draw(st.integers(1, 2))
        extent = dilation[k] * (kernel[k] - 1) + 1
        begin[k] = draw(st.integers(0, extent - 1))
        size[k] = max(draw(st.integers(1, 24)), extent - 2 * begin[k])
    geometry = Geometry(kernel, stride, dilation, begin, begin, groups, case.geometry.pad_mode)
    for k in range(3):
        out[k] = conv_size(size[k], geometry, k)
    return replace(
        case,
        geometry=geometry,
        size=(size[0], size[1], size[2]),
        out=(out[0], out[1], out[2]),
        channels=groups * draw(st.sampled_from([1, 5, 33] if groups < 8 else [1, 3])),
        outputs=groups * draw(st.sampled_from([1, 2, 7, 8, 15, 16, 17, 31, 48] if groups < 8 else [1, 3, 5, 8, 31])),
        batch=draw(st.sampled_from([1, 2, 3, 8])),
    )


@st.composite
def depthwise_cases(draw: Any) -> Case:
    """Every channel a group of its own, one to three outputs each."""
    case: Case = draw(cases())
    channels = draw(st.sampled_from([2, 3, 31, 32, 33, 64, 70, 96, 100, 160, 300, 512, 530]))
    geometry = replace(case.geometry, groups=channels)
    return replace(case, geometry=geometry, channels=channels, outputs=channels * draw(st.sampled_from([1, 1, 2, 3])))
