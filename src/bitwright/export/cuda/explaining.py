"""Which kernel runs each packed layer of a model on a GPU, or why none does. Needs no GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
)
from bitwright.export.half_linear import FORMS, HalfLinearAttrs
from bitwright.tune import Device, Store
from bitwright.tune.cuda import Choice, Chooser, RefusedError, model, this_gpu

from .calls import Attrs, Call, call_of

_ATTRS: dict[str, Callable[..., Attrs]] = {
    "binary_conv": BinaryConvAttrs,
    "binary_conv_transpose": BinaryConvTransposeAttrs,
    "binary_linear": BinaryLinearAttrs,
    "level_conv": LevelConvAttrs,
    "level_linear": LevelLinearAttrs,
}
_KERNELS = {"binarize": "binarize", "binary_embedding": "unpack", "unpack_weight": "unpack", "pack_map": "pack"}
"""Of operators with one kernel and nothing to choose."""


@dataclass(frozen=True)
class Met:
    """A call that a model makes. `call` is None where no kernel is made for it (`reason`) or nothing is computed."""

    layer: str
    op: str
    call: Call | None
    reason: str | None
    kernel: str | None = None  # of an operator that has only one
    packed: bool = False  # whether the input is bits already


@dataclass(frozen=True)
class Explained:
    """What runs a layer.

    Attributes:
        layer: path of the module.
        op: packed operator.
        choice: the kernel; None: plain torch, or `kernel`.
        reason: why plain torch.
        kernel: name of the operator's only kernel, or None.
    """

    layer: str
    op: str
    choice: Choice | None
    reason: str | None
    kernel: str | None = None

    def __str__(self) -> str:
        what = f"plain torch: {self.reason}" if self.choice is None else str(self.choice)
        if self.kernel is not None:
            what = f"{self.kernel} (one kernel, nothing to choose)"
        return f"{self.layer or '(the model itself)'}: {self.op}: {what}"


def explain(
    net: nn.Module, *inputs: Any, device: Device | str | None = None, store: Store | None = None
) -> list[Explained]:
    """What would run each packed layer of a model on a GPU.

    Args:
        net: a frozen model; it runs once on these inputs, wherever it is.
        inputs: of the model.
        device: a GPU, or the name of one in the table ("h100", see `bitwright.tune.cuda.models`); by default the first
            GPU of this machine.
        store: of measured timings; by default the user's.

    Raises:
        TuneError: an unknown name; or no device is given and this machine has no GPU.
    """
    gpu = this_gpu() if device is None else model(device) if isinstance(device, str) else device
    chooser = Chooser(gpu, store)
    found = []
    for met in calls_of(net, *inputs):
        choice, reason = None, met.reason
        if met.call is not None:
            try:
                choice = chooser.choose(met.call.problem, met.packed)
            except RefusedError as error:
                reason = str(error)
        found.append(Explained(met.layer, met.op, choice, reason, met.kernel))
    return found


def calls_of(net: nn.Module, *inputs: Any) -> list[Met]:
    """The calls of packed operators that one run makes, in order."""
    met: list[Met] = []
    with _layers(net) as where, _Recorder(where, met), torch.no_grad():
        net(*inputs)
    return met


@contextmanager
def _layers(net: nn.Module) -> Iterator[list[str]]:
    """Keeps the path of the module that runs, innermost last."""
    where: list[str] = []
    hooks = []
    for name, module in net.named_modules():

        def enter(_module: nn.Module, _args: Any, name: str = name) -> None:
            where.append(name)

        def leave(_module: nn.Module, _args: Any, _result: Any) -> None:
            where.pop()

        hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]
    try:
        yield where
    finally:
        for hook in hooks:
            hook.remove()


class _Recorder(TorchDispatchMode):
    def __init__(self, where: list[str], met: list[Met]) -> None:
        super().__init__()
        self._where, self._met = where, met

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        space, _, op = func._schema.name.partition("::")
        if space == "bitwright":
            self._met.append(_met(self._where[-1] if self._where else "", op, args))
        return func(*args, **(kwargs or {}))


def _met(layer: str, op: str, args: Any) -> Met:
    if op in _KERNELS:
        return Met(layer, op, None, None, _KERNELS[op])
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    rest = args[len(tensors) :]
    if op in ("packed_conv", "packed_conv_bits"):
        return _met_packed(layer, op, tensors, BinaryConvAttrs(*rest))
    try:
        attrs = HalfLinearAttrs(rest[0], FORMS[tensors[0].dtype]) if op == "half_linear" else _ATTRS[op](*rest)
        call = call_of(tensors[0].shape, tensors[1].shape[0], attrs)
    except RefusedError as error:
        return Met(layer, op, None, str(error))
    return Met(layer, op, call, None if call is not None else "nothing to compute")


def _met_packed(layer: str, op: str, tensors: list[torch.Tensor], attrs: BinaryConvAttrs) -> Met:
    bits, outputs = tensors[0], tensors[2].shape[0]
    try:
        call = call_of((bits.shape[0], attrs.group * attrs.channels, *bits.shape[1:-1]), outputs, attrs)
    except RefusedError as error:
        return Met(layer, op, None, str(error))
    if call is not None and op == "packed_conv_bits":
        call = replace(call, problem=replace(call.problem, out="bits"))
    return Met(layer, op, call, None if call is not None else "nothing to compute", packed=True)
