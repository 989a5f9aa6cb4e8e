"""Running compiled models: numpy in, numpy out."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bitwright.runtime._active import ACTIVE
from bitwright.runtime._load import native
from bitwright.runtime.container import is_container
from bitwright.runtime.errors import InputError, ModelError
from bitwright.runtime.inputs import DTYPES, TensorInfo, bits_type, check_inputs, check_values, in_order
from bitwright.runtime.profiling import Machine, Peak, Profile, account, wishes

if TYPE_CHECKING:
    from bitwright.runtime.tuning import Entry, TunableOp, TunedOp

__all__ = ["Session", "TensorInfo"]


class Session:
    """A compiled model, ready to run.

    Args:
        model: the path of a ``.bwm`` file (mapped, so replace it by renaming while it is in use), or its bytes
            (copied).
        threads: threads of a run, the caller's included; 0 for as many as the process may use.
        kernel: forces kernels: an instruction set ("portable", "avx2", "avx512", ...) or kernel names
            separated by commas, see `bitwright.runtime.kernels`. Without it, the environment variable
            ``BITWRIGHT_KERNEL``; without that, the best for this CPU.
        tune: True times the kernels for each layer, as `tune` does, and keeps the results in the user's cache
            (`bitwright.runtime.tuning.default_cache_path`); a path keeps them in that file. Layers whose results are
            there already cost nothing. False: kernels are chosen by rules, without timing, the same on each start.

    Raises:
        ModelError: the file is damaged, unsupported, newer or too large.
        KernelError: the kernel is unknown, or this CPU cannot run it.
        OSError: the file cannot be read.
        ValueError: ``tune`` together with forced kernels.

    A session may be shared by threads: every call has memory of its own, and the interpreter lock is released while
    the engine works. Results do not depend on the number of threads or on how a batch is cut.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | bytearray | memoryview,
        threads: int = 1,
        kernel: str | None = None,
        tune: bool | str | os.PathLike[str] = False,
    ) -> None:
        self._check_arguments(threads, kernel)
        if isinstance(model, (bytes, bytearray, memoryview)):
            self._adopt(native.open_bytes(bytes(model), threads, kernel or ""))
        else:
            self._adopt(native.open_file(os.fspath(model), threads, kernel or ""))
        if tune is not False:
            self.tune(cache=tune)

    def __new__(cls, model: Any, *_: Any, **__: Any) -> Session:
        """A file with parts for onnxruntime gives a subclass, with the same methods."""
        if cls is Session and is_container(model):
            from bitwright.runtime.partitioned import PartitionedSession

            return super().__new__(PartitionedSession)
        return super().__new__(cls)

    @classmethod
    def _of(cls, engine: Any) -> Session:
        """The session of an opened native model."""
        session = object.__new__(cls)
        session._adopt(engine)
        return session

    @staticmethod
    def _check_arguments(threads: int, kernel: str | None) -> None:
        if isinstance(threads, bool) or not isinstance(threads, int) or not 0 <= threads <= 1024:
            raise ValueError(f"threads is {threads!r}; an integer from 0 (all CPUs of the process) to 1024 is expected")
        if kernel is not None and not isinstance(kernel, str):
            raise TypeError(f"kernel is a {type(kernel).__name__}; a str such as 'avx2' is expected")

    def _adopt(self, engine: Any) -> None:
        self._native = engine
        self._values: list[dict[str, Any]] = [self._native.value(i) for i in range(self._native.value_count)]
        self._inputs = [self._describe(i) for i in self._native.inputs]
        self._outputs = [self._describe(i) for i in self._native.outputs]
        try:
            self._meta = json.loads(self._native.meta)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"section META: the JSON cannot be read: {error}") from None

    def _describe(self, value: int) -> TensorInfo:
        facts = self._values[value]
        return TensorInfo(facts["name"], ("N", *facts["shape"]), np.dtype(DTYPES[facts["dtype"]]))

    @property
    def inputs(self) -> list[TensorInfo]:
        """The model's inputs, in the order in which `run` takes them."""
        return list(self._inputs)

    @property
    def outputs(self) -> list[TensorInfo]:
        """The model's outputs, in the order in which `run` returns them."""
        return list(self._outputs)

    @property
    def meta(self) -> dict[str, Any]:
        """What the compiler wrote about the model, for people and for ``verify``."""
        return dict(self._meta)

    @property
    def threads(self) -> int:
        """Threads of a run, the caller's included."""
        return int(self._native.threads)

    @property
    def facts(self) -> dict[str, int]:
        """Sizes in bytes: ``file_bytes``; ``arena_bytes`` (activations of one sample); ``prepared_bytes`` (packed
        weights and tables in memory), of which ``weight_bytes`` are packed weights; ``scratch_bytes`` (of all threads);
        and ``micro_batch``, the number of samples that go through the network together, chosen so that their
        activations stay in the cache."""
        names = ("file_bytes", "arena_bytes", "prepared_bytes", "weight_bytes", "scratch_bytes", "micro_batch")
        return {name: int(getattr(self._native, name)) for name in names}

    def run(self, *inputs: npt.ArrayLike | Mapping[str, npt.ArrayLike]) -> Any:
        """Runs a batch.

        Args:
            inputs: one array for each input, in order; or one dict from input names to arrays. Shapes as in
                `inputs`; float32 (ids: int32 or int64; pixels of a model that takes them: uint8), any strides. A
                float32 array that lies as the engine reads it (channels last, or one channel) is not copied.

        Returns:
            The output array, or a list of them if the model has several.

        Raises:
            TypeError: an array of another element type.
            InputError: a wrong number of inputs, name, shape or batch size; an id out of range.
        """
        arrays = self._check(inputs)
        tuner = ACTIVE.get()
        if tuner is not None:
            tuner(self, int(arrays[0].shape[0]))
        outputs = self._allocate(arrays[0].shape[0])
        self._native.run(arrays, outputs, False)
        return outputs[0] if len(outputs) == 1 else outputs

    def profile(
        self, *inputs: npt.ArrayLike | Mapping[str, npt.ArrayLike], repeats: int = 10, machine: bool = True
    ) -> Profile:
        """Times each op on the given inputs (see `run`), after one run to warm up, and measures what the machine could
        do at best: its clock, its rates of arithmetic and of memory.

        Args:
            inputs: as of `run`.
            repeats: timed calls; an op's time is the median.
            machine: False leaves the machine's limits out, which takes some milliseconds less.

        Returns:
            Times, rates, shares of the roofline, bytes moved, memory held.

        Raises:
            ValueError: ``repeats`` is below 1.
            InputError: the batch is empty; or as `run`.
        """
        if repeats < 1:
            raise ValueError(f"repeats is {repeats}; at least 1 is expected")
        arrays = self._check(inputs)
        batch = int(arrays[0].shape[0])
        if batch == 0:
            raise InputError("the batch is empty: there is nothing to time")
        outputs = self._allocate(batch)
        facts, memory = self.ops(), self._memory(batch)
        peaks = self._peaks(facts, memory["weights"] + memory["arena"]) if machine else {}
        self._native.run(arrays, outputs, False)
        before = native.measure_clock() if machine else 0.0
        times = [self._native.run(arrays, outputs, True) for _ in range(repeats)]
        limits = None
        if machine:
            clock = (before, native.measure_clock())
            limits = Machine(clock, read=peaks.pop("read"), write=peaks.pop("write"), arithmetic=peaks)
        ns = [int(median(column)) for column in zip(*times, strict=True)]
        return Profile(account(facts, self._values, ns, batch, limits), batch, self.threads, repeats, limits, memory)

    def _peaks(self, ops: list[dict[str, Any]], footprint: int) -> dict[str, Peak]:
        asked = {**wishes(ops), "read": ("read", ""), "write": ("write", "")}
        rates = self._native.measure_machine(footprint, list(asked.values()))
        return {name: Peak(**rate) for name, rate in zip(asked, rates, strict=True)}

    def _memory(self, batch: int) -> dict[str, int]:
        facts = self.facts
        memory = {
            "arena": facts["arena_bytes"] * min(batch, facts["micro_batch"]),
            "weights": facts["weight_bytes"],
            "tables": facts["prepared_bytes"] - facts["weight_bytes"],
            "scratch": facts["scratch_bytes"],
        }
        return {**memory, "total": sum(memory.values())}

    def time_op(self, index: int, *, batch: int = 1, repeats: int = 10) -> list[int]:
        """Times one op alone, on made-up values, after one run to warm up: its data lie in the cache if they fit.

        Args:
            index: the op's index in `ops`.
            batch: samples that go through it together.
            repeats: timed runs.

        Returns:
            Nanoseconds of each run.

        Raises:
            ValueError: there is no such op, or ``batch`` or ``repeats`` is below 1.
        """
        if not 1 <= batch < 2**32:
            raise ValueError(f"batch is {batch}; at least 1 is expected")
        if not 1 <= repeats < 2**32:
            raise ValueError(f"repeats is {repeats}; at least 1 is expected")
        if not 0 <= index < len(self._native.ops()):
            raise ValueError(f"op {index}: the model has ops 0 to {len(self._native.ops()) - 1}")
        return list(self._native.time_op(index, batch, repeats))

    def tune(
        self, *, batch: int = 1, cache: bool | str | os.PathLike[str] = True, again: bool = False
    ) -> list[TunedOp]:
        """Chooses the kernel of each op by timing, for this session's further runs.

        Each kernel that can run an op, and each of its register tiles, is timed on it (real shape, made-up values, this
        session's threads), in turn; then, with the fastest, work items of other sizes and fewer threads. What wins is
        timed again against what rules choose, and taken if it is faster by more than 2 % in the median, so that neither
        noise nor the luck of the best of many changes anything. Takes some 80 ms a layer. Outputs stay the same bit for
        bit: float convolutions, whose kernels add in different orders, are left as they are.

        Args:
            batch: samples that go through a layer together, as in the runs to come.
            cache: where results are kept beside this process: True for the user's cache, False for nowhere, or a file.
                They hold for the CPU's model, its instruction sets, the engine's build, the layer, batch and threads.
            again: measures layers whose results are known too.

        Returns:
            One entry for each op with a choice of kernels.

        Raises:
            ValueError: the kernels are forced (``kernel=`` or ``BITWRIGHT_KERNEL``), or ``batch`` is below 1.

        A damaged cache file is ignored with a `RuntimeWarning`.
        """
        if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch < 2**32:
            raise ValueError(f"batch is {batch!r}; an integer of at least 1 is expected")
        from bitwright.runtime.tuning import TuningCache, default_cache_path  # imports that a mere run does without

        path = default_cache_path() if cache is True else None if cache is False else cache
        store = TuningCache(path)
        tuned: list[TunedOp] = []
        fresh: dict[str, Entry] = {}
        for layer in self.tunable(batch=batch):
            key = layer["key"]
            known = (fresh[key], "measured") if key in fresh else None if again else store.get(key, layer["kernels"])
            if known is None:
                fresh[key] = self.time_kernels(layer["index"], batch=batch)
                known = (fresh[key], "measured")
            entry, source = known
            tuned.append(
                {
                    "index": layer["index"],
                    "name": layer["name"],
                    "kind": layer["kind"],
                    "standard": layer["kernels"][0],
                    "kernel": entry["kernel"],
                    "gain": entry["gain"],
                    "ns": dict(entry["ns"]),
                    "source": source,
                }
            )
        store.put(fresh)
        self.use_kernels({t["index"]: t["kernel"] for t in tuned if t["kernel"] != t["standard"]})
        return tuned

    def tunable(self, *, batch: int = 1) -> list[TunableOp]:
        """The ops with a choice of kernels that does not change a bit of the answer.

        Returns:
            Dicts of ``index``, ``name``, ``kind``, ``kernels`` (with tiles; the first runs without tuning) and ``key``:
            what a timing holds for (shapes, geometry, epilogue, batch, threads). Equal keys have equal times.

        Raises:
            ValueError: the kernels are forced (``kernel=`` or ``BITWRIGHT_KERNEL``).
        """
        found: list[TunableOp] = []
        for op in self._native.ops():
            index = op["index"]
            possible = self._native.kernels_for(index)
            if possible:
                key = f"{self._native.layer_text(index)} | batch {batch} | threads {self.threads}"
                named = {"name": op["name"], "kind": op["kind"]}
                found.append({"index": index, **named, "kernels": list(possible), "key": key})  # type: ignore[typeddict-item]
        return found

    def time_kernels(self, index: int, *, batch: int = 1) -> Entry:
        """Times what can run an op, on its real shape and made-up values, in turn: see `tune`.

        Args:
            index: the op's index; one of `tunable`.
            batch: samples that go through the layer together.

        Returns:
            ``ns``: the median nanoseconds of each choice; ``kernel``: the standard one, or the fastest if that is
            faster by more than 2 % when both are timed again; ``gain``: how much, in that last comparison.
        """
        result = self._native.tune_op(index, batch)
        return {"kernel": result["kernel"], "gain": result["gain"], "ns": dict(result["ns"])}

    def use_kernels(self, choices: Mapping[int, str]) -> None:
        """Runs the given ops by the given choices from now on, all others by the rules.

        Args:
            choices: by the index of the op: a kernel's name, perhaps with a tile, and behind it ``pixels=N``, of a work
                item at most, and ``threads=N``, at most, where the rules are not to decide:
                "bconv_avx512vpopcnt/7x64 pixels=512 threads=1".

        Raises:
            KernelError, ValueError: the kernel is unknown, or does not take the op.
        """
        self._native = self._native.with_choices(dict(choices))

    def ops(self) -> list[dict[str, Any]]:
        """Facts about each op, in the order of execution.

        Returns:
            Dicts of ``index``, ``name``, ``kind`` ("BCONV", …), ``kernel`` and ``epilogue`` (that run it), ``choice``
            (the kernel and what was chosen beside it: see `use_kernels`), ``steps`` (kinds, in order), ``in_shape`` and
            ``out_shape`` ((D, H, W, C) of one sample), ``groups``, ``kernel_shape``, ``reads`` and ``writes`` (value
            ids), ``binary_macs``, ``float_macs`` and ``int8_macs`` (of one sample; taps in the padding count),
            ``weight_bytes`` and ``constant_bytes`` (in the file).
        """
        return list(self._native.ops())

    def values(self) -> list[dict[str, Any]]:
        """Facts about each activation tensor.

        Returns:
            Dicts of ``id``, ``name``, ``dtype`` ("f32", "bits", "i32", "u8"), ``dims`` ((D, H, W, C) of one
            sample), ``groups``, ``scale`` and ``zero`` (u8, i16: an element q
            is the number (q - zero) * scale), ``role`` ("input", "output" or ""), ``shape`` (external, of inputs and
            outputs, without N), ``arena_offset`` and ``bytes`` (of one sample).
        """
        return [dict(v) for v in self._values]

    def run_op(self, index: int, values: Mapping[int, npt.ArrayLike]) -> dict[int, npt.NDArray[Any]]:
        """Runs one op on given values: what ``verify`` does to feed each layer the reference's inputs.

        Args:
            index: the op's index in `ops`.
            values: for each value that the op reads, an array [N, D, H, W, C]: float32, bool for bits (uint8
                levels for bits of several planes), int32 for ids, uint8 and int16 for u8 and i16 values.

        Returns:
            The same for each value that it writes. A COPY fills only its own channels; the others are 0.
        """
        ops = self._native.ops()
        if not 0 <= index < len(ops):
            raise InputError(f"op {index}: the model has ops 0 to {len(ops) - 1}")
        op = ops[index]
        arrays = check_values(op, self._values, values)
        samples = len(arrays[op["reads"][0]]) if op["reads"] else 0
        outputs: dict[int, npt.NDArray[Any]] = {}
        for key in op["writes"]:
            facts = self._values[key]
            dtype = np.uint8 if facts["dtype"] == "bits" else DTYPES[facts["dtype"]]
            outputs[key] = np.empty((samples, *facts["dims"]), dtype)
        self._native.run_op(index, arrays, outputs)
        return {
            key: array.view(bits_type(self._values[key])) if self._values[key]["dtype"] == "bits" else array
            for key, array in outputs.items()
        }

    def _allocate(self, samples: int) -> list[npt.NDArray[np.float32]]:
        return [np.empty((samples, *info.shape[1:]), np.float32) for info in self._outputs]  # type: ignore[arg-type]

    def _in_order(self, given: Sequence[Any]) -> Sequence[Any]:
        return in_order(self._inputs, given)

    def _check(self, given: Sequence[Any]) -> list[npt.NDArray[Any]]:
        return check_inputs(self._inputs, given)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{i.name}: {list(i.shape)}" for i in self._inputs)
        outputs = ", ".join(f"{o.name}: {list(o.shape)}" for o in self._outputs)
        return f"Session({inputs} -> {outputs}; {len(self._native.ops())} ops, {self.threads} threads)"
