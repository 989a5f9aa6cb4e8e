"""What `verify` records: one `ValueCheck` for every value that an op writes, summed over all samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .program import BConv, Copy, Meaning, Op, StepKind, Value

TOLERANCE = 1e-5  # of the layer's spread
KEEP = 50  # flips kept with their place, for each value; all are counted
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Flip:
    """A bit that differs from the reference, although the layer got the reference's inputs."""

    sample: int
    position: tuple[int, ...]  # D, H, W, C
    value: float  # the reference's float
    threshold: float
    distance: float  # |value - threshold| / spread of the layer


@dataclass
class ValueCheck:
    """Comparison of one value over all samples."""

    op: int
    name: str  # module path, or the op's name
    kind: str
    tensor: str  # ONNX tensor
    dtype: str  # "f32", "bits"
    compared: int = 0  # elements
    equal: int = 0  # elements that are the same bit pattern
    max_error: float = 0.0  # floats: largest |difference| / spread
    integers: int = 0  # accumulators compared as integers
    integer_errors: int = 0
    flips: int = 0
    max_distance: float = 0.0  # bits: the flip farthest from its threshold
    bugs: int = 0  # flips or floats beyond the tolerance, wrong integers
    examples: list[Flip] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        return self.bugs == 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "ok": self.ok}


def spread_of(x: Array) -> float:
    """The layer's spread: largest minus smallest finite value of the tensor over this batch; its magnitude if it is
    constant."""
    finite = x[np.isfinite(x)]
    if finite.size == 0:
        return 1.0
    spread = float(np.max(finite).astype(np.float64) - np.min(finite).astype(np.float64))
    return spread or float(np.max(np.abs(finite))) or 1.0


def written_part(op: Op, value: Value) -> tuple[Any, ...]:
    """Index of the part of a value `[N, D, H, W, C]` that the op itself writes."""
    if isinstance(op, Copy) and op.one_pixel:
        pixel, channel = divmod(op.dst_channel, value.channels)
        where = np.unravel_index(pixel, value.spatial)
        return (slice(None), *(int(i) for i in where), slice(channel, channel + op.count[3]))
    if isinstance(op, Copy) and not op.zero_rest:
        return (..., slice(op.dst_channel, op.dst_channel + op.count[3]))
    return (...,)


def check_floats(check: ValueCheck, got: Array, wanted: Array, spread: float) -> None:
    """|got - wanted| <= 1e-5 of the spread; equal infinities and NaN on both sides are equal."""
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got.astype(np.float64) - wanted.astype(np.float64)) / spread
    error = np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))
    check.compared += got.size
    check.equal += int(same.sum())
    check.max_error = max(check.max_error, float(error.max(initial=0.0)))
    check.bugs += int((error > TOLERANCE).sum())


def check_bits(
    check: ValueCheck, got: Array, wanted: Array, floats: Array, threshold: Array, spread: float, first: int
) -> None:
    """Equal bits; a flip must lie within 1e-5 of the spread from its threshold."""
    wrong = got != wanted
    count = int(wrong.sum())
    check.compared += got.size
    check.equal += got.size - count
    if not count:
        return
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(floats.astype(np.float64) - threshold) / spread
    distance = np.where(np.isnan(distance), np.inf, distance)
    far = distance[wrong]
    check.flips += count
    check.max_distance = max(check.max_distance, float(far.max()))
    check.bugs += int((far > TOLERANCE).sum())
    limits = np.broadcast_to(threshold, floats.shape)
    for at in np.argwhere(wrong)[: max(0, KEEP - len(check.examples))]:
        n, *place = (int(i) for i in at)
        where = (n, *place)
        check.examples.append(
            Flip(first + n, tuple(place), float(floats[where]), float(limits[where]), float(distance[where]))
        )


def level_boundary(meaning: Meaning, got: Array, wanted: Array) -> Array:
    """Where the float lies between two neighbouring levels, for `check_bits`: level + 1/2 goes through gain and offset
    backwards. Infinitely far where the levels are no neighbours.
    """
    assert meaning.gain is not None
    assert meaning.offset is not None
    low, high = np.minimum(got, wanted).astype(np.float64), np.maximum(got, wanted).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        boundary = (low + 0.5 - meaning.offset.astype(np.float64)) / meaning.gain.astype(np.float64)
    return np.where(high - low > 1, np.inf, boundary)


def accumulator_map(op: Op, value: Value) -> tuple[Array, Array] | None:
    """(scale, bias) if the value is `scale*accumulator + bias` of a binary convolution, so that integers can be
    compared."""
    if not isinstance(op, BConv):
        return None
    scale: Array = np.ones(1, dtype=np.float64)
    bias: Array = np.zeros(1, dtype=np.float64)
    affine = 0
    for s in op.steps:
        if s.kind is StepKind.STORE and s.value is value:
            return None if np.any(scale == 0) else (scale, bias)
        if s.kind is StepKind.AFFINE and not affine:
            affine = 1
            scale = np.atleast_1d(np.float64(s.p0) if s.a is None else s.a.data.astype(np.float64))
            bias = np.atleast_1d(np.float64(s.p1) if s.b is None else s.b.data.astype(np.float64))
        elif not s.stores:
            return None
    return None


def check_integers(check: ValueCheck, got: Array, wanted: Array, scale: Array, bias: Array, k: int) -> None:
    """The accumulators behind scaled outputs; channels whose bias drowns the scale cannot be told apart and are left
    out."""
    size = np.abs(bias) + np.abs(scale) * k
    clear = np.broadcast_to(size * 2.0**-22 < np.abs(scale) / 4, got.shape[-1:])
    a = np.rint((got[..., clear].astype(np.float64) - _pick(bias, clear)) / _pick(scale, clear))
    b = np.rint((wanted[..., clear].astype(np.float64) - _pick(bias, clear)) / _pick(scale, clear))
    wrong = int((a != b).sum())
    check.integers += a.size
    check.integer_errors += wrong
    check.bugs += wrong


def _pick(x: Array, mask: Array) -> Array:
    return np.asarray(x if x.size == 1 else x[mask])
