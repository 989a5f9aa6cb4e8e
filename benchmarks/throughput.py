"""Images a second and memory of whole networks at batch 1, 8 and 32. Writes results/throughput.csv.

    python benchmarks/throughput.py [--quick]

Bi-Real ResNet-18 for ImageNet in the engine (exact, on float images; with int8 stem and int16 residuals, on uint8
images); ResNet-18 in onnxruntime and OpenVINO, fp32 and int8, on float images. Each competitor in a process of its own,
in turn (peers/drive.py). Memory: what making the task (reading the model, its first calls, the input) added to the
process's resident set after the library was imported, so quantized models are made beforehand; for the engine also what
it holds itself: activations, packed weights, tables.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.cold_start import models  # noqa: E402
from benchmarks.engine import EXACT, PEERS, PIXELS, peer  # noqa: E402
from benchmarks.latency import build  # noqa: E402
from benchmarks.peers.drive import Entry, PeerError, Worker  # noqa: E402

from bitwright.bench.results import write_results  # noqa: E402
from bitwright.runtime import Session, available_cpus  # noqa: E402

ENGINE = PIXELS
BATCHES = (1, 8, 32)


def entries(folder: Path, found: dict[str, Path], threads: int, batch: int) -> dict[str, Entry]:
    """The competitors."""
    twin = str(folder / "twin.onnx")
    exact, int8 = found["resnet18 exact"], found["resnet18 int8+int16"]
    return {
        ENGINE: peer("bitwright", "bwm", threads, path=str(int8), batch=batch),
        EXACT: peer("bitwright", "bwm", threads, path=str(exact), batch=batch),
        "openvino int8": peer(
            "openvino", "onnx int8", threads, path=twin, batch=batch, quantized=str(folder / "ov.xml")
        ),
        "openvino fp32": peer("openvino", "onnx fp32", threads, path=twin, batch=batch),
        "onnxruntime int8": peer(
            "onnxruntime", "onnx int8", threads, path=twin, batch=batch, quantized=str(folder / "ort.onnx")
        ),
        "onnxruntime fp32": peer("onnxruntime", "onnx fp32", threads, path=twin, batch=batch),
    }


def own_bytes(entry: Entry) -> int:
    """What a session of the engine holds while it runs the task."""
    session = Session(entry.task["path"], threads=entry.task["threads"])
    facts = session.facts
    samples = min(entry.task["batch"], facts["micro_batch"])
    return facts["arena_bytes"] * samples + facts["prepared_bytes"] + facts["scratch_bytes"]


def measure(competitors: dict[str, Entry], threads: int, batch: int, rounds: int) -> list[dict[str, object]]:
    """One row a competitor."""
    rows: list[dict[str, object]] = []
    with contextlib.ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for name, entry in competitors.items():
            try:
                workers[name] = stack.enter_context(Worker(entry))
            except PeerError as error:
                print(f"  {name:46} did not run: {error}", flush=True)
        seconds: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(rounds):
            for name, worker in workers.items():
                seconds[name].append(worker.sample(0.2))
        for name, worker in workers.items():
            median = statistics.median(seconds[name])
            held = round(own_bytes(competitors[name]) / 1e6, 2) if name in (ENGINE, EXACT) else ""
            rows.append(
                {
                    "competitor": name,
                    "threads": threads,
                    "batch": batch,
                    "images_per_s": round(batch / median, 2),
                    "ms": round(1e3 * median, 3),
                    "fastest_ms": round(1e3 * min(seconds[name]), 3),
                    "resident_mb": round(worker.resident / 1e6, 1),
                    "engine_mb": held,
                    "rounds": rounds,
                }
            )
            print(f"  {name:46} {batch / median:9.1f} images/s  {worker.resident / 1e6:7.1f} MB", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if not PEERS.exists():
        print(f"{PEERS} is missing: `make bench-peers` installs the peers' environment", file=sys.stderr)
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = models(folder, uint8=True)
        build("resnet18", (3, 224, 224), None, {"stem": "imagenet", "num_classes": 1000}, folder / "twin.onnx")
        for entry in entries(folder, found, 1, 1).values():
            if "quantized" in entry.task:
                with contextlib.suppress(PeerError), Worker(entry):
                    pass
        for threads in (1, 2)[: available_cpus()]:
            for batch in BATCHES:
                print(f"batch {batch}, {threads} thread{'s'[: threads - 1]}")
                competitors = entries(folder, found, threads, batch)
                rows += measure(competitors, threads, batch, 2 if options.quick else options.rounds)
    if not options.quick:
        print(f"wrote {write_results('results/throughput.csv', 'python benchmarks/throughput.py', rows)}")


if __name__ == "__main__":
    main()
