"""`bitwright import`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bitwright.cli._command import run_command


def import_(
    model: str,
    *,
    output: str | None = None,
    format: str | None = None,
    input_shape: list[int] | None = None,
    zero_is_plus: bool = False,
    probabilities: bool = False,
    pixels: float | None = None,
    mean: list[float] | None = None,
    std: list[float] | None = None,
    classes: str | None = None,
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
        probabilities: keep the softmax of a training loss at the end; without it such a model gives the logits.
        pixels: the network takes pixels from 0 to this number (1 or 255): stored for `bitwright run` on images.
        mean: instead of that, the mean of pixels scaled to 0..1, one a channel: [0.485,0.456,0.406].
        std: their deviation.
        classes: a text file with the name of a class on each line; `bitwright run` prints them.
    """
    from bitwright import importers

    shape = None if input_shape is None else tuple(input_shape)
    options = importers.ImportOptions(input_shape=shape, zero_is_plus=zero_is_plus, probabilities=probabilities)
    if (mean is None) != (std is None) or (pixels is not None and mean is not None):
        raise ValueError("give --pixels, or both --mean and --std, or none of them")
    if pixels is not None and not pixels > 0:
        raise ValueError(f"--pixels {pixels:g} must be above 0, such as 1 or 255")
    imported = importers.load(model, format=format, options=options)
    if pixels is not None:
        channels = imported.model.graph.input[0].type.tensor_type.shape.dim[1].dim_value
        mean, std = [0.0] * channels, [1 / pixels] * channels
    if mean is not None or classes is not None:
        names = Path(classes).read_text(encoding="utf-8").splitlines() if classes is not None else []
        imported.describe_images(mean or [], std or [], names)
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
