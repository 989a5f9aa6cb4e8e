"""Plots of results/engine.csv for the documentation."""

from __future__ import annotations

import csv
import io
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

from bitwright.files import write_atomically
from bitwright.report import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENGINE = "bitwright"


def save(figure: Figure, target: Path) -> None:
    """As PNG without the date, so that the same figures give the same file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=130, metadata={"Software": None})
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, buffer.getvalue())


def draw(results: Path, folder: Path) -> list[Path]:
    """Writes engine-layers.png and engine-networks.png into `folder`."""
    with results.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["threads"] == "1"]
    layers: dict[str, list[float]] = {}
    for row in rows:
        if row["section"] == "layers" and not row["competitor"].startswith(ENGINE):
            layers.setdefault(row["competitor"], []).append(float(row["times_engine"]))
    slower = {name: statistics.geometric_mean(values) for name, values in layers.items()}
    networks = {r["competitor"]: float(r["us"]) / 1e3 for r in rows if r["section"] == "networks"}
    written = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, values, unit in (
        ("engine-layers", dict(sorted(slower.items(), key=lambda item: item[1])), "x ours"),
        ("engine-networks", dict(sorted(networks.items(), key=lambda item: item[1])), "ms"),
    ):
        if not values:
            continue
        figure = plots.bars(values, unit)
        save(figure, folder / f"{name}.png")
        written.append(folder / f"{name}.png")
    return written
