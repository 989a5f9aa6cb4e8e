"""What a compiled model or an ONNX file multiplies: the products that a GPU would be asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitwright.compiler.program import BConv
    from bitwright.export.cuda import Call
    from bitwright.tune import Problem


def products_of(path: str, batch: int) -> tuple[dict[Problem, int], list[tuple[str, str]]]:
    """The products of a .bwm file's binary layers with how often each occurs, and the layers that no kernel serves,
    with the reason.

    Raises:
        BwmFormatError: no .bwm file, or damaged.
    """
    from bitwright.compiler.bwm_read import read
    from bitwright.compiler.program import BConv
    from bitwright.tune.cuda import RefusedError

    counts: dict[Problem, int] = {}
    refused: list[tuple[str, str]] = []
    for op in read(path).ops:
        if isinstance(op, BConv):
            try:
                call = _call(op, batch)
            except RefusedError as error:
                refused.append((op.name, str(error)))
                continue
            if call is not None:
                counts[call.problem] = counts.get(call.problem, 0) + 1
    return counts, refused


def _call(op: BConv, batch: int) -> Call | None:
    """As the packed operator that the layer was made from."""
    from bitwright.compiler.dialect import BinaryConvAttrs, LevelConvAttrs
    from bitwright.compiler.program import PadMode
    from bitwright.export.cuda import call_of
    from bitwright.tune.cuda import RefusedError

    g, value = op.geometry, op.inp
    if g.transposed:
        raise RefusedError("transposed convolutions have no kernel")
    rank = 3 if value.spatial[0] > 1 or g.kernel[0] > 1 else 2

    def last(sizes: tuple[int, ...]) -> tuple[int, ...]:
        return sizes[3 - rank :]

    kernel, stride, dilation = last(g.kernel), last(g.stride), last(g.dilation)
    pads, channels = (*last(g.pad_begin), *last(g.pad_end)), value.channels // g.groups
    mode, shape = "edge" if g.pad_mode is PadMode.EDGE else "constant", (batch, value.channels, *last(value.spatial))
    attrs: BinaryConvAttrs | LevelConvAttrs
    if value.planes > 1:
        attrs = LevelConvAttrs(kernel, stride, dilation, pads, g.groups, channels, value.planes, mode)
    else:
        fill = {PadMode.ONE: 1.0, PadMode.MINUS_ONE: -1.0}.get(g.pad_mode, 0.0)
        low = 0.0 if op.low else -1.0
        attrs = BinaryConvAttrs(kernel, stride, dilation, pads, g.groups, channels, low, mode, fill)
    return call_of(shape, op.out_channels, attrs)
