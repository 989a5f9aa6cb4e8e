"""Float convolutions and dense layers become int8: u8 activations, int8 weights with one scale per output channel.

The layer's input is stored as u8 where it is computed (STORE_U8 behind its STORE; a model input or the result of a
COPY gets a MAP), the accumulator is an exact integer, and one AFFINE, merged with the layer's bias, undoes the scales.
The padding pixel holds the zero point, whose real number is 0, so zero padding stays exact. Weights of ±1 stay ±1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..histogram import Histogram, u8_parameters, u8_range
from ..packing import unpack_bits
from ..program import Const, Copy, DType, FConv, Map, Op, PadMode, Program, QConv, Step, StepKind, Value

F64 = npt.NDArray[np.float64]
LARGEST = 127  # of a weight: symmetric, so that w and -w have the same error
SMALLEST = 1e-30  # a row of smaller weights becomes 0: its scale would be no normal float32
PRODUCTS = 65535  # of one accumulator; more could leave int32 (docs/bwm.md, limits)
_CANDIDATES = np.linspace(0.6, 1.0, 17)  # clipping of the weights, as a share of the largest one


@dataclass(frozen=True)
class LayerReport:
    """What happened to one float layer."""

    name: str
    quantized: bool
    why: str = ""  # it stayed fp32
    weights: str = ""  # "int8", "±1"
    low: float = 0.0  # range of its input that the 256 levels cover
    high: float = 0.0
    seen_low: float = 0.0  # extremes in the calibration samples
    seen_high: float = 0.0
    scale: float = 0.0
    zero: int = 0
    clipped: float = 0.0  # share of the input's elements outside the range
    weight_error: float = 0.0  # root mean square error of the weights, relative to their root mean square
    input_error: float = 0.0  # the same for the input, from the calibration samples


def layers(program: Program) -> list[FConv]:
    """The float layers that may be quantized."""
    return [op for op in program.ops if isinstance(op, FConv)]


def quantize_layers(program: Program, stats: Mapping[int, Histogram]) -> list[LayerReport]:
    """Rewrites every FCONV that can be; `stats` are those of the layers' inputs. `prune` removes the floats that
    nobody reads any more."""
    reports = []
    stored: dict[int, Value] = {}
    ops: list[Op] = []
    for op in program.ops:
        if not isinstance(op, FConv):
            ops.append(op)
            continue
        weight = real_weight(op)
        why = unfit(op, weight)
        if why:
            reports.append(LayerReport(op.module or op.name, False, why))
            ops.append(op)
            continue
        h = stats[id(op.inp)]
        pixels = pixel_input(ops, op.inp)
        if pixels is not None:
            q, report = _on_pixels(op, weight, *pixels, h)
            reports.append(report)
            ops.append(q)
            continue
        if id(op.inp) not in stored:
            stored[id(op.inp)] = _store(op, h, ops)
        q, report = _quantized(op, weight, stored[id(op.inp)], h)
        reports.append(report)
        ops.append(q)
    program.ops = ops
    return reports


def real_weight(op: FConv) -> F64:
    """The layer's weight `[O][taps][C/groups]`, unpacked."""
    row = op.inp.channels // op.geometry.groups
    shape = (op.out_channels, op.geometry.taps, row)
    if op.packed:
        bits = unpack_bits(op.weight.data.reshape(op.out_channels, op.geometry.taps, -1), row)
        return np.where(bits, 1.0, -1.0)
    return op.weight.data.reshape(shape).astype(np.float64)


def unfit(op: FConv, weight: F64) -> str:
    """Why a layer stays fp32, or ""."""
    if op.inp.dtype is not DType.F32:
        return f"its input is {op.inp.dtype.name.lower()}"
    rows = weight.reshape(op.out_channels, -1)
    if np.isin(rows, (0.0, 1.0)).all() and (rows.sum(axis=1) <= 1).all():
        return "it only moves numbers"
    if rows.shape[1] > PRODUCTS:
        return f"{rows.shape[1]} products in one sum; {PRODUCTS} fit 32 bits"
    return ""


def _store(op: FConv, h: Histogram, ops: list[Op]) -> Value:
    """The layer's input as u8: a step of the op that computes it, or a MAP in front of the layer."""
    low, high = u8_range(h)
    scale, zero = u8_parameters(low, high)
    u8 = Value(DType.U8, op.inp.dims, scale=scale, zero=zero)
    u8.meaning = op.inp.meaning
    step = Step(StepKind.STORE_U8, u8, p0=float(np.float32(1.0 / scale)))
    for before in ops:
        for i, s in enumerate(before.steps):
            if s.kind is StepKind.STORE and s.value is op.inp and not isinstance(before, Copy):
                before.steps.insert(i + 1, step)
                return u8
    ops.append(Map(f"{op.name}.quantize", op.inp, [step], [], op.module))
    return u8


def _quantized(op: FConv, weight: F64, u8: Value, h: Histogram) -> tuple[QConv, LayerReport]:
    q, scales = (weight, np.ones(op.out_channels)) if op.packed else quantize_weight(weight, _energy(op, h))
    const = Const(q.astype(np.int8))
    steps = undo(scales * u8.scale, np.zeros(op.out_channels), op.steps)
    made = QConv(op.name, u8, steps, op.nodes, op.module, const, op.out_channels, op.out, op.geometry)
    low, high = -u8.zero * u8.scale, (255 - u8.zero) * u8.scale
    rounding = u8.scale / np.sqrt(12)
    spread = np.sqrt(h.mean_squares.mean())
    error = np.sqrt(np.square(weight - q * scales[:, None, None]).mean())
    norm = np.sqrt(np.square(weight).mean())
    report = LayerReport(
        op.module or op.name, True, "", "±1" if op.packed else "int8", low, high, h.low, h.high, u8.scale, u8.zero,
        h.outside(low - u8.scale / 2, high + u8.scale / 2), float(error / norm) if norm else 0.0,
        float(rounding / spread) if spread else 0.0,
    )  # fmt: skip
    return made, report


