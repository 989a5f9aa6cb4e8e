"""Runs calls of packed operators by the tuner's kernels."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from bitwright.compiler.dialect import BinaryConvAttrs
from bitwright.export import reference_ops
from bitwright.tune import Problem, Store, TuneError
from bitwright.tune.cuda import Choice, Chooser, GpuReport, tune_problems
from bitwright.tune.cuda.arguments import Product
from bitwright.tune.cuda.families import Build, TorchDense
from bitwright.tune.cuda.gpu import Machine
from bitwright.tune.cuda.meeting import MEETING
from bitwright.tune.cuda.packing import Pack, PackBuild, words_of

from .calls import Call, call_of
from .weights import DENSE, WORDS, TermTensors, WeightCache, chunked

_OUTPUTS = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


class NotPreparedError(RuntimeError):
    """A CUDA graph is being captured, and a call of the model was never made before."""


class Launcher(Protocol):
    """What starts kernels: the driver, or in tests the emulator."""

    def capturing(self) -> bool:
        """Whether a CUDA graph is being captured on the current stream."""
        ...

    def load(self, build: Build) -> Any:
        """A kernel, compiled and ready to launch. Never called while a graph is captured."""
        ...

    def launch(
        self,
        kernel: Any,
        build: Build,
        grid: tuple[int, int, int],
        arguments: ctypes.Structure,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
    ) -> None:
        """Starts a kernel on torch's current stream of the tensors' device; `reads` and `writes` are all it touches."""
        ...


class Executor:
    """Calls on one device.

    Args:
        launcher: starts kernels.
        chooser: chooses them.
        machine: makes what times candidates, for `tune`.
    """

    def __init__(self, launcher: Launcher, chooser: Chooser, machine: Callable[[], Machine] | None = None) -> None:
        self.launcher, self.chooser, self._machine = launcher, chooser, machine
        self.weights = WeightCache()
        self._kernels: dict[Build, Any] = {}
        self._lock = threading.Lock()

    def run(self, call: Call, x: Tensor, weight: Tensor, vectors: Sequence[Tensor]) -> Tensor:
        """The operator's output: float32 (of real activations their type), channels last in memory.

        Args:
            call: of these tensors, which were checked.
            x: float32, or real activations as `half_linear` takes them.
            weight: packed.
            vectors: threshold (of levels: gain, offset), scale, bias.

        Raises:
            RefusedError: no kernel is valid on this GPU.
            NotPreparedError: a graph is being captured, and this call was never made before.
            TuneError: a kernel cannot be compiled or loaded.
        """
        choice = self.chooser.choose(call.problem)
        meeting = MEETING.get()
        if meeting is not None:
            meeting.add(self, call.problem)
        logic = choice.build.logic
        *first, scale, bias = (v.contiguous() for v in vectors)
        if call.before is not None:
            x = _padded(x, *call.before)
        pack = None
        if logic not in ("exact", *DENSE):  # never of real activations
            if call.levels and call.planes == 1:  # the packing kernel compares single bits with a threshold
                x = reference_ops.levels(x, first[0], first[1], 1, 1 if call.maps else x.ndim - 1)
                first = [torch.full((1,), 0.5, device=x.device)]
            pack, x, strides = _packing(x, call)
        builds = [pack, choice.build, None if choice.finish is None else choice.finish[0]]
        rows, terms = self._prepare(call, weight, logic, [b for b in builds if b is not None])
        numbers: dict[str, int] = {}
        sums: Tensor | None = None
        if call.planes == 0:
            a = _aligned(x.reshape(-1, call.channels))
        elif pack is None:
            a = _numbers(x, first, call, torch.uint8 if logic == "exact" else DENSE[logic])
        else:
            a, sums = self._packed(pack, x, strides, first, call)
            numbers["a_plane"] = a[0].numel() // 4
        out = torch.empty((call.problem.m, call.problem.n), dtype=_OUTPUTS[call.problem.out], device=x.device)
        self._multiply(call, choice, rows, terms, a, sums, numbers, {"scale": scale, "bias": bias}, {"out": out})
        shaped = out.view(call.shape)
        return shaped.movedim(-1, 1) if call.maps else shaped

    def pack_map(self, x: Tensor, threshold: Tensor) -> tuple[Tensor, Tensor]:
        """`bitwright::pack_map` of checked tensors, at least one number."""
        size, channels = (x.shape[0], *x.shape[2:]), x.shape[1]
        problem = Problem("gemm", x.numel() // channels, 1, channels)
        maps = x if x.ndim > 2 else x.unsqueeze(-1)
        call = Call("pack_map", problem, channels, 1, False, True, None, None, ())
        build, given, strides = _packing(maps, call)
        self._ready([build], "pack_map")
        bits, sums = self._packed(build, given, strides, [threshold], call)
        return bits.view(*size, -1), sums.view(size)

    def packed_conv(
        self, bits: Tensor, sums: Tensor, weight: Tensor, side: dict[str, Tensor], attrs: BinaryConvAttrs
    ) -> Tensor | tuple[Tensor, Tensor]:
        """A convolution of a packed map, checked and with something to compute.

        Args:
            bits, sums: the map (`bitwright.export.packed_edges`).
            weight: packed.
            side: scale and bias, to a float32 map; or thresholds and flips (words), to a packed map.
            attrs: of the convolution.

        Raises: as `run`.
        """
        thresholded = "thresholds" in side
        shape = (bits.shape[0], attrs.group * attrs.channels, *bits.shape[1:-1])
        call = call_of(shape, weight.shape[0], attrs)
        assert call is not None
        call = replace(call, problem=replace(call.problem, out="bits")) if thresholded else call
        choice = self.chooser.choose(call.problem, packed=True)
        builds = [choice.build, *([] if choice.finish is None else choice.finish[:1])]
        rows, terms = self._prepare(call, weight, choice.build.logic, builds)
        a, side = bits.contiguous(), {name: v.contiguous() for name, v in side.items()}
        m, n = call.problem.m, call.problem.n
        if not thresholded:
            out = torch.empty((m, n), dtype=torch.float32, device=bits.device)
            self._multiply(call, choice, rows, terms, a, sums.contiguous(), {}, side, {"out": out})
            return out.view(call.shape).movedim(-1, 1)
        out = torch.empty((m, words_of(n)), dtype=torch.int32, device=bits.device)
        ones = torch.zeros((m,), dtype=torch.int32, device=bits.device)
        to = {"out": out, "out_sums": ones}
        self._multiply(call, choice, rows, terms, a, sums.contiguous(), {}, side, to)
        return out.view(*call.shape[:-1], -1), ones.view(call.shape[:-1])

    def _multiply(
        self,
        call: Call,
        choice: Choice,
        rows: Tensor,
        terms: TermTensors,
        a: Tensor,
        sums: Tensor | None,
        numbers: dict[str, int],
        side: Mapping[str, Tensor],
        to: Mapping[str, Tensor],
    ) -> None:
        """Starts the product, and what finishes it. `side` and `to` have the fields of `Product` that depend on the
        output."""
        logic, out = choice.build.logic, to["out"]
        row, taps = a.shape[-1] * a.element_size() // 16, call.conv.taps if call.conv else 1
        numbers |= {"lda": row, "a_chunks": row * taps}
        m, n = call.problem.m, call.problem.n
        chunks = rows.shape[1] * rows.element_size() // 16
        reads: dict[str, Tensor] = {"a": a, "w": rows, "w_terms": terms.w_terms, **side}
        optional = {"a_sums": sums, "row_class": terms.row_class, "pad": terms.pad}
        reads |= {name: tensor for name, tensor in optional.items() if tensor is not None}
        p = Product(**{name: tensor.data_ptr() for name, tensor in reads.items()}, **numbers)
        for name, tensor in to.items():
            setattr(p, name, tensor.data_ptr())
        p.m, p.n, p.k_chunks, p.ldo = m, n, chunks, out.shape[1]
        p.ldw = rows.shape[1] // 4 if logic == WORDS else chunks
        p.acc_mul, p.a_mul, p.pad_sum, p.swizzle = terms.acc_mul, terms.a_mul, terms.pad_sum, choice.launch.swizzle
        if call.conv is not None:
            p.set_geometry(call.conv, numbers["a_chunks"] // call.conv.taps)
        touched, written = list(reads.values()), list(to.values())
        if choice.config.template == TorchDense.name:
            partial = torch._int_mm(a, rows.T)
            p.partial = partial.data_ptr()
            self._launch(choice.build, choice.launch.grid, p, [*touched, partial], written)
        elif choice.finish is None:
            self._launch(choice.build, choice.launch.grid, p, touched, written)
        else:
            partial = torch.zeros((m, n), dtype=torch.int32, device=a.device)
            p.partial = partial.data_ptr()
            self._launch(choice.build, choice.launch.grid, p, touched, [partial])
            self._launch(*choice.finish, p, [*touched, partial], written)

    def tune(
        self,
        problems: Mapping[Problem, int],
        *,
        budget: float | str | None = None,
        store: Store | None = None,
        again: bool = False,
        **how: Any,
    ) -> GpuReport:
        """Searches the fastest kernels (`bitwright.tune.cuda.tune_problems`); later calls use what is in the chooser's
        store."""
        if self._machine is None:
            raise TuneError("this executor has nothing that times candidates")
        keep = self.chooser.store if store is None else store
        report = tune_problems(
            problems, self.chooser.device, self._machine, budget=budget, store=keep, again=again, **how
        )
        self.chooser.forget()
        return report

    def start(
        self,
        build: Build,
        grid: tuple[int, int, int],
        arguments: ctypes.Structure,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
    ) -> None:
        """A kernel that needs no choice: loaded at its first start, then started. Raises as `_ready`."""
        self._ready([build], build.kernel)
        self._launch(build, grid, arguments, reads, writes)

    def _ready(self, builds: Sequence[Build], what: str) -> None:
        """Loads kernels that are not there yet. Raises as `_load`."""
        with self._lock:
            self._load(builds, what)

    def _load(self, builds: Sequence[Build], what: str, *, laid_out: bool = True) -> None:
        """The same under the lock. `laid_out`: whether the weights are.

        Raises:
            NotPreparedError: something is missing, and a graph is being captured.
        """
        missing = [build for build in builds if build not in self._kernels]
        if (missing or not laid_out) and self.launcher.capturing():
            names = ", ".join(build.kernel for build in missing)
            why = f"kernels are not loaded ({names})" if missing else "its weights are not laid out"
            raise NotPreparedError(
                f"{what} runs for the first time while a CUDA graph is captured: {why}. Run the model once with an "
                "input of this shape before the capture; its weights must not be made in inference mode"
            )
        for build in missing:
            self._kernels[build] = self.launcher.load(build)

    def _prepare(self, call: Call, weight: Tensor, logic: str, builds: Sequence[Build]) -> tuple[Tensor, TermTensors]:
        """Loads kernels and lays out weights that are not there yet, unless a graph is being captured."""
        form = call.problem.a
        with self._lock:
            ready = self.weights.ready(weight, form, logic, call.conv)
            self._load(builds, f"{call.op} ({call.problem})", laid_out=ready)
            channels = call.channels // (call.conv.groups if call.conv else 1)
            return self.weights.of(weight, channels, form, logic, call.conv)

    def _launch(
        self,
        build: Build,
        grid: tuple[int, int, int],
        arguments: ctypes.Structure,
        reads: Sequence[Tensor],
        writes: Sequence[Tensor],
    ) -> None:
        self.launcher.launch(self._kernels[build], build, grid, arguments, reads, writes)

    def _packed(
        self, build: Build, x: Tensor, strides: dict[str, int], first: Sequence[Tensor], call: Call
    ) -> tuple[Tensor, Tensor]:
        """Bit planes int32 `[planes, rows, words]` of rows or pixels, and the sums of their bits."""
        rows, words = x.numel() // call.channels, words_of(call.channels)
        bits = torch.empty((call.planes, rows, words), dtype=torch.int32, device=x.device)
        sums = torch.empty((rows,), dtype=torch.int32, device=x.device)
        # of levels both vectors run along the channels, or neither
        given = [v.contiguous() for v in torch.broadcast_tensors(*first)]
        p = Pack(x=x.data_ptr(), bits=bits.data_ptr(), sums=sums.data_ptr(), **strides)
        p.threshold, p.offset = given[0].data_ptr(), given[-1].data_ptr()
        p.plane_words, p.rows, p.channels, p.ld = rows * words, rows, call.channels, words
        p.per_channel = int(given[0].numel() > 1)
        grid = PackBuild("f32", call.planes, dict(build.defines)["lanes"] == 0).grid(rows)
        self._launch(build, grid, p, [x, *given], [bits, sums])
        return bits, sums


def _packing(x: Tensor, call: Call) -> tuple[Build, Tensor, dict[str, int]]:
    """The kernel that packs a map, the map as it can be read (not copied if possible), and its strides."""
    if not call.maps:
        x = x.reshape(-1, call.channels)
        strides = {"row_stride": x.stride(0), "channel_stride": x.stride(1), "rows_in_image": x.shape[0]}
    else:
        if x.ndim == 3:
            x = x.unsqueeze(2)
        if x.ndim == 5:  # depth and height become one axis, copied if they cannot
            x = x.flatten(2, 3)
        if x.shape[2] > 1 and x.stride(2) != x.shape[3] * x.stride(3):
            x = x.contiguous()
        place = 3 if x.shape[3] > 1 else 2
        strides = {"image_stride": x.stride(0), "channel_stride": x.stride(1), "row_stride": x.stride(place)}
        strides["rows_in_image"] = x.shape[2] * x.shape[3]
    across = strides["channel_stride"] == 1
    return PackBuild("f32", call.planes, across).build, x, strides


def _padded(x: Tensor, widths: tuple[int, ...], value: float | None) -> Tensor:
    return F.pad(x, widths, mode="replicate") if value is None else F.pad(x, widths, value=value)


def _aligned(x: Tensor) -> Tensor:
    """Rows of whole chunks; copied if they are not."""
    whole = x.is_contiguous() and x.shape[-1] * x.element_size() % 16 == 0 and x.data_ptr() % 16 == 0
    return x if whole else chunked(x)


def _numbers(x: Tensor, first: Sequence[Tensor], call: Call, dtype: torch.dtype) -> Tensor:
    """Activations as numbers, `[rows or pixels, whole chunks]`; levels as unsigned bytes."""
    axis = 1 if call.maps else x.ndim - 1
    if call.levels:
        numbers = reference_ops.levels(x, first[0], first[1], call.planes, axis)
    else:
        numbers = reference_ops.binarize(x, first[0], -1.0 if call.problem.a == "pm1" else 0.0, axis)
    numbers = numbers.movedim(1, -1) if call.maps else numbers
    unsigned = dtype is torch.int8 and call.levels
    return chunked(numbers.to(torch.uint8 if unsigned else dtype).reshape(-1, call.channels))
