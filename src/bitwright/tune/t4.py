"""Timings in Kernel Tuner's T4 format, so that its strategies can be replayed on our data.

The format: `kernel_tuner/schema/T4/1.0.0/results-schema.json` of kernel_tuner 1.5.0 (read).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from bitwright.files import write_atomically

from .store import Record


def to_t4(record: Record) -> dict[str, Any]:
    """One search as a T4 results document. Times are milliseconds, as Kernel Tuner's."""
    results: list[dict[str, Any]] = []
    for config, seconds in record.history.samples.items():
        milliseconds = [1e3 * s for s in seconds]
        results.append(
            {
                "timestamp": record.date,
                "configuration": {"template": config.template, **config.parameters},
                "objectives": ["time"],
                "times": {"compilation_time": 0, "runtimes": milliseconds},
                "invalidity": "correct",
                "correctness": 1,
                "measurements": [{"name": "time", "value": median(milliseconds), "unit": "ms"}],
            }
        )
    for config, why in record.failures:
        results.append(
            {
                "timestamp": record.date,
                "configuration": {"template": config.template, **config.parameters},
                "objectives": ["time"],
                "times": {"compilation_time": 0, "runtimes": []},
                "invalidity": "correctness" if "wrong" in why else "runtime",
                "correctness": 0,
                "measurements": [],
            }
        )
    metadata = {"problem": str(record.problem), "environment": record.environment}
    return {"schema_version": "1.0.0", "metadata": metadata, "results": results}


def write_t4_folder(records: Sequence[Record], folder: str | os.PathLike[str]) -> int:
    """Writes one JSON file a record, numbered; returns how many. The folder is made if it is not there."""
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    for number, record in enumerate(records):
        write_atomically(target / f"{number:04d}.json", json.dumps(to_t4(record), indent=1).encode())
    return len(records)
