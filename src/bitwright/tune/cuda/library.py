"""NVIDIA's dense products through torch, on memory and a stream that are not torch's. Not run on hardware yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import TuneError

Work = Callable[[], None]
TYPES = {"s8": ("int8", "|i1"), "f16": ("float16", "<f2"), "bf16": ("bfloat16", "<i2")}
"""Names in torch, and of the array interface, which has no bfloat16."""


class _Memory:
    """Memory of the GPU that torch may wrap: the CUDA array interface, version 3."""

    def __init__(self, address: int, shape: tuple[int, int], kind: str) -> None:
        self.__cuda_array_interface__ = {"data": (address, False), "shape": shape, "typestr": kind, "version": 3}


def torch_product(kind: str, a: int, w: int, out: int, shape: tuple[int, int, int], stream: int) -> Work:
    """`a [m, k]` times `w [n, k]` transposed, on a stream; s8 into s32, halves into float32.

    Raises:
        TuneError: torch is not installed, or sees no GPU.
    """
    try:
        import torch
    except ImportError as error:
        raise TuneError(f"the dense product of the GPU's maker needs torch ({error})") from None
    if not torch.cuda.is_available():
        raise TuneError("the dense product of the GPU's maker needs torch built for CUDA, and a GPU")
    m, n, k = shape
    name, interface = TYPES[kind]

    def wrapped(address: int, size: tuple[int, int], kind: str, dtype: str) -> Any:
        return torch.as_tensor(_Memory(address, size, kind), device="cuda").view(getattr(torch, dtype))

    left, right = wrapped(a, (m, k), interface, name), wrapped(w, (n, k), interface, name)
    sums = wrapped(out, (m, n), *(("<i4", "int32") if kind == "s8" else ("<f4", "float32")))
    on = torch.cuda.ExternalStream(stream)

    def work() -> None:
        try:
            with torch.cuda.stream(on):
                multiply(left, right, sums)
        except RuntimeError as error:  # torch's only type for what the library refuses
            raise TuneError(f"torch refuses the product: {error}") from None

    return work


def multiply(a: Any, w: Any, out: Any) -> None:
    """Tensors `a [m, k]` times `w [n, k]` transposed into `out`, whose type is that of the sums."""
    import torch

    if a.dtype == torch.int8:
        torch._int_mm(a, w.T, out=out)
    else:
        torch.mm(a, w.T, out_dtype=out.dtype, out=out)
