"""`bitwright profile`."""

from __future__ import annotations

import json as json_module
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitwright.cli._command import print_table, run_command

if TYPE_CHECKING:
    from bitwright.runtime.profiling import Profile

# Kinds of arithmetic, and of ops without any.
_COLOURS = {"binary": "#7fc8b7", "float": "#f0b27a", "int8": "#a9b8ee", "other": "#dccb7a"}


def profile(
    model: str,
    *,
    batch: int = 1,
    threads: int = 1,
    repeats: int = 50,
    kernel: str | None = None,
    tune: bool = False,
    seed: int = 0,
    json: bool = False,
    html: str | None = None,
) -> int:
    """Time each layer of a .bwm on random inputs, against what the machine could do at best.

    Args:
        model: the .bwm file.
        batch: samples a call.
        threads: threads of the engine; 0 for as many as the process may use.
        repeats: timed calls; the table gives their median.
        kernel: force a kernel or an instruction set by name (see `bitwright kernels`).
        tune: time the kernels for each layer first and take the fastest; results are kept in the user's cache.
        seed: of the random inputs.
        json: print everything as JSON instead of the table.
        html: write a page with a flame chart to this file.
    """
    from bitwright.bench.inputs import random_inputs
    from bitwright.runtime import Session

    session = Session(model, threads=threads, kernel=kernel)
    if tune:
        session.tune(batch=batch)
    result = session.profile(*random_inputs(session, batch, seed), repeats=repeats)
    # Paths in the PyTorch network, if known.
    paths = [str(entry.get("module", "")) for entry in session.meta.get("ops", [])]
    for op in result.ops:
        op["layer"] = (paths[op["index"]] if op["index"] < len(paths) else "") or op["name"]
    if html:
        written = _page(model, result).write(html)
    if json:
        print(json_module.dumps({"model": model, **result.to_dict()}, indent=2))
        return 0
    if html:
        print(f"wrote {written}")
    if result.machine:
        print_table(_title(model, result), _COLUMNS, [*map(_row, result.ops), _total(result)], right=_RIGHT)
    if result.parts:
        print_table(f"{model}: {len(result.parts)} parts", _PART_COLUMNS, _part_rows(result), right=range(2, 6))
    for line in _remarks(result):
        print(line)
    return 0


_COLUMNS = [
    "layer", "kind", "kernel", "epilogue", "output D×H×W×C", "µs", "share", "MMAC", "MAC/cycle", "read", "written",
    "roofline", "bound",
]  # fmt: skip
_RIGHT = range(5, 12)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def _epilogue(op: dict[str, Any]) -> str:
    return " ".join(str(step).lower() for step in op["steps"])


def _row(op: dict[str, Any]) -> list[str]:
    if op["kind"] == "ONNX":  # what happens inside is not known
        shape = "x".join(map(str, op["out_shape"]))
        return [
            op["layer"], op["kind"], op["kernel"], "", shape, f"{op['ns'] / 1e3:.1f}", f"{op['share']:.1%}", *[""] * 6,
        ]  # fmt: skip
    macs, rate = (f"{op['macs'] / 1e6:.2f}", f"{op['mac_per_cycle']:.1f}") if op["macs"] else ("", "")
    return [
        op["layer"], op["kind"], op.get("choice", op["kernel"]), _epilogue(op), "x".join(map(str, op["out_shape"])),
        f"{op['ns'] / 1e3:.1f}", f"{op['share']:.1%}", macs, rate, _size(op["read_bytes"]), _size(op["write_bytes"]),
        f"{op['roofline_share']:.0%}", op["bound"],
    ]  # fmt: skip


def _total(result: Profile) -> list[str]:
    t = result.totals
    return [
        "total", "", "", "", "", f"{t['ns'] / 1e3:.1f}", "100.0%", f"{t['macs'] / 1e6:.2f}",
        f"{t['mac_per_cycle']:.1f}", _size(t["read_bytes"]), _size(t["write_bytes"]),
        "" if result.parts else f"{t['roofline_share']:.0%}", "",
    ]  # fmt: skip


_PART_COLUMNS = ["part", "runs in", "µs", "of it ops", "copied in", "bytes"]


def _part_rows(result: Profile) -> list[list[str]]:
    rows = [
        [
            str(p["part"]), p["kind"], f"{p['ns'] / 1e3:.1f}", f"{p['ops_ns'] / 1e3:.1f}",
            str(p["boundary_copies"]), _size(p["boundary_bytes"]),
        ]
        for p in result.parts
    ]  # fmt: skip
    ns, ops = (sum(p[key] for p in result.parts) for key in ("ns", "ops_ns"))
    copies, moved = (sum(p[key] for p in result.parts) for key in ("boundary_copies", "boundary_bytes"))
    return [*rows, ["total", "", f"{ns / 1e3:.1f}", f"{ops / 1e3:.1f}", str(copies), _size(moved)]]


