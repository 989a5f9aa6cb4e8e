"""What the steps of the GPU's checklist share: options, results that survive an interruption, timing by torch."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bitwright.files import write_atomically
from bitwright.tune import Device
from bitwright.tune.cuda import model, models, this_gpu
from bitwright.tune.search import seconds_of

ROOT = Path(__file__).resolve().parents[2]


def options_of(
    description: str,
    argv: Sequence[str] | None = None,
    more: Callable[[argparse.ArgumentParser], None] | None = None,
) -> argparse.Namespace:
    """The options that every step has; `more` adds those of one."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dry-run", action="store_true", help="list what would run; needs no GPU")
    parser.add_argument("--device", default="h100", choices=models(), help="GPU of the table for --dry-run")
    parser.add_argument("--budget", default=None, help="of this step: 90s, 5m, ...; what is left resumes next time")
    parser.add_argument("--results", type=Path, default=ROOT / "results", help="folder to write to")
    if more is not None:
        more(parser)
    return parser.parse_args(argv)


def device_of(options: argparse.Namespace) -> Device:
    """The GPU at hand, or for a dry run one of the table."""
    return model(options.device) if options.dry_run else this_gpu()


class Items:
    """Results by name in a JSON file, written after each: a step that is started again goes on where it stopped.

    Args:
        path: of the file; one of another environment (GPU, driver, compiler) is started anew.
        environment: of the device.
        budget: of this run: seconds, "5m", or None.
        clock: for tests.
    """

    def __init__(
        self,
        path: Path,
        environment: str,
        budget: float | str | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.path, self._clock = path, clock
        self._end = clock() + seconds_of(budget)
        self.data: dict[str, Any] = {"environment": environment, "complete": False, "items": {}}
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            if old["environment"] == environment and isinstance(old["items"], dict):
                self.data["items"] = old["items"]
        except (OSError, ValueError, KeyError, TypeError):
            pass

    @property
    def items(self) -> dict[str, Any]:
        """What is there."""
        return dict(self.data["items"])

    def run(self, name: str, measure: Callable[[], Any]) -> None:
        """Measures an item unless it is there or the budget is spent. An error is kept as the item's."""
        if name in self.data["items"] and not self._failed(name):
            print(f"{name}: known", flush=True)
            return
        if self._clock() >= self._end:
            self.data["left"] = [*self.data.get("left", []), name]
            print(f"{name}: left, the budget is spent", flush=True)
            return
        try:
            found = measure()
        except Exception as error:  # one item that fails must not take the others' time on a lent GPU
            found = {"error": f"{type(error).__name__}: {error}"[:2000]}
        self.data["items"][name] = found
        print(f"{name}: {json.dumps(found)[:300]}", flush=True)
        self._write()

    def share(self, left: int) -> float:
        """Seconds for the next of `left` items."""
        return max(self._end - self._clock(), 1.0) / max(left, 1)

    def finish(self) -> int:
        """Writes the file; 0 if nothing is left and nothing failed."""
        failed = [name for name in self.data["items"] if self._failed(name)]
        self.data["complete"] = not self.data.get("left") and not failed
        self._write()
        print(f"wrote {self.path}: {len(self.data['items'])} items, {len(failed)} failed", flush=True)
        return 0 if self.data["complete"] else 1

    def _failed(self, name: str) -> bool:
        item = self.data["items"][name]
        return isinstance(item, dict) and "error" in item

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, (json.dumps(self.data, indent=1) + "\n").encode())


def is_complete(path: Path) -> bool:
    """Whether a step's results say that nothing is left."""
    try:
        return bool(json.loads(path.read_text(encoding="utf-8"))["complete"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def copies_for(bytes_each: int, l2: int) -> int:
    """How many operands to rotate through so that none is still in the L2 cache when its turn comes."""
    return max(2, -(-2 * l2 // max(bytes_each, 1)) + 1) if bytes_each < 2 * l2 else 2


def torch_seconds(calls: Sequence[Callable[[], Any]], repeats: int = 30) -> float:
    """Median seconds of one call, all of them captured in one CUDA graph. Needs torch on a GPU."""
    import torch

    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.no_grad(), torch.cuda.stream(stream):
        for call in (*calls, *calls[:1]):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        for call in calls:
            call()
    samples = []
    for _ in range(repeats + 3):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        graph.replay()
        end.record()
        end.synchronize()
        samples.append(start.elapsed_time(end) / 1e3 / len(calls))
    return statistics.median(samples[3:])
