"""The model takes uint8 pixels: its input becomes a u8 value, and one MAP normalises it.

`quantize_layers` folds that MAP into the weights of an int8 layer that reads it; then the pixels are never floats.
"""

from __future__ import annotations

import numpy as np

from ..errors import CompileError
from ..pixels import Pixels
from ..program import Const, DType, Map, Program, Step, StepKind, Value


def take_pixels(program: Program, pixels: Pixels | None) -> Pixels:
    """Rewrites the program's only input.

    Args:
        program: not yet planned.
        pixels: the normalisation; None: the graph normalises pixels itself, at its head.

    Returns:
        The normalisation that the file does in front of the graph.

    Raises:
        CompileError: several inputs, an input of ids, or nobody says how pixels are normalised.
    """
    if len(program.inputs) != 1:
        raise CompileError(f"uint8 input: the model has {len(program.inputs)} inputs; one image is expected")
    (old,) = program.inputs
    if old.dtype is not DType.F32:
        raise CompileError(f"uint8 input: the model's input {old.name!r} is {old.dtype.name.lower()}, not an image")
    if pixels is None:
        if not _normalises(program, old):
            raise CompileError(
                "uint8 input: nothing says how pixels become the model's input; give the mean and std of pixels scaled "
                "to 0..1 (the model has no normalisation at its head and no 'bitwright.input' metadata)"
            )
        old.dtype, old.scale, old.zero, old.meaning = DType.U8, 1.0, 0, None
        return Pixels()
    a, b = pixels.affine(old.channels)
    new = Value(DType.U8, old.dims, name=old.name, is_input=True, external_axes=old.external_axes)
    new.scale, new.zero = 1.0, int(np.clip(np.rint(np.mean(-b / a)), 0, 255))
    old.name, old.is_input, old.external_axes = "", False, ()
    a32 = a.astype(np.float32)
    shift = (b + a32 * np.float64(new.zero)).astype(np.float32)
    program.inputs[:] = [new]
    steps = [Step(StepKind.AFFINE, None, Const(a32), Const(shift)), Step(StepKind.STORE, old)]
    program.ops.insert(0, Map("pixels", new, steps))
    return pixels


def _normalises(program: Program, value: Value) -> bool:
    """Whether all who read the input are MAPs that begin with an AFFINE."""
    readers = [op for op in program.ops if any(v is value for v in op.reads())]
    return bool(readers) and all(
        isinstance(op, Map) and op.inp is value and op.steps and op.steps[0].kind is StepKind.AFFINE for op in readers
    )


__all__ = ["take_pixels"]
