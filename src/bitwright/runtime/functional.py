"""Single layers and matrix products without a model file: the CPU kernels of the packed torch modules."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bitwright.runtime._load import native
from bitwright.runtime.products import PackedMatrix, binary_matmul

__all__ = ["PackedMatrix", "binary_conv", "binary_matmul", "level_conv"]

_CACHE_ENTRIES = 256
_CACHE_BYTES = 256 << 20


class _Cache:
    """Prepared layers by everything they depend on, the weights' bytes included; the least recently used go first."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> Any:
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._entries.move_to_end(key)
            return entry[0]

    def put(self, key: Any, session: Any, size: int) -> None:
        with self._lock:
            if key in self._entries:
                return
            self._entries[key] = (session, size)
            self._bytes += size
            while len(self._entries) > 1 and (len(self._entries) > _CACHE_ENTRIES or self._bytes > _CACHE_BYTES):
                _, (_, dropped) = self._entries.popitem(last=False)
                self._bytes -= dropped


_cache = _Cache()


def _triple(name: str, value: int | Sequence[int], least: int) -> tuple[int, int, int]:
    items = (value,) * 3 if isinstance(value, int) else tuple(int(v) for v in value)
    if len(items) != 3 or any(not least <= v < 2**31 for v in items):
        raise ValueError(f"{name} is {value!r}; three integers (D, H, W) of at least {least} are expected")
    return items[0], items[1], items[2]


def _pad_mode(pad_mode: str, pad_value: float, low: float) -> int:
    if pad_mode == "edge":
        return 3
    if pad_mode != "constant":
        raise ValueError(f"pad_mode is {pad_mode!r}; known: 'constant', 'edge'")
    if pad_value == 0.0:
        return 0
    if pad_value == 1.0:
        return 1
    if pad_value == -1.0 and low == -1.0:
        return 2
    raise ValueError(
        f"pad_value is {pad_value!r}; for activations {{{low:g}, 1}} one of {[-1, 0, 1] if low else [0, 1]} is expected"
    )


def _canonical(weight: npt.ArrayLike, out_channels: int, taps: int, words: int) -> npt.NDArray[np.uint32]:
    array = np.ascontiguousarray(weight)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] % 4 == 0:
        array = array.view("<u4").astype(np.uint32, copy=False)
    if array.dtype != np.uint32 or array.shape != (out_channels, taps, words):
        given = f"{np.asarray(weight).dtype} {list(np.shape(weight))}"
        raise ValueError(
            f"weight is {given}; uint32 [{out_channels}, {taps}, {words}] or uint8 [{out_channels}, {taps}, "
            f"{4 * words}] is expected: [out_channels, taps, words of channels/groups bits]"
        )
    return array


def binary_conv(
    x: npt.NDArray[np.float32],
    weight: npt.ArrayLike,
    threshold: float | npt.ArrayLike = 0.0,
    *,
    out_channels: int,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    pad_begin: int | Sequence[int] = 0,
    pad_end: int | Sequence[int] | None = None,
    groups: int = 1,
    pad_mode: str = "constant",
    pad_value: float = 0.0,
    low: float = -1.0,
    transposed: bool = False,
    output_padding: int | Sequence[int] = 0,
    threads: int = 1,
    engine_kernel: str | None = None,
) -> npt.NDArray[np.float32]:
    """Binarizes x and convolves it with ±1 weights, exactly.

    Args:
        x: float32 [N, D, H, W, C], any strides (channels last is not copied). A 2-D map has D = 1.
        weight: canonical packed weights, uint32 [O, T, ceil((C/groups)/32)] or the same as uint8 bytes; T taps in
            row-major (D, H, W) order; bit 1 is +1; tail bits 0. Of a transposed convolution: the taps of
            ``weight[:, o]``, not flipped.
        threshold: a number or float32 [C]: an activation is the upper level where ``x >= threshold``.
        out_channels: O.
        kernel, stride, dilation, pad_begin: (D, H, W), or one number for all three.
        pad_end: the same; None for ``pad_begin``.
        groups: divides C and O.
        pad_mode: "constant" or "edge" (replicates the binarized edge).
        pad_value: of "constant": 0 (the tap counts nothing), 1 or, for ±1 activations, -1.
        low: the lower level of the activations, -1 or 0. The upper one is 1.
        transposed: a transposed convolution as PyTorch's; then ``pad_*`` are cropped from the full output and
            ``output_padding`` is added at its end.
        threads: threads of this call, 0 for as many as the process may use.
        engine_kernel: as ``kernel`` of `bitwright.runtime.Session`.

    Returns:
        float32 [N, D', H', W', O], the accumulators, which are integers.

    Raises:
        TypeError: x is not float32.
        ValueError: an argument does not fit (`ModelError`, `KernelError` are ValueErrors).

    The weights in the kernel's layout and the indirection table are cached between calls, found by the weights'
    content.
    """
    if low not in (-1.0, 0.0):
        raise ValueError(f"low is {low!r}; -1 or 0 is expected")
    limits = np.ascontiguousarray(threshold, dtype=np.float32).reshape(-1)
    channels = x.shape[-1] if isinstance(x, np.ndarray) and x.ndim else 1
    if limits.size not in (1, channels):
        raise ValueError(f"threshold has {limits.size} elements; 1 or {channels} are expected")
    mode = _pad_mode(pad_mode, float(pad_value), float(low))
    if transposed and mode != 0:
        raise ValueError(
            f"pad_mode {pad_mode!r} with pad_value {pad_value!r}: a transposed convolution has only 'constant' 0"
        )
    geometry = (kernel, stride, dilation, pad_begin, pad_end, output_padding)
    activation = (1 if low == 0.0 else 0, 0, limits, limits[:0])
    return _conv(x, weight, activation, out_channels, geometry, groups, mode, transposed, threads, engine_kernel)


