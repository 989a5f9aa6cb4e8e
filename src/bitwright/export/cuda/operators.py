"""The CUDA implementations of the packed operators: a tuned kernel, or plain torch with the reason said."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from bitwright.export import native, reference_ops
from bitwright.export.maps import channels_last
from bitwright.tune.cuda import RefusedError

from . import elementwise
from .calls import Attrs, call_of
from .device import executor_of
from .executor import Executor


class PlainTorchWarning(RuntimeWarning):
    """A packed operator on CUDA tensors runs in plain torch: exact, and slow. Given once a reason."""


_said: set[tuple[str, str]] = set()


def run(op: str, x: Tensor, weight: Tensor, vectors: Sequence[Tensor], attrs: Attrs) -> Tensor:
    """An operator on CUDA tensors that were checked.

    Args:
        op: as "binary_conv"; its reference is of that name in `bitwright.export.reference_ops`.
        x, weight, vectors: see `Executor.run`.
        attrs: of the operator.
    """
    if native.reference_ops_enabled():
        return reference(op, x, weight, vectors, attrs)
    try:
        with torch.cuda.device(x.device):
            return with_executor(executor_of(x.device), op, x, weight, vectors, attrs)
    except RefusedError as error:
        _say(op, error)
        return reference(op, x, weight, vectors, attrs)


def run_elementwise(op: str, *args: Any) -> Tensor:
    """`binarize`, `binary_embedding` or `unpack_weight` on CUDA tensors that were checked, with its attributes last."""
    found = executor_for(op, args[0].device)
    if found is None:
        return elementwise_reference(op, *args)
    kernel: Callable[..., Tensor] = getattr(elementwise, op)
    with torch.cuda.device(args[0].device):
        return kernel(found, *args)


def elementwise_reference(op: str, *args: Any) -> Tensor:
    """The same in plain torch."""
    if op == "binarize":
        x, threshold, attrs = args
        return reference_ops.binarize(x, threshold, attrs.low, attrs.axis % x.ndim).contiguous()
    compute: Callable[..., Tensor] = getattr(reference_ops, op)
    return compute(*args)


def executor_for(op: str, device: torch.device) -> Executor | None:
    """Of a GPU; None where plain torch is asked for, or (said once) where nothing else can run."""
    if native.reference_ops_enabled():
        return None
    try:
        return executor_of(device)
    except RefusedError as error:
        _say(op, error)
        return None


def _say(op: str, error: RefusedError) -> None:
    if (op, str(error)) not in _said:
        _said.add((op, str(error)))
        warnings.warn(
            f"{op} runs in plain torch: {error} (bitwright.export.cuda.explain lists all layers)",
            PlainTorchWarning,
            stacklevel=3,
        )


def with_executor(
    executor: Executor, op: str, x: Tensor, weight: Tensor, vectors: Sequence[Tensor], attrs: Attrs
) -> Tensor:
    """By a kernel. Raises RefusedError where there is none; else as `Executor.run`."""
    call = call_of(x.shape, weight.shape[0], attrs)
    if call is None:
        return reference(op, x, weight, vectors, attrs)
    return executor.run(call, x, weight, vectors)


def reference(op: str, x: Tensor, weight: Tensor, vectors: Sequence[Tensor], attrs: Attrs) -> Tensor:
    """In plain torch; maps lie in memory as the kernels write them, channels last."""
    compute: Callable[..., Tensor] = getattr(reference_ops, op)
    return channels_last(compute(x, weight, *vectors, attrs)) if "conv" in op else compute(x, weight, *vectors, attrs)
