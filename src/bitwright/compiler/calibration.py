"""Runs a float program on sample inputs and keeps statistics of its activations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import bwm
from .errors import CompileError
from .histogram import Histogram
from .program import DType, Op, Program, Value
from .samples import Samples

Array = np.ndarray[Any, Any]

BATCH = 8  # samples a piece: all maps of a piece that are still needed are in memory


class Tracer:
    """A planned program in the native engine, op by op, so that every value can be looked at.

    It keeps what it needs: the program may be rewritten afterwards, and its values still serve as keys.
    """

    def __init__(self, program: Program, threads: int = 1) -> None:
        from bitwright.runtime import Session

        self._session = Session(bwm.encode(program), threads=threads)
        self._ids = {id(v): i for i, v in enumerate(program.values())}
        self._inputs = list(program.inputs)
        self._ops = [(op, [id(v) for v in op.reads()], [id(v) for v in op.writes()]) for op in program.ops]
        self._keep = program.values()  # so that no id is reused

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Outputs of the whole network, in order, for a batch."""
        names = [v.name for v in self._inputs]
        result: Any = self._session.run(dict(zip(names, inputs, strict=True)))
        return [np.asarray(r) for r in (result if isinstance(result, list) else [result])]

    def walk(
        self, inputs: Sequence[Array], given: Mapping[int, Array] | None = None
    ) -> Iterator[tuple[Op | None, dict[int, Array]]]:
        """(op, {id(value): [N, D, H, W, C]}) after each op; the model's inputs first, with None.

        `given` replaces values, by id, before later ops read them.
        """
        data = {id(v): to_internal(v, x) for v, x in zip(self._inputs, inputs, strict=True)}
        last = {key: i for i, (_, reads, _) in enumerate(self._ops) for key in reads}
        yield None, dict(data)
        for i, (op, reads, writes) in enumerate(self._ops):
            result = self._session.run_op(i, {self._ids[key]: data[key] for key in reads})
            for key in writes:
                x = np.asarray(result[self._ids[key]])
                # several COPYs fill one value: each gives its own channels, the others are 0
                data[key] = data[key] + x if key in data else x
            yield op, {key: data[key] for key in writes}
            for key in writes:
                if given is not None and key in given:
                    data[key] = given[key]
            for key in reads:
                if last[key] == i:
                    data.pop(key, None)


def to_internal(v: Value, x: Array) -> Array:
    """A model input `[N, *external]` as `[N, D, H, W, C]`."""
    rest = [d for d in (1, 2, 3, 4) if d not in v.external_axes]
    order = [*v.external_axes, *rest]
    cube = x.reshape(x.shape[0], *(v.dims[d - 1] for d in order))
    cube = np.ascontiguousarray(cube.transpose(0, *(order.index(d) + 1 for d in (1, 2, 3, 4))))
    return cube.astype(np.int32) if v.dtype is DType.I32 else cube


def calibrate(program: Program, samples: Samples, wanted: Collection[int]) -> dict[int, Histogram]:
    """id(value) -> statistics of the wanted f32 values (their ids) of a planned program, over all samples.

    Raises:
        CompileError: an activation is not finite.
    """
    tracer = Tracer(program)
    values = {id(v): v for v in program.values()}
    found: dict[int, Histogram] = {id(v): Histogram() for v in values.values() if id(v) in wanted}
    writers = {id(v): sum(v is w for op in program.ops for w in op.writes()) for v in values.values()}
    for batch in samples.batches(BATCH):
        seen: dict[int, int] = {}
        for op, made in tracer.walk(batch):
            for key, x in made.items():
                seen[key] = seen.get(key, 0) + 1
                if key not in found or seen[key] < writers[key]:
                    continue
                if not np.isfinite(x).all():
                    where = "the input" if op is None else f"layer {op.module or op.name!r}"
                    raise CompileError(f"{where} gives NaN or infinity on the calibration samples: it has no range")
                found[key].add(x)
    return found


__all__ = ["BATCH", "Tracer", "calibrate", "to_internal"]
