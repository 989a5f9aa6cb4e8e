"""Compiles the portfolio of the sweep for four architectures: results/gpu_cubins.zip, below 2 MB. Needs no GPU.

To ship it: `python -m bitwright.tune.bundled results/tune_products.jsonl results/gpu_sweep.jsonl`, and the archive
beside the made files as cubins.zip.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from steps import Items, options_of

from bitwright.files import write_atomically
from bitwright.tune.cuda import prebuilt


def made(store: Path, target: Path) -> dict[str, Any]:
    """The archive of a store's portfolio."""
    configs = prebuilt.portfolio_of([store])
    data = prebuilt.build(configs)
    write_atomically(target, data)
    return {"configs": [c.to_dict() for c in configs], "kernels": len(prebuilt.read(data)), "bytes": len(data)}


def main() -> int:
    options = options_of(__doc__)
    store = options.results / "gpu_sweep.jsonl"
    if options.dry_run:
        print(f"the portfolio of {store} for {', '.join(prebuilt.ARCHS)}")
        return 0
    if not store.exists():
        print(f"{store} is not there: run sweep.py first", file=sys.stderr)
        return 1
    items = Items(options.results / "gpu_prebuilt.json", "compiled")
    items.data["items"] = {}
    items.run("portfolio", lambda: made(store, options.results / "gpu_cubins.zip"))
    return items.finish()


if __name__ == "__main__":
    sys.exit(main())
