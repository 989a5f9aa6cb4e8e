"""The CPU kernels of the packed operators: the native engine, or on request the reference in plain torch.

There is no silent fallback. Without the native module a packed operator on the CPU raises ImportError;
`use_reference_ops` or the environment variable BITWRIGHT_REFERENCE_OPS=1 choose the (slow, exact) reference on purpose.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
)

ENVIRONMENT = "BITWRIGHT_REFERENCE_OPS"

_forced: list[bool] = []


@contextmanager
def use_reference_ops(enabled: bool = True) -> Iterator[None]:
    """Within the block, packed operators on the CPU run in plain torch (`bitwright.export.reference_ops`).

    Holds for the whole process, all threads, and wins over the environment variable; `enabled=False` forces the
    native engine.
    """
    _forced.append(enabled)
    try:
        yield
    finally:
        _forced.pop()


def reference_ops_enabled() -> bool:
    """Whether packed operators on the CPU run in plain torch now.

    Raises:
        ValueError: BITWRIGHT_REFERENCE_OPS is neither 0 nor 1.
    """
    if _forced:
        return _forced[-1]
    value = os.environ.get(ENVIRONMENT, "0")
    if value not in ("", "0", "1"):
        raise ValueError(f"{ENVIRONMENT} must be 0 or 1, got {value!r}")
    return value == "1"


def _native(name: str) -> Callable[..., Any]:
    try:
        functional = importlib.import_module("bitwright.runtime.functional")
    except ImportError as error:
        raise ImportError(
            "packed operators on the CPU need bitwright's native engine, which is not built here. Build it with "
            "`pip install .` in the source tree (a C++17 compiler is enough), or run the slow reference on purpose: "
            f"`with bitwright.export.use_reference_ops():` or {ENVIRONMENT}=1. Cause: {error}"
        ) from error
    found: Callable[..., Any] = getattr(functional, name)
    return found


def _three(values: Sequence[int], fill: int) -> tuple[int, int, int]:
    """1, 2 or 3 spatial numbers as (D, H, W)."""
    d, h, w = (fill,) * (3 - len(values)) + tuple(values)
    return d, h, w


def binary_conv(
    x: Tensor, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryConvAttrs
) -> Tensor:
    """`bitwright::binary_conv` by the native engine: x `[N, C, *S]` to `[N, O, *S']`."""
    sums = _accumulate(
        x.movedim(1, -1), weight, threshold, attrs, pad_mode=attrs.pad_mode, pad_value=attrs.pad_value, low=attrs.low
    )
    return _affine(sums, scale, bias).movedim(-1, 1).contiguous()


def binary_conv_transpose(
    x: Tensor, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryConvTransposeAttrs
) -> Tensor:
    """`bitwright::binary_conv_transpose` by the native engine: x `[N, C, *S]` to `[N, O, *S']`."""
    sums = _accumulate(
        x.movedim(1, -1),
        weight,
        threshold,
        attrs,
        pad_mode="constant",
        pad_value=0.0,
        low=attrs.low,
        transposed=True,
        output_padding=_three(attrs.output_padding, 0),
    )
    return _affine(sums, scale, bias).movedim(-1, 1).contiguous()


def binary_linear(
    x: Tensor, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryLinearAttrs
) -> Tensor:
    """`bitwright::binary_linear` by the native engine (a convolution with one tap): x `[..., F]` to `[..., O]`."""
    point = BinaryConvAttrs((1,), (1,), (1,), (0, 0), 1, attrs.channels, attrs.low, "constant", 0.0)
    # Rows run along the width: the engine's tiles then hold many of them.
    rows = x.reshape(1, -1, attrs.channels)
    if rows.shape[1] == 0:
        return x.new_zeros(*x.shape[:-1], weight.shape[0])
    sums = _accumulate(rows, weight.unsqueeze(1), threshold, point, pad_mode="constant", pad_value=0.0, low=attrs.low)
    return _affine(sums, scale, bias).reshape(*x.shape[:-1], weight.shape[0])


def level_conv(
    x: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelConvAttrs
) -> Tensor:
    """`bitwright::level_conv` by the native engine: x `[N, C, *S]` to `[N, O, *S']`."""
    sums = _accumulate(x.movedim(1, -1), weight, gain, attrs, pad_mode=attrs.pad_mode, bits=attrs.bits, offset=offset)
    return _affine(sums, scale, bias).movedim(-1, 1).contiguous()


def level_linear(
    x: Tensor, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelLinearAttrs
) -> Tensor:
    """`bitwright::level_linear` by the native engine: x `[..., F]` to `[..., O]`."""
    point = LevelConvAttrs((1,), (1,), (1,), (0, 0), 1, attrs.channels, attrs.bits, "constant")
    rows = x.reshape(1, -1, attrs.channels)
    if rows.shape[1] == 0:
        return x.new_zeros(*x.shape[:-1], weight.shape[0])
    sums = _accumulate(rows, weight.unsqueeze(1), gain, point, pad_mode="constant", bits=attrs.bits, offset=offset)
    return _affine(sums, scale, bias).reshape(*x.shape[:-1], weight.shape[0])


def _affine(sums: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return sums.mul_(scale).add_(bias)


def _accumulate(
    x: Tensor,
    weight: Tensor,
    threshold: Tensor,
    attrs: BinaryConvAttrs | BinaryConvTransposeAttrs | LevelConvAttrs,
    **how: Any,
) -> Tensor:
    """Integer accumulators of x `[N, *S, C]` as float32 `[N, *S', O]`; of levels `threshold` is the gain."""
    size = attrs.output_size(x.shape[1:-1])
    if x.numel() == 0:
        return x.new_zeros(x.shape[0], *size, weight.shape[0])
    volume = x.detach().reshape(x.shape[0], *_three(x.shape[1:-1], 1), x.shape[-1])
    vector = threshold.contiguous().numpy()
    if isinstance(attrs, LevelConvAttrs):
        run, how = _native("level_conv"), {**how, "gain": vector, "offset": how["offset"].contiguous().numpy()}
    else:
        run, how = _native("binary_conv"), {**how, "threshold": vector}
    sums = run(
        volume.numpy(),
        weight.contiguous().numpy(),
        out_channels=weight.shape[0],
        kernel=_three(attrs.kernel_shape, 1),
        stride=_three(attrs.strides, 1),
        dilation=_three(attrs.dilations, 1),
        pad_begin=_three(attrs.pad_begin, 0),
        pad_end=_three(attrs.pad_end, 0),
        groups=attrs.group,
        threads=torch.get_num_threads(),
        **how,
    )
    return torch.from_numpy(sums).reshape(x.shape[0], *size, weight.shape[0])