def pixel_input(ops: list[Op], value: Value) -> tuple[Value, F64, F64] | None:
    """(u8 model input, a, b) if the value is `(q - zero)*a + b` of its channels, computed by AFFINEs of one MAP."""
    for op in ops:
        if isinstance(op, Map) and op.inp.dtype is DType.U8 and op.inp.is_input:
            a, b = np.full(op.inp.channels, op.inp.scale), np.zeros(op.inp.channels)
            for s in op.steps:
                if s.kind is StepKind.AFFINE:
                    factor, offset = affine_of(s)
                    a, b = a * factor, b * factor + offset
                elif s.kind is StepKind.STORE and s.value is value:
                    return op.inp, a, b
                elif not s.stores:
                    break
    return None


def _on_pixels(op: FConv, weight: F64, u8: Value, a: F64, b: F64, h: Histogram) -> tuple[QConv, LayerReport]:
    """An int8 layer that reads the model's pixels: the normalisation is in its weights and its bias.

    sum w*(d*a + b) over the channels, with d = q - zero, is sum (w*a)*d plus a constant for each tap inside the map.
    The constants are rounded to integers of the accumulator where a tap lies in the padding, no more.
    """
    groups = op.geometry.groups
    factor = np.repeat(a.reshape(groups, -1), op.out_channels // groups, axis=0)[:, None, :]
    offset = np.repeat(b.reshape(groups, -1), op.out_channels // groups, axis=0)[:, None, :]
    scaled = weight * factor
    q, scales = quantize_weight(scaled, np.ones((op.out_channels, scaled.shape[2])))
    used = q * scales[:, None, None]
    shares = (q / factor * offset).sum(axis=2)  # [O][taps], in units of the accumulator
    steps = undo(scales, shares.sum(axis=1) * scales, op.steps)
    g = op.geometry
    made = QConv(op.name, u8, steps, op.nodes, op.module, Const(q.astype(np.int8)), op.out_channels, op.out, g)
    if any((*g.pad_begin, *g.pad_end)) and g.pad_mode is PadMode.ZERO:
        # the bias holds every tap's constant; a tap in the padding takes its own away again
        made.padding = Const(-np.rint(shares.T).astype(np.int32))
    error, norm = np.sqrt(np.square(scaled - used).mean()), np.sqrt(np.square(scaled).mean())
    report = LayerReport(
        op.module or op.name, True, "", "int8", 0.0, 255.0, h.low, h.high, 1.0, u8.zero,
        weight_error=float(error / norm) if norm else 0.0,
    )  # fmt: skip
    return made, report


def affine_of(s: Step) -> tuple[F64, F64]:
    """(a, b) of an AFFINE: one element, or one a channel."""
    a = np.full(1, np.float64(np.float32(s.p0))) if s.a is None else s.a.data.astype(np.float64)
    b = np.full(1, np.float64(np.float32(s.p1))) if s.b is None else s.b.data.astype(np.float64)
    return a, b


def _energy(op: FConv, h: Histogram) -> F64:
    """Mean square of the input channels that each output channel reads, `[O][C/groups]`."""
    groups = op.geometry.groups
    per_group = h.mean_squares.reshape(groups, -1)
    return np.repeat(per_group, op.out_channels // groups, axis=0)


def quantize_weight(weight: F64, energy: F64) -> tuple[F64, F64]:
    """(integers `[O][taps][C/groups]` in [-127, 127], scale `[O]`).

    The scale is max|w|/127, or a smaller one that clips the largest weights where that gives the smaller error of the
    layer's output: the weights' squared errors, weighted by the mean square of the input channel that they multiply
    (exact for inputs that do not correlate; our choice).
    """
    outputs = weight.shape[0]
    largest = np.abs(weight).reshape(outputs, -1).max(axis=1)
    full = np.where(largest > SMALLEST, largest / LARGEST, 1.0)
    best, scales = np.full(outputs, np.inf), full
    for share in _CANDIDATES[::-1]:
        s = (full * share).astype(np.float32).astype(np.float64)  # as the file has them
        error = np.empty(outputs)
        for o in range(outputs):  # one row at a time: dense layers are large
            w = weight[o]
            error[o] = (np.square(w - np.clip(np.rint(w / s[o]), -LARGEST, LARGEST) * s[o]) * energy[o]).sum()
        better = error < best
        best, scales = np.where(better, error, best), np.where(better, s, scales)
    return np.clip(np.rint(weight / scales[:, None, None]), -LARGEST, LARGEST), scales


def undo(scale: F64, bias: F64, steps: list[Step]) -> list[Step]:
    """`x*scale + bias` as one AFFINE in front of `steps`, merged with the AFFINEs that they begin with."""
    rest = list(steps)
    while rest and rest[0].kind is StepKind.AFFINE:
        a, b = affine_of(rest.pop(0))
        scale, bias = scale * a, bias * a + b
    return [Step(StepKind.AFFINE, None, Const(scale.astype(np.float32)), Const(bias.astype(np.float32))), *rest]


__all__ = ["LayerReport", "layers", "quantize_layers", "quantize_weight", "real_weight", "undo", "unfit"]
