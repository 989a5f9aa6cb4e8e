"""Sessions of models that run partly in the engine and partly in onnxruntime."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from bitwright.runtime._load import native
from bitwright.runtime.container import Container, read_container
from bitwright.runtime.errors import InputError, ModelError
from bitwright.runtime.kernels import available_cpus
from bitwright.runtime.onnx_part import OnnxPart
from bitwright.runtime.profiling import Machine, PartTime, Profile, account
from bitwright.runtime.session import Session, TensorInfo

if TYPE_CHECKING:
    from bitwright.runtime.tuning import TunedOp

__all__ = ["PartInfo", "PartitionedSession"]


class PartInfo(TypedDict):
    """A part of a model: ``kind`` is "native" or "onnxruntime"; ``nodes`` are dicts of ``name``, ``op``, ``place`` and
    ``why``."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    nodes: list[dict[str, str]]


class PartitionedSession(Session):
    """What `Session` gives for a file with parts for onnxruntime. Arguments and errors as there; ImportError without
    onnxruntime.

    Ops, values and tuning results are numbered through all parts; a part of onnxruntime counts as one op of kind
    "ONNX".
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | bytearray | memoryview,
        threads: int = 1,
        kernel: str | None = None,
        tune: bool | str | os.PathLike[str] = False,
    ) -> None:
        self._check_arguments(threads, kernel)
        container = read_container(model)
        manifest = container.manifest
        self._tensors: dict[str, dict[str, Any]] = manifest["tensors"]
        self._file_bytes = container.file_bytes
        self._threads = threads or available_cpus()
        self._parts: list[Session | OnnxPart] = [
            self._open(model, container, i, kernel) for i in range(len(container.parts))
        ]
        self._inputs = [self._tensor(name) for name in manifest["inputs"]]
        self._outputs = [self._tensor(name) for name in manifest["outputs"]]
        self._manifest = manifest
        self._meta = {**manifest, "ops": [entry for part in self._parts for entry in _entries(part)]}
        # tensors that nobody reads behind a part
        last = {name: i for i, part in enumerate(manifest["parts"]) for name in (*part["inputs"], *part["outputs"])}
        kept = set(manifest["outputs"])
        self._dead: list[list[str]] = [[] for _ in self._parts]
        for name, i in last.items():
            for k in range(i, len(self._parts)):
                if name not in kept:
                    self._dead[k].append(name)
                    break
        if tune is not False:
            self.tune(cache=tune)

    def _open(self, model: Any, container: Container, index: int, kernel: str | None) -> Session | OnnxPart:
        facts = container.manifest["parts"][index]
        section = container.parts[index]
        if facts["kind"] == "onnxruntime":
            where = f"part {index}"
            part = OnnxPart(container.bytes_of(index), where, self._threads, bool(facts.get("optimize", True)))
            if part.inputs != facts["inputs"] or part.outputs != facts["outputs"]:
                raise ModelError(f"{where}: its inputs and outputs are not those that the manifest says")
            return part
        if isinstance(model, (bytes, bytearray, memoryview)):
            engine = native.open_bytes(container.bytes_of(index), self._threads, kernel or "")
        else:
            engine = native.open_part(os.fspath(model), section.offset, section.size, self._threads, kernel or "")
        session = Session._of(engine)
        names = [[i.name for i in session.inputs], [o.name for o in session.outputs]]
        if names != [facts["inputs"], facts["outputs"]]:
            raise ModelError(f"part {index}: its inputs and outputs are not those that the manifest says")
        return session

    def _tensor(self, name: str) -> TensorInfo:
        facts = self._tensors[name]
        if "type" in facts:
            return TensorInfo(name, (), np.dtype(object))
        shape = facts["shape"] or ()
        return TensorInfo(name, tuple("?" if n is None else n for n in shape), np.dtype(facts["dtype"]))

    # --- what it holds

    @property
    def parts(self) -> list[PartInfo]:
        """The parts, in the order in which they run, with the nodes of the source model in each and the reasons."""
        keys = ("kind", "inputs", "outputs", "nodes")
        return [{k: part[k] for k in keys} for part in self._manifest["parts"]]  # type: ignore[misc]

    @property
    def threads(self) -> int:
        """Threads of a run, the caller's included."""
        return self._threads

    @property
    def facts(self) -> dict[str, int]:
        """As of `Session`, summed over the native parts (``micro_batch``: the smallest; ``file_bytes``: of the whole
        file). What onnxruntime holds is not known."""
        own = [part.facts for _, part in self.natives()]
        names = ("arena_bytes", "prepared_bytes", "weight_bytes", "scratch_bytes")
        facts = {name: sum(f[name] for f in own) for name in names}
        micro_batch = min((f["micro_batch"] for f in own), default=1)
        return {"file_bytes": self._file_bytes, **facts, "micro_batch": micro_batch}

    def natives(self) -> list[tuple[int, Session]]:
        """The native parts with their indices in `parts`."""
        return [(i, part) for i, part in enumerate(self._parts) if isinstance(part, Session)]

    def ops(self) -> list[dict[str, Any]]:
        """As of `Session`, with ``part`` in each; a part of onnxruntime is one op of kind and kernel "onnxruntime"."""
        found: list[dict[str, Any]] = []
        first = 0
        for i, part in enumerate(self._parts):
            if isinstance(part, Session):
                for op in part.ops():
                    moved = {key: [v + first for v in op[key]] for key in ("reads", "writes")}
                    found.append({**op, **moved, "index": len(found), "part": i})
                first += len(part.values())
            else:
                found.append({**self._onnx_op(i), "index": len(found), "part": i})
        return found

    def _onnx_op(self, part: int) -> dict[str, Any]:
        facts = self._manifest["parts"][part]
        kinds = list(dict.fromkeys(str(node.get("op")) for node in facts["nodes"]))
        empty = dict.fromkeys(("binary_macs", "float_macs", "int8_macs", "weight_bytes", "constant_bytes"), 0)
        return {
            "name": f"onnxruntime: {', '.join(kinds[:4])}{', …' if len(kinds) > 4 else ''}",
            "kind": "ONNX",
            "kernel": "onnxruntime",
            "epilogue": "",
            "steps": [],
            "in_shape": self._shape(facts["inputs"]),
            "out_shape": self._shape(facts["outputs"]),
            "groups": 1,
            "kernel_shape": (1, 1, 1),
            "reads": [],
            "writes": [],
            **empty,
            "packed_bytes": 0,
            "planes": 1,
        }

    def _shape(self, names: Sequence[str]) -> tuple[Any, ...]:
        return tuple(self._tensors[names[0]].get("shape") or ())[1:] if names else ()

    def values(self) -> list[dict[str, Any]]:
        """As of `Session`, of the native parts, with ``part`` in each."""
        found: list[dict[str, Any]] = []
        for i, part in self.natives():
            first = len(found)
            found += [{**v, "id": v["id"] + first, "part": i} for v in part.values()]
        return found

    # --- running

    def run(self, *inputs: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Any:
        """Runs a batch; see `Session.run`. Element types are those of `inputs`."""
        return self._answer(self._walk(self._given(inputs), None))

    def _answer(self, tensors: Mapping[str, Any]) -> Any:
        outputs = [tensors[info.name] for info in self._outputs]
        return outputs[0] if len(outputs) == 1 else outputs

    def tensors(self, *inputs: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> dict[str, Any]:
        """Runs a batch and returns every tensor that crosses a part's boundary, by name; inputs and outputs too."""
        return self._walk(self._given(inputs), None, keep=True)

    def _walk(self, given: dict[str, Any], clock: list[_Lap] | None, keep: bool = False) -> dict[str, Any]:
        there = dict(given)
        for i, (facts, part) in enumerate(zip(self._manifest["parts"], self._parts, strict=True)):
            arrays = [there[name] for name in facts["inputs"]]
            begin = time.perf_counter_ns()
            ops: list[int] | None = None
            if isinstance(part, OnnxPart):
                results = part.run(arrays)
            else:
                checked = part._check(arrays)
                results = part._allocate(checked[0].shape[0])
                ops = part._native.run(checked, results, clock is not None)
            if clock is not None:
                clock.append(_Lap(time.perf_counter_ns() - begin, ops, arrays))
            there.update(zip(facts["outputs"], results, strict=True))
            for name in () if keep else self._dead[i]:
                del there[name]
        return there

    def _given(self, given: Sequence[Any]) -> dict[str, Any]:
        arrays = zip(self._inputs, self._in_order(given), strict=True)
        sizes: dict[str, tuple[int, str]] = {}
        return {info.name: _checked(info, array, sizes) for info, array in arrays}

    # --- timing

    def profile(
        self, *inputs: npt.ArrayLike | Mapping[str, npt.ArrayLike], repeats: int = 10, machine: bool = True
    ) -> Profile:
        """Times each op and each part; see `Session.profile`. What crosses a part's boundary is counted."""
        if repeats < 1:
            raise ValueError(f"repeats is {repeats}; at least 1 is expected")
        given = self._given(inputs)
        batch = next((len(a) for a in given.values() if np.ndim(a)), 1)
        if batch == 0:
            raise InputError("the batch is empty: there is nothing to time")
        ops = self.ops()
        memory = {"arena": 0, "weights": 0, "tables": 0, "scratch": 0}
        for _, part in self.natives():
            for name, n in part._memory(batch).items():
                if name in memory:
                    memory[name] += n
        peaks = {}
        natives = self.natives()
        if machine and natives:
            peaks = natives[0][1]._peaks(
                [op for op in ops if op["kind"] != "ONNX"], memory["weights"] + memory["arena"]
            )
        self._walk(given, None)
        before = native.measure_clock() if peaks else 0.0
        laps: list[list[_Lap]] = []
        for _ in range(repeats):
            laps.append([])
            self._walk(given, laps[-1])
        limits = None
        if peaks:
            clock = (before, native.measure_clock())
            limits = Machine(clock, read=peaks.pop("read"), write=peaks.pop("write"), arithmetic=peaks)
        rows = [int(median(column)) for column in zip(*(_op_times(run) for run in laps), strict=True)]
        parts = [self._part_time(i, [run[i] for run in laps]) for i in range(len(self._parts))]
        memory["total"] = sum(memory.values())
        return Profile(
            account(ops, self.values(), rows, batch, limits), batch, self.threads, repeats, limits, memory, parts
        )

    def _part_time(self, index: int, laps: Sequence[_Lap]) -> PartTime:
        facts = self._manifest["parts"][index]
        made = {name for part in self._manifest["parts"] for name in part["outputs"]}
        copied = [a for name, a in zip(facts["inputs"], laps[0].arrays, strict=True) if name in made]
        ops = int(median([sum(lap.ops) for lap in laps if lap.ops is not None] or [0]))
        ns = int(median(lap.ns for lap in laps))
        return {
            "part": index,
            "kind": facts["kind"],
            "ns": ns,
            "ops_ns": ops if facts["kind"] == "native" else ns,
            "boundary_copies": len(copied),
            "boundary_bytes": sum(int(a.nbytes) for a in copied if isinstance(a, np.ndarray)),
        }

    def time_op(self, index: int, *, batch: int = 1, repeats: int = 10) -> list[int]:
        """See `Session.time_op`. Raises ValueError for a part of onnxruntime: `profile` times it."""
        part, own, _ = self._locate(index, ValueError)
        return part.time_op(own, batch=batch, repeats=repeats)

    def run_op(self, index: int, values: Mapping[int, npt.ArrayLike]) -> dict[int, npt.NDArray[Any]]:
        """See `Session.run_op`."""
        part, own, first = self._locate(index, InputError)
        found = part.run_op(own, {key - first: array for key, array in values.items()})
        return {key + first: array for key, array in found.items()}

    def _locate(self, index: int, error: type[ValueError]) -> tuple[Session, int, int]:
        """(native part, index of the op in it, id of its first value)."""
        at, first = 0, 0
        for i, part in enumerate(self._parts):
            count = len(part.ops()) if isinstance(part, Session) else 1
            if at <= index < at + count:
                if isinstance(part, Session):
                    return part, index - at, first
                raise error(f"op {index} is part {i}, which runs in onnxruntime as a whole")
            at += count
            first += len(part.values()) if isinstance(part, Session) else 0
        raise error(f"op {index}: the model has ops 0 to {at - 1}")

    def tune(
        self, *, batch: int = 1, cache: bool | str | os.PathLike[str] = True, again: bool = False
    ) -> list[TunedOp]:
        """Tunes the native parts; see `Session.tune`."""
        tuned: list[TunedOp] = []
        at = 0
        for part in self._parts:
            if isinstance(part, Session):
                for entry in part.tune(batch=batch, cache=cache, again=again):
                    entry["index"] += at
                    tuned.append(entry)
            at += len(part.ops()) if isinstance(part, Session) else 1
        return tuned

    def __repr__(self) -> str:
        inputs = ", ".join(f"{i.name}: {list(i.shape)}" for i in self._inputs)
        outputs = ", ".join(f"{o.name}: {list(o.shape)}" for o in self._outputs)
        kinds = [part["kind"] for part in self._manifest["parts"]]
        counts = ", ".join(f"{kinds.count(k)} {k} parts" for k in ("native", "onnxruntime"))
        return f"Session({inputs} -> {outputs}; {counts}, {self.threads} threads)"


def _entries(part: Session | OnnxPart) -> list[Any]:
    """META's entries of a part's ops."""
    if isinstance(part, OnnxPart):
        return [{}]
    entries = part.meta.get("ops")
    return entries if isinstance(entries, list) else [{}] * len(part.ops())


class _Lap:
    """One part of one timed run."""

    def __init__(self, ns: int, ops: list[int] | None, arrays: list[Any]) -> None:
        self.ns, self.ops, self.arrays = ns, ops, arrays


def _op_times(laps: Sequence[_Lap]) -> list[int]:
    return [ns for lap in laps for ns in ([lap.ns] if lap.ops is None else lap.ops)]


def _checked(info: TensorInfo, given: Any, sizes: dict[str, tuple[int, str]]) -> Any:
    """The array if it has the declared type and shape; named sizes must be the same in all inputs."""
    if info.dtype == object and not info.shape:
        return given
    array = np.asarray(given)
    text = info.dtype.kind == "U"
    if info.dtype == np.int64 and array.dtype == np.int32:
        array = array.astype(np.int64)
    if (array.dtype.kind not in "UO") if text else (array.dtype != info.dtype):
        raise TypeError(
            f"input {info.name!r} is {array.dtype}; {info.dtype} is expected: pass x.astype(numpy.{info.dtype})"
        )
    named = tuple(n for n in info.shape)
    fits = array.ndim == len(named) and all(
        isinstance(n, str) or n == k for n, k in zip(named, array.shape, strict=True)
    )
    if not fits:
        hint = " (a batch dimension is missing: pass x[None])" if array.shape == named[1:] else ""
        raise InputError(f"input {info.name!r} has the shape {list(array.shape)}; {list(named)} is expected{hint}")
    for n, k in zip(named, array.shape, strict=True):
        if isinstance(n, str) and n != "?":
            size, first = sizes.setdefault(n, (k, info.name))
            if size != k:
                raise InputError(
                    f"input {info.name!r} has the shape {list(array.shape)}, so {n!r} is {k}; "
                    f"in input {first!r} it is {size}"
                )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
