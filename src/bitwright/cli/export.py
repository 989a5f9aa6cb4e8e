"""`bitwright export`."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.cli._command import run_command


def export(model: str, *, output: str, opset: int | None = None, format: str = "bitwright", batch: int = 1) -> int:
    """Freeze a checkpoint's binary layers to bits and write the network as ONNX (runs in stock onnxruntime).

    The input's preparation (mean, standard deviation) and the class names of the data set travel along in the file's
    metadata, so that `bitwright run` can take images.

    Args:
        model: a checkpoint written by `bitwright train`; for the format qonnx also an .onnx file of ours, or any file
            that `bitwright import` knows.
        output: the .onnx file to write.
        opset: ONNX operator set of a checkpoint's export, 18 or later; the exporter's default otherwise.
        format: bitwright (1-bit packed weights), or qonnx (BipolarQuant and Quant, for Brevitas and FINN).
        batch: the fixed batch size of a qonnx file; 0 keeps it dynamic.
    """
    import os
    import tempfile
    import zipfile

    if format not in ("bitwright", "qonnx"):
        raise ValueError(f"--format is {format!r}; known are bitwright, qonnx")
    if batch < 0:
        raise ValueError(f"--batch is {batch}; it must be positive, or 0 for a dynamic batch")
    if format == "bitwright":
        from bitwright.bench.pipeline import export_checkpoint

        path: str | os.PathLike[str] = export_checkpoint(model, output, opset=opset)
    else:
        from bitwright import compiler
        from bitwright.cli._sources import onnx_of
        from bitwright.files import write_atomically

        if zipfile.is_zipfile(model):  # torch's own container
            from bitwright.bench.pipeline import export_checkpoint

            with tempfile.TemporaryDirectory() as folder:
                source = export_checkpoint(model, os.path.join(folder, "net.onnx"), opset=opset)
                converted = compiler.to_qonnx(source, batch=batch or None)
        else:
            converted = compiler.to_qonnx(onnx_of(model), batch=batch or None)
        write_atomically(output, converted.SerializeToString())
        path = output
    print(f"wrote {path} ({os.path.getsize(path):,} bytes)")
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        export,
        argv,
        "  bitwright export runs/digits_cnn/last.ckpt --output digits.onnx\n"
        "  bitwright export digits.onnx --format qonnx --output digits.qonnx.onnx",
    )
