"""Kernel, stride, dilation and padding of ONNX nodes as the program's geometry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import Unsupported
from ..graph import Node
from ..program import Dims3, Geometry, PadMode

T = TypeVar("T", bound=np.generic)


def dims3(sizes: Mapping[int, int], fill: int) -> Dims3:
    """{dimension (1 D, 2 H, 3 W): size} as a (D, H, W) tuple."""
    return (sizes.get(1, fill), sizes.get(2, fill), sizes.get(3, fill))


def _add(a: Dims3, b: Dims3) -> Dims3:
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


@dataclass(frozen=True)
class Window:
    """A window without groups and padding mode."""

    kernel: Dims3
    stride: Dims3
    dilation: Dims3
    begin: Dims3
    end: Dims3

    @property
    def padded(self) -> bool:
        return any(self.begin) or any(self.end)

    def with_pad(self, begin: Dims3, end: Dims3) -> Window:
        return replace(self, begin=_add(self.begin, begin), end=_add(self.end, end))

    def geometry(self, groups: int = 1, mode: PadMode = PadMode.ZERO) -> Geometry:
        return Geometry(self.kernel, self.stride, self.dilation, self.begin, self.end, groups, mode)


def _ints(node: Node, name: str, count: int, default: int) -> list[int]:
    values = node.attrs.get(name)
    if values is None or len(values) == 0:
        return [default] * count
    if len(values) != count:
        raise Unsupported(f"its attribute {name} has {len(values)} entries, it needs {count}.")
    return [int(v) for v in values]


def conv_window(node: Node, spatial: tuple[int, ...], kernel: list[int], size: Dims3 | None = None) -> Window:
    """The window of a convolution or pooling node; `size` (of its input) is needed for auto_pad only."""
    n = len(spatial)
    if len(kernel) != n:
        raise Unsupported(f"its kernel {kernel} has {len(kernel)} dimensions for {n} spatial axes.")
    strides = _ints(node, "strides", n, 1)
    dilations = _ints(node, "dilations", n, 1)
    if min([*kernel, *strides, *dilations]) < 1:
        raise Unsupported(f"kernel {kernel}, strides {strides}, dilations {dilations}: all must be at least 1.")
    pads = _ints(node, "pads", 2 * n, 0)
    begin, end = pads[:n], pads[n:]
    auto = str(node.attrs.get("auto_pad", "NOTSET"))
    if auto in ("SAME_UPPER", "SAME_LOWER") and size is not None:
        for i, d in enumerate(spatial):
            length = size[d - 1]
            extent = dilations[i] * (kernel[i] - 1) + 1
            total = max((-(-length // strides[i]) - 1) * strides[i] + extent - length, 0)
            small, large = total // 2, total - total // 2
            begin[i], end[i] = (small, large) if auto == "SAME_UPPER" else (large, small)
    elif auto == "VALID":
        begin, end = [0] * n, [0] * n
    elif auto != "NOTSET":
        raise Unsupported(f"auto_pad {auto!r}.", "Write the padding out in `pads`.")
    if min([*begin, *end], default=0) < 0:
        raise Unsupported(f"negative padding {pads}.", "Slice the map instead.")

    def pick(values: list[int], fill: int) -> Dims3:
        return dims3(dict(zip(spatial, values, strict=True)), fill)

    return Window(pick(kernel, 1), pick(strides, 1), pick(dilations, 1), pick(begin, 0), pick(end, 0))


def transposed_out(node: Node, geometry: Geometry, spatial: tuple[int, ...], size: Dims3) -> tuple[Dims3, Geometry]:
    """Output size and geometry of a transposed convolution (docs/bwm.md: `out` carries the padding at the end)."""
    if node.attrs.get("output_shape"):
        raise Unsupported("output_shape is set.", "Use pads and output_padding.")
    if str(node.attrs.get("auto_pad", "NOTSET")) != "NOTSET":
        raise Unsupported(f"auto_pad {node.attrs['auto_pad']!r}.", "Write the padding out in `pads`.")
    extra = dims3(dict(zip(spatial, _ints(node, "output_padding", len(spatial), 0), strict=True)), 0)
    out = []
    for i in range(3):
        full = (size[i] - 1) * geometry.stride[i] + geometry.extent(i)
        o = full - geometry.pad_begin[i] - geometry.pad_end[i] + extra[i]
        if extra[i] >= max(geometry.stride[i], geometry.dilation[i]):
            raise Unsupported(f"output_padding {extra[i]} is not smaller than stride and dilation.")
        out.append(o)
    return (out[0], out[1], out[2]), replace(geometry, pad_end=(0, 0, 0), transposed=True, pad_mode=PadMode.ZERO)


def place(weight: npt.NDArray[T], spatial: tuple[int, ...], first: int) -> npt.NDArray[T]:
    """Sorts the weight's spatial axes (they start at axis `first`) into the order D, H, W of the value."""
    order = np.argsort(spatial, kind="stable")
    axes: list[Any] = list(range(weight.ndim))
    axes[first : first + len(spatial)] = [first + int(i) for i in order]
    return np.ascontiguousarray(weight.transpose(axes))
