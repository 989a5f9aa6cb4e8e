"""Tables of measured figures under `results/`: who measured what, where, when, with which command."""

from __future__ import annotations

import csv
import datetime
import io
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bitwright.files import write_atomically

PROVENANCE = ("command", "commit", "machine", "cores", "date")


def machine() -> str:
    """The CPU's model name and the instruction sets that matter here."""
    name, flags = platform.processor() or platform.machine(), ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = (line.split(":", 1) for line in cpuinfo.read_text().splitlines() if ":" in line)
        fields = {key.strip(): value.strip() for key, value in lines}
        name = fields.get("model name", name)
        if "cpu family" in fields:
            name += f" family {fields['cpu family']} model {fields.get('model', '?')}"
        present = fields.get("flags", "").split()
        flags = " ".join(f for f in ("avx2", "avx512bw", "avx512_vpopcntdq", "avx512_bitalg") if f in present)
    return f"{name} ({flags})" if flags else name


def commit() -> str:
    """The checkout's commit, with "+" if the working tree differs from it; "" outside a checkout."""
    root = Path(__file__).resolve().parents[3]
    try:
        head = subprocess.run(
            ["git", "rev-parse", "--short=10", "HEAD"], cwd=root, capture_output=True, text=True, check=True
        )
        dirty = subprocess.run(
            ["git", "status", "--porcelain", "--", "src", "native", "recipes"],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "")


def earlier_rows(path: str | os.PathLike[str], column: str, renewed: str) -> list[dict[str, str]]:
    """The rows of a results file (none if missing) whose `column` is not `renewed`, for `write_results(keep=)`."""
    if not os.path.exists(path):
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row[column] != renewed]


def write_results(
    path: str | os.PathLike[str],
    command: str,
    rows: Sequence[Mapping[str, object]],
    keep: Sequence[Mapping[str, object]] = (),
) -> Path:
    """Write rows as CSV with columns that say where they come from; the file is replaced as a whole.

    Args:
        path: the file.
        command: what regenerates the rows.
        rows: measured now.
        keep: rows of earlier measurements, with their own provenance columns.

    Raises:
        ValueError: no rows, or rows with different columns.
    """
    if not rows:
        raise ValueError(f"{path}: no rows to write")
    columns = list(rows[0])
    for row in rows:
        if list(row) != columns:
            raise ValueError(f"{path}: a row has columns {list(row)}, the first one has {columns}")
    for row in keep:
        if list(row) != [*columns, *PROVENANCE]:
            raise ValueError(f"{path}: an earlier row has columns {list(row)}, expected {[*columns, *PROVENANCE]}")
    provenance = {
        "command": command,
        "commit": commit(),
        "machine": machine(),
        "cores": os.cpu_count(),
        "date": datetime.date.today().isoformat(),
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, *PROVENANCE], lineterminator="\n")
    writer.writeheader()
    writer.writerows(keep)
    writer.writerows({**row, **provenance} for row in rows)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, text.getvalue().encode("utf-8"))
    return target
