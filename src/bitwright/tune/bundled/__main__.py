"""Makes the shipped files from exported stores, one for each.

python -m bitwright.tune.bundled results/tune_products.jsonl [results/gpu_sweep.jsonl]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bitwright.files import write_atomically

from ..portfolio import choose_portfolio
from ..store import Record
from . import FORMAT, PORTFOLIO

SIZE = 8
"""Configs of a portfolio."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bitwright.tune.bundled", description=__doc__)
    parser.add_argument("stores", nargs="+", type=Path, help="exported timings (JSON lines)")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    by_kind: dict[str, list[Record]] = {}
    for path in options.stores:
        records = [Record.from_line(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for record in records:
            by_kind.setdefault(record.environment.partition(" | ")[0], []).append(record)
        write_atomically(options.folder / path.name, "".join(r.to_line() + "\n" for r in records).encode())
    data: dict[str, object] = {"format": FORMAT}
    for kind, records in sorted(by_kind.items()):
        data[kind] = [config.to_dict() for config in choose_portfolio(records, SIZE)]
    write_atomically(options.folder / PORTFOLIO, (json.dumps(data, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
