"""Everything that only a GPU can show, in one call and within a budget; what is done already is not done again.

Each step is a script of its own with the same options; it writes results/gpu_*.json, goes on where it stopped, and a
step that fails does not stop the others. --dry-run lists all of it without a GPU. Written without a GPU; never run on
one: the estimates are guesses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steps import ROOT, is_complete

from bitwright.tune.search import seconds_of

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Step:
    """A script, what it shows, the file that says when it is complete, and its share of the budget in seconds of 1500
    (25 minutes); `guess`: what it should take."""

    script: str
    shows: str
    result: str
    share: int
    guess: int


STEPS = (
    Step("correctness.py", "every family, format and output bit for bit", "gpu_correctness.json", 180, 120),
    Step("peaks.py", "raw rates of mma and wgmma; xor against and", "gpu_peaks.json", 45, 20),
    Step("sweep.py", "all candidates on 12 shapes; CUTLASS's default tile", "gpu_compare.json", 600, 550),
    Step("regret.py", "time lost by portfolio, model, nearest shape (no GPU)", "gpu_regret.json", 45, 20),
    Step("layers.py", "whole layers beside torch's bf16 and int8", "gpu_layers.json", 150, 90),
    Step("gemv.py", "W1A16 and W1A8 with few rows beside bf16", "gpu_gemv.json", 180, 150),
    Step("networks.py", "frozen networks beside bf16, batch 1 to 256", "gpu_networks.json", 240, 200),
    Step("prebuild.py", "cubins of the measured portfolio (no GPU)", "gpu_prebuilt.json", 60, 30),
)
BUDGET = "25m"


def shares(steps: Sequence[Step], seconds: float) -> dict[str, float]:
    """Seconds for each step: in proportion to its share."""
    whole = sum(step.share for step in steps)
    return {step.script: seconds * step.share / whole for step in steps}


def plan(steps: Sequence[Step], results: Path, again: bool) -> list[Step]:
    """What is left to do."""
    return [s for s in steps if again or not is_complete(results / s.result)]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="list what would run; needs no GPU")
    parser.add_argument("--device", default="h100", help="GPU of the table for --dry-run")
    parser.add_argument("--budget", default=BUDGET, help="of all steps together")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder to write to")
    parser.add_argument("--only", nargs="+", help="these steps alone, as peaks layers")
    parser.add_argument("--again", action="store_true", help="steps that are complete, too")
    options = parser.parse_args(argv)
    wanted = {name.removesuffix(".py") for name in options.only or []}
    unknown = wanted - {s.script.removesuffix(".py") for s in STEPS}
    if unknown:
        known = ", ".join(s.script.removesuffix(".py") for s in STEPS)
        parser.error(f"no step {', '.join(sorted(unknown))}; known are {known}")
    steps = [s for s in STEPS if not wanted or s.script.removesuffix(".py") in wanted]
    left = plan(steps, options.results, options.again or options.dry_run)
    total = seconds_of(options.budget)
    each = shares(left, total)
    for step in left:
        print(f"{step.script:15} {each[step.script]:5.0f} s of {total:.0f} (guess {step.guess} s): {step.shows}")
    print(f"{len(steps) - len(left)} steps are complete; guess in all {sum(s.guess for s in left)} s", flush=True)
    failed = []
    started = time.monotonic()
    for place, step in enumerate(left):
        # what earlier steps did not need goes to the later ones
        share = shares(left[place:], total - (time.monotonic() - started))[step.script]
        print(f"\n== {step.script}: {step.shows}", flush=True)
        if share <= 0:
            failed.append(f"{step.script} (no time left)")
            continue
        command = [sys.executable, str(HERE / step.script), "--results", str(options.results)]
        command += ["--budget", f"{share:.0f}s"] if not options.dry_run else ["--dry-run", "--device", options.device]
        try:
            code = subprocess.run(command, check=False, timeout=None if options.dry_run else 2 * share + 60).returncode
        except subprocess.TimeoutExpired:
            code = 124
        if code != 0:
            failed.append(f"{step.script} ({code})")
    print(
        f"\n{len(left) - len(failed)} of {len(left)} steps ended well"
        + (f"; not {', '.join(failed)}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
