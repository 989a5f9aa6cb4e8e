"""`bitwright quickstart`."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.cli._command import print_table, run_command


def quickstart(*, folder: str = "runs/quickstart", recipe: str = "digits_cnn.yaml", epochs: int | None = None) -> int:
    """Train a small 1-bit CNN on real images, compile it, run it, compare it with onnxruntime and its float twin.

    Args:
        folder: where the checkpoint, the .onnx and .bwm files, result.json and report.html go.
        recipe: a recipe of the project, by file name.
        epochs: train so many instead of the recipe's.
    """
    from pathlib import Path

    from bitwright.bench.quickstart import run_quickstart, summary_rows

    result = run_quickstart(Path(folder), recipe=recipe, epochs=epochs)
    print_table("bitwright quickstart", ["", "1-bit network", "float twin", "ratio"], summary_rows(result), right=(3,))
    if not result.ok:
        print(result.verify_text)
    print(f"page: {result.folder / 'report.html'}")
    print(f"next: bitwright inspect '{result.folder / 'net.bwm'}'")
    return 0 if result.ok else 1


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(quickstart, argv, "  bitwright quickstart\n  bitwright quickstart --folder /tmp/try")
