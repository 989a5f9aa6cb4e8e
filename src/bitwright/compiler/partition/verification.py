"""`verify` for a file with parts for onnxruntime: the ops of the native parts on the reference's values, as ever; then
the whole against the reference."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from bitwright.runtime import Session
from bitwright.runtime.partitioned import PartitionedSession

from ..bwm_read import read
from ..errors import VerifyError
from ..graph import ModelSource
from ..meta import meanings
from ..program import DType, Program
from ..reference import Reference, make_reference
from ..verification import Engine, InputFacts, Walk, compare_outputs, tie
from ..verify_quantized import is_quantized
from ..verify_report import VerifyReport
from .inspection import open_container

Array = np.ndarray[Any, Any]


class PartsWalk:
    """Runs batches through both sides and keeps the sums."""

    def __init__(
        self, source: ModelSource, path: str | os.PathLike[str], reference: object, threads: int, kernel: str | None
    ) -> None:
        container = open_container(path)
        session = Session(os.fspath(path), threads=threads, kernel=kernel)
        assert isinstance(session, PartitionedSession)
        self.session = session
        manifest = container.manifest
        label = reference if isinstance(reference, str) else type(reference).__name__
        self.report = VerifyReport(str(manifest.get("name", "")), os.fspath(path), label, kernel or "default", threads)
        self.inputs = [InputFacts(i.name, i.shape[1:], i.dtype) for i in session.inputs]
        if any(i.dtype == object or not i.shape for i in session.inputs):
            raise VerifyError("verify needs inputs whose first axis is the batch")
        self._walks: list[Walk] = []
        wanted = set(manifest["outputs"])
        first = 0
        for i, part in session.natives():
            program = read(container.bytes_of(i))
            wanted |= self._add(program, part, path, first)
            first += len(program.ops)
        self.provider = make_reference(reference, source, sorted(wanted), threads)

    def _add(self, program: Program, part: Session, path: str | os.PathLike[str], first: int) -> set[str]:
        """A native part; returns the tensors that the reference must give."""
        if is_quantized(program):
            raise VerifyError(
                f"{os.fspath(path)}: verify compares a quantized file only if it runs natively as a whole; this one "
                "has parts for onnxruntime. Verify it compiled without int8 and int16; `inspect` prints their error"
            )
        try:
            known = meanings(program)
        except (ValueError, KeyError, TypeError) as error:
            raise VerifyError(f"{os.fspath(path)}: {error}") from error
        own = VerifyReport("", "", "", "", 0, not_compared=self.report.not_compared)
        self._walks.append(Walk(program, Engine(program, part), known, own))
        for check in own.values:
            check.op += first
        self.report.values += own.values
        return {m.tensor for m in known.values()} | {v.name for v in (*program.inputs, *program.outputs)}

    def batch(self, provider: Reference, feed: list[Array]) -> None:
        """Compares on one batch."""
        tensors = {**provider.tensors(*feed), **{f.name: x for f, x in zip(self.inputs, feed, strict=True)}}
        for walk in self._walks:
            walk.layers(tensors, _feed(walk, tensors))
            walk.report.samples += len(feed[0])
        own = self.session.tensors(*feed)

        def explain(sample: int, output: str, engine: int) -> tuple[bool, str]:
            for walk in self._walks:
                found = walk.follow(sample, tensors, _feed(walk, own))
                if found is not None:
                    return found
            return tie(np.asarray(tensors[output]), sample, engine)

        outputs = {o.name: np.asarray(own[o.name]) for o in self.session.outputs if not isinstance(own[o.name], list)}
        compare_outputs(self.report, outputs, tensors, len(feed[0]), explain)
        self.report.samples += len(feed[0])


def _feed(walk: Walk, tensors: Mapping[str, Any]) -> list[Array]:
    """A part's inputs."""
    missing = [v.name for v in walk.program.inputs if v.name not in tensors]
    if missing:
        raise VerifyError(f"the reference does not give {missing}, which a native part takes from onnxruntime")
    kinds = {DType.I32: np.int64}
    return [np.asarray(tensors[v.name], dtype=kinds.get(v.dtype, np.float32)) for v in walk.program.inputs]


__all__ = ["PartsWalk"]