def level_conv(
    x: npt.NDArray[np.float32],
    weight: npt.ArrayLike,
    bits: int,
    gain: float | npt.ArrayLike = 1.0,
    offset: float | npt.ArrayLike = 0.0,
    *,
    out_channels: int,
    kernel: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    pad_begin: int | Sequence[int] = 0,
    pad_end: int | Sequence[int] | None = None,
    groups: int = 1,
    pad_mode: str = "constant",
    threads: int = 1,
    engine_kernel: str | None = None,
) -> npt.NDArray[np.float32]:
    """Quantizes x to 2^bits levels and convolves it with ±1 weights, exactly: one pass of the count kernel a bit plane.

    Args:
        x: as of `binary_conv`.
        weight: as of `binary_conv`.
        bits: 1 to 8. A level is ``clip(rint(x * gain + offset), 0, 2**bits - 1)``, ties to even, NaN: 0.
        gain, offset: numbers or float32 [C].
        pad_mode: "constant" (level 0) or "edge".
        out_channels, kernel, stride, dilation, pad_begin, pad_end, groups, threads, engine_kernel: as of `binary_conv`.

    Returns:
        float32 [N, D', H', W', O]: the sums of levels times ±1, which are integers (exact up to 2^24).

    Raises:
        TypeError: x is not float32.
        ValueError: an argument does not fit.
    """
    if not 1 <= bits <= 8:
        raise ValueError(f"bits is {bits!r}; 1 to 8 are expected")
    channels = x.shape[-1] if isinstance(x, np.ndarray) and x.ndim else 1
    vectors = []
    for name, given in (("gain", gain), ("offset", offset)):
        vector = np.ascontiguousarray(given, dtype=np.float32).reshape(-1)
        if vector.size not in (1, channels):
            raise ValueError(f"{name} has {vector.size} elements; 1 or {channels} are expected")
        vectors.append(vector)
    mode = _pad_mode(pad_mode, 0.0, 0.0)
    geometry = (kernel, stride, dilation, pad_begin, pad_end, 0)
    activation = (1, bits, vectors[0], vectors[1])
    return _conv(x, weight, activation, out_channels, geometry, groups, mode, False, threads, engine_kernel)


def _conv(
    x: npt.NDArray[np.float32],
    weight: npt.ArrayLike,
    activation: tuple[int, int, npt.NDArray[np.float32], npt.NDArray[np.float32]],
    out_channels: int,
    geometry: tuple[Any, ...],
    groups: int,
    mode: int,
    transposed: bool,
    threads: int,
    engine_kernel: str | None,
) -> npt.NDArray[np.float32]:
    """Both convolutions. activation: (low, bits, threshold, nothing) with bits 0, or (1, bits, gain, offset)."""
    kernel, stride, dilation, pad_begin, pad_end, output_padding = geometry
    low_code, bits, limits, offsets = activation
    if not isinstance(x, np.ndarray) or x.dtype != np.float32:
        raise TypeError(f"x is {getattr(x, 'dtype', type(x).__name__)}; a float32 array is expected")
    if x.ndim != 5 or 0 in x.shape[1:]:
        raise ValueError(f"x has the shape {list(x.shape)}; [N, D, H, W, C] without empty dimensions is expected")
    channels = x.shape[4]
    if groups < 1 or channels % groups or out_channels < 1 or out_channels % groups:
        raise ValueError(f"{groups} groups do not divide {channels} input and {out_channels} output channels")
    k, s, d = _triple("kernel", kernel, 1), _triple("stride", stride, 1), _triple("dilation", dilation, 1)
    begin = _triple("pad_begin", pad_begin, 0)
    end = begin if pad_end is None else _triple("pad_end", pad_end, 0)
    extra = _triple("output_padding", output_padding, 0)
    extent = [dd * (kk - 1) + 1 for kk, dd in zip(k, d, strict=True)]
    sizes = list(zip(x.shape[1:4], s, begin, end, extent, extra, strict=True))
    if transposed:
        out = [(n - 1) * st - b - e + ex + add for n, st, b, e, ex, add in sizes]
        end = (0, 0, 0)  # carried by the output size
    else:
        if any(extra):
            raise ValueError(f"output_padding is {output_padding!r}; only a transposed convolution has it")
        out = [(n + b + e - ex) // st + 1 for n, st, b, e, ex, _ in sizes]
    if min(out) < 1:
        raise ValueError(
            f"the output would have the size {out} (D, H, W): the kernel {k} with dilation {d} does not fit the padded "
            f"map of {list(x.shape[1:4])}"
        )
    packed = _canonical(weight, out_channels, k[0] * k[1] * k[2], (channels // groups + 31) // 32)
    dims = tuple(int(n) for n in x.shape[1:])
    facts = (
        dims,
        out_channels,
        tuple(out),
        (k, s, d, begin, end),
        groups,
        mode,
        transposed,
        low_code,
        bits,
        threads,
        engine_kernel or "",
    )
    key = (facts, packed.tobytes(), limits.tobytes(), offsets.tobytes())
    session = _cache.get(key)
    if session is None:
        session = native.binary_conv(
            dims,
            out_channels,
            tuple(out),
            packed,
            limits,
            (k, s, d, begin, end),
            groups,
            mode,
            transposed,
            low_code,
            bits,
            offsets,
            threads,
            engine_kernel or "",
        )
        _cache.put(key, session, packed.nbytes + int(session.prepared_bytes))
    y = np.empty((x.shape[0], *out, out_channels), np.float32)
    if not x.flags.aligned or any(stride_ % 4 for stride_ in x.strides):
        x = np.ascontiguousarray(x)
    session.run([x], [y], False)
    return y
