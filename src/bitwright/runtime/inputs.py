"""What is given to a compiled model: inputs of a run, values of an op. Checked, with one clear error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bitwright.runtime.errors import InputError

DTYPES: dict[str, type[np.generic]] = {"f32": np.float32, "i32": np.int32, "u8": np.uint8, "i16": np.int16}


class TensorInfo(NamedTuple):
    """An input or output of a model. ``shape`` begins with "N", the batch size, which is free."""

    name: str
    shape: tuple[int | str, ...]
    dtype: np.dtype[Any]


def in_order(inputs: Sequence[TensorInfo], given: Sequence[Any]) -> Sequence[Any]:
    """What a run was given, one array an input, in the model's order."""
    names = [info.name for info in inputs]
    if len(given) == 1 and isinstance(given[0], Mapping):
        unknown = [name for name in given[0] if name not in names]
        missing = [name for name in names if name not in given[0]]
        if unknown or missing:
            raise InputError(f"inputs are named {names}; unknown: {unknown}, missing: {missing}")
        given = [given[0][name] for name in names]
    if len(given) != len(names):
        raise InputError(f"{len(given)} inputs were given; the model has {len(names)}: {names}")
    return given


def check_inputs(inputs: Sequence[TensorInfo], given: Sequence[Any]) -> list[npt.NDArray[Any]]:
    """The arrays of a run, in the model's order.

    Raises:
        TypeError: an array of another element type.
        InputError: a wrong number of inputs, name, shape or batch size.
    """
    arrays = [_check_input(info, array) for info, array in zip(inputs, in_order(inputs, given), strict=True)]
    for info, array in zip(inputs, arrays, strict=True):
        if array.shape[0] != arrays[0].shape[0]:
            raise InputError(
                f"input {info.name!r} has a batch of {array.shape[0]}, input {inputs[0].name!r} of {arrays[0].shape[0]}"
            )
    return arrays


def _check_input(info: TensorInfo, given: Any) -> npt.NDArray[Any]:
    array = np.asarray(given)
    if info.dtype == np.float32:
        if array.dtype != np.float32:
            raise TypeError(
                f"input {info.name!r} is {array.dtype}; float32 is expected: pass x.astype(numpy.float32), scaled as "
                "in training"
            )
    elif info.dtype == np.uint8:
        if array.dtype != np.uint8:
            raise TypeError(
                f"input {info.name!r} is {array.dtype}; uint8 is expected: pass the pixels, 0 to 255, as they are (the "
                "model scales them)"
            )
    elif array.dtype not in (np.int32, np.int64):
        raise TypeError(
            f"input {info.name!r} is {array.dtype}; int32 or int64 ids are expected: pass x.astype(numpy.int64)"
        )
    expected = info.shape[1:]
    if array.ndim != len(info.shape) or array.shape[1:] != expected:
        hint = " (a batch dimension is missing: pass x[None])" if array.shape == expected else ""
        raise InputError(f"input {info.name!r} has the shape {list(array.shape)}; {list(info.shape)} is expected{hint}")
    if not array.dtype.isnative or not array.flags.aligned or any(stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    return array


def check_values(
    op: Mapping[str, Any], facts: Sequence[Mapping[str, Any]], values: Mapping[int, npt.ArrayLike]
) -> dict[int, npt.NDArray[Any]]:
    """The values that an op reads, by id, bits as uint8.

    Args:
        op: its facts.
        facts: of all values of the model.
        values: what was given for them.

    Raises:
        TypeError: an array of another element type.
        InputError: a value is missing, or has another shape or number of samples.
    """
    arrays: dict[int, npt.NDArray[Any]] = {}
    samples: int | None = None
    for key in op["reads"]:
        if key not in values:
            raise InputError(f"op {op['index']} ({op['kind']}) reads the values {op['reads']}; value {key} is missing")
        array, of = np.asarray(values[key]), facts[key]
        kind = np.dtype(bits_type(of) if of["dtype"] == "bits" else DTYPES[of["dtype"]])
        if array.dtype != kind:
            raise TypeError(f"value {key} ({of['dtype']}) is {array.dtype}; {kind} is expected")
        if array.ndim != 5 or array.shape[1:] != tuple(of["dims"]) or samples not in (None, array.shape[0]):
            expected = (samples or "N", *of["dims"])
            raise InputError(f"value {key} has the shape {array.shape}; (N, D, H, W, C) = {expected} is expected")
        samples = array.shape[0]
        array = np.ascontiguousarray(array)
        arrays[key] = array.view(np.uint8) if of["dtype"] == "bits" else array
    return arrays


def bits_type(facts: Mapping[str, Any]) -> type[np.bool_] | type[np.uint8]:
    """Elements of a bits value: bits, or levels."""
    return np.bool_ if facts["planes"] == 1 else np.uint8
