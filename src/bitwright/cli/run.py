"""`bitwright run`."""

from __future__ import annotations

import io
import json as json_module
import sys
import time
from collections.abc import Sequence

from bitwright.cli._command import run_command


def run(
    model: str,
    inputs: list[str],
    *,
    threads: int = 1,
    kernel: str | None = None,
    tune: bool = False,
    top: int = 1,
    json: bool = False,
    output: str | None = None,
) -> int:
    """Run a .bwm on images (PNG, JPEG, …) or .npy arrays and print classes and scores.

    Args:
        model: the .bwm file.
        inputs: images, and .npy arrays: float32 as the network wants them, or uint8 pixels [N,H,W,C] or [N,H,W].
        threads: threads of the engine.
        kernel: force a kernel or an instruction set by name (see `bitwright kernels`).
        tune: time the kernels for each layer first and take the fastest; results are kept in the user's cache.
        top: how many classes to print for each input.
        json: print one JSON object a line instead of text.
        output: also write all raw outputs to this .npy file.
    """
    import numpy as np

    from bitwright.bench.inputs import InputPreparation
    from bitwright.files import write_atomically
    from bitwright.runtime import Session

    if top < 1:
        raise ValueError(f"--top {top}: must be 1 or more")
    session = Session(model, threads=threads, kernel=kernel, tune=tune)
    if len(session.inputs) != 1:
        names = ", ".join(i.name for i in session.inputs)
        raise ValueError(
            f"{model} has {len(session.inputs)} inputs ({names}); use bitwright.runtime.Session from Python"
        )
    prepare = InputPreparation.of_session(session)
    collected = []
    for path in inputs:
        x, labels = prepare.load(path)
        start = time.perf_counter()
        result = session.run(x)
        seconds = time.perf_counter() - start
        y = result[0] if isinstance(result, list) else result
        collected.append(y)
        rows = y.reshape(len(y), -1)
        order = np.argsort(-rows, axis=1, kind="stable")[:, : min(top, rows.shape[1])]
        for row, (label, best) in enumerate(zip(labels, order, strict=True)):
            classes = [
                {"class": prepare.class_name(int(k)), "index": int(k), "score": float(rows[row, k])} for k in best
            ]
            if json:
                print(json_module.dumps({"input": label, "classes": classes}))
            else:
                print(f"{label}: " + ", ".join(f"{c['class']} ({c['score']:.4g})" for c in classes))
        if not json:
            print(f"# {len(x)} sample(s) in {seconds * 1e3:.3f} ms", file=sys.stderr)
    if output:
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate(collected))
        write_atomically(output, buffer.getvalue())
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        run, argv, "  bitwright run digits.bwm seven.png\n  bitwright run digits.bwm test_images.npy --json --threads 2"
    )
