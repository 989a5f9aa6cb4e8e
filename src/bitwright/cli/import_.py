"""`bitwright import`."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.cli._command import run_command


def import_(
    model: str,
    *,
    output: str | None = None,
    format: str | None = None,
    input_shape: list[int] | None = None,
    zero_is_plus: bool = False,
) -> int:
    """Import another framework's trained binary network and write it as ONNX.

    The format is recognised from the content; the output says what each binary layer was understood as. The ONNX file
    runs in stock onnxruntime and is what `bitwright compile` takes.

    Args:
        model: the file (of a format of two files: either).
        output: the .onnx file to write; without it the import is only shown.
        format: a format's name, where the recognition is not wanted.
        input_shape: of one sample, without the batch, for formats that do not store it: [3,224,224].
        zero_is_plus: take sign(0) as +1 where the file's sign is three-valued and may see a zero.
    """
    from bitwright import importers

    shape = None if input_shape is None else tuple(input_shape)
    options = importers.ImportOptions(input_shape=shape, zero_is_plus=zero_is_plus)
    imported = importers.load(model, format=format, options=options)
    print(imported)
    if output is not None:
        path = imported.save(output)
        print(f"wrote {path}, {path.stat().st_size:,} bytes")
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        import_,
        argv,
        "  bitwright import quicknet.tflite --output quicknet.onnx\n"
        "  bitwright compile quicknet.onnx --output quicknet.bwm",
    )