def _title(model: str, result: Profile) -> str:
    threads = f"{result.threads} thread{'s'[: result.threads - 1]}"
    ns = sum(part["ns"] for part in result.parts) or result.ns
    return f"{model}: {ns / 1e3:.1f} µs a call (batch {result.batch}, {threads}, median of {result.repeats})"


def _remarks(result: Profile) -> list[str]:
    machine = result.machine
    if machine is None:
        return ["The model runs in onnxruntime as a whole: the engine has nothing to time."]
    ghz = machine.ghz or 1.0
    before, after = machine.clock_ghz
    lines = [
        "Roofline: the larger of arithmetic and memory traffic, at the rates that these loops reached in this run with "
        "all threads; what the epilogue computes is not in it.",
        *(
            f"  {kernel}: {peak.per_ns / ghz:.0f} MAC/cycle by {peak.about}"
            for kernel, peak in machine.arithmetic.items()
        ),
        f"  memory, as much as the network touches: read {machine.read.per_ns:.3g} GB/s by {machine.read.about}, "
        f"write {machine.write.per_ns:.3g} GB/s by {machine.write.about}",
        f"Clock, by a chain of additions: {before:.2f} GHz before the runs, {after:.2f} GHz after.",
    ]
    if not machine.stable:
        lines.append("The clock was not stable: read MAC/cycle and roofline with care, or run again.")
    names = {"arena": "activations", "weights": "packed weights", "tables": "tables", "scratch": "scratch"}
    parts = ", ".join(f"{text} {_size(result.memory[name])}" for name, text in names.items())
    return [*lines, f"Peak memory: {_size(result.memory['total'])} ({parts})."]


def _kind(op: dict[str, Any]) -> str:
    return next((family for family in ("binary", "int8", "float") if op[f"{family}_macs"]), "other")


def _page(model: str, result: Profile) -> Any:
    from bitwright.report import FLAME_STYLE, Bar, Page, flame

    page = Page(Path(model).name, _title(model, result), wide=True)
    bars = []
    for op in result.ops:
        values = dict(zip(_COLUMNS, _row(op), strict=True))
        path = [Path(model).stem, *str(op["layer"]).split("."), op["kind"]]
        if op["kind"] == "ONNX":
            facts = {"op": op["name"], "part": str(op["part"]), "time": f"{values['µs']} µs ({values['share']})"}
            bars.append(Bar(path, op["ns"] / 1e3, facts, _COLOURS["other"], 0.0))
            continue
        facts = {
            "op": f"{op['kind']} {op['name']}",
            "kernel": op.get("choice", op["kernel"]),
            "epilogue": values["epilogue"] or "-",
            "output D×H×W×C": values["output D×H×W×C"],
            "time": f"{values['µs']} µs ({values['share']})",
            "MAC": f"{op['macs']:,}",
            "MAC/cycle": values["MAC/cycle"] or "-",
            "read, written": f"{values['read']}, {values['written']}",
            "at the roofline": f"{op['roofline_ns'] / 1e3:.1f} µs ({op['bound']}), {values['roofline']} of the time",
        }
        bars.append(Bar(path, op["ns"] / 1e3, facts, _COLOURS[_kind(op)], op["roofline_share"]))
    if result.ns:
        page.html(flame(bars, "µs"), FLAME_STYLE)
    keys = "".join(f'<span><i style="background:{colour}"></i>{name}</span>' for name, colour in _COLOURS.items())
    hint = "Width is time; the line at the foot of a bar is its share of the roofline. Hover or tab for the facts."
    page.html(f'<p class="key">{keys}<span>{hint}</span></p>')
    if result.machine:
        page.heading("Layers")
        page.table(_COLUMNS, [*map(_row, result.ops), _total(result)], right=_RIGHT)
    if result.parts:
        page.heading("Parts")
        page.table(_PART_COLUMNS, _part_rows(result), right=range(2, 6))
    page.heading("How to read it")
    for line in _remarks(result):
        page.text(line.strip())
    return page


def main(argv: Sequence[str]) -> int:
    """Entry point of the verb."""
    return run_command(
        profile,
        argv,
        "  bitwright profile digits.bwm\n  bitwright profile net.bwm --threads 2 --batch 8 --html net.html",
    )
