"""`bitwright profile`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence

from bitwright.cli._command import print_table, run_command


def profile(
    model: str,
    *,
    batch: int = 1,
    threads: int = 1,
    repeats: int = 50,
    kernel: str | None = None,
    seed: int = 0,
    json: bool = False,
) -> int:
    """Time each layer of a .bwm on random inputs: medians, and binary multiply-accumulates a second.

    Args:
        model: the .bwm file.
        batch: samples a call.
        threads: threads of the engine.
        repeats: timed calls; the table gives their median.
        kernel: force a kernel or an instruction set by name (see `bitwright kernels`).
        seed: of the random inputs.
        json: print JSON instead of a table.
    """
    from bitwright.bench.inputs import random_inputs
    from bitwright.runtime import Session

    session = Session(model, threads=threads, kernel=kernel)
    ops = session.profile(*random_inputs(session, batch, seed), repeats=repeats)
    modules = [
        entry.get("module", "") for entry in session.meta.get("ops", [])
    ]  # paths in the PyTorch network, if known
    total = sum(op["ns"] for op in ops)
    rows = []
    for op in ops:
        nanoseconds = op["ns"]
        macs = (op["binary_macs"] + op["float_macs"]) * batch
        rows.append(
            {
                "layer": (modules[op["index"]] if op["index"] < len(modules) else "") or op["name"],
                "kind": op["kind"],
                "kernel": op["kernel"],
                "out": "x".join(map(str, op["out_shape"])),
                "microseconds": nanoseconds / 1e3,
                "share": nanoseconds / total if total else 0.0,
                "binary_macs": op["binary_macs"] * batch,
                "float_macs": op["float_macs"] * batch,
                "gmac_per_s": macs / nanoseconds if nanoseconds else 0.0,
            }
        )
    if json:
        result = {"model": model, "batch": batch, "threads": threads, "microseconds": total / 1e3, "layers": rows}
        print(json_module.dumps(result, indent=2))
        return 0
    print_table(
        f"{model}: {total / 1e3:.1f} µs a call (batch {batch}, {threads} thread(s), median of {repeats})",
        ["layer", "kind", "kernel", "output D×H×W×C", "µs", "share", "binary MACs", "float MACs", "GMAC/s"],
        [
            [
                r["layer"], r["kind"], r["kernel"], r["out"], f"{r['microseconds']:.1f}", f"{r['share']:.1%}",
                f"{r['binary_macs']:,}", f"{r['float_macs']:,}", f"{r['gmac_per_s']:.1f}",
            ]
            for r in rows
        ],
        right=range(4, 9),
    )  # fmt: skip
    return 0


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        profile, argv, "  bitwright profile digits.bwm\n  bitwright profile net.bwm --threads 2 --batch 8"
    )
