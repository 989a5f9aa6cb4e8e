"""The engine against its peers: layers, matrix products and whole networks, in turn, each in a process of its own.

    python benchmarks/engine.py [layers] [gemm] [networks] [--quick]

Writes results/engine.csv (every time that was taken, medians and quartiles over the rounds), results/targets.csv (the
ratios that we promise ourselves) and docs/images/engine-*.png. Peers live in .venv-bench and .venv-lce (`make bench`
installs them). Sections that are not named keep their earlier rows. --quick: few rounds, nothing written.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers.drive import Entry, compete  # noqa: E402
from benchmarks.peers.tasks import GEMMS, LAYERS, Layer  # noqa: E402
from benchmarks.targets import write_targets  # noqa: E402

from bitwright.bench.latency import Timing, ratio  # noqa: E402
from bitwright.bench.results import earlier_rows, write_results  # noqa: E402

SECTIONS = ("layers", "gemm", "networks")
PEERS = Path(os.environ.get("BITWRIGHT_BENCH_PYTHON", ROOT / ".venv-bench/bin/python"))
LCE = Path(os.environ.get("BITWRIGHT_LCE_PYTHON", ROOT / ".venv-lce/bin/python"))
ENGINE = "bitwright"
EXACT = "bitwright, exact (fp32 stem, residual)"
PIXELS = "bitwright, uint8 images (int8, int16 residual)"
FLOATS = "bitwright, float images (int8, int16 residual)"

Row = dict[str, object]


def peer(module: str, kind: str, threads: int, **task: Any) -> Entry:
    """A peer in its environment; the engine runs in this one."""
    python = None if module == "bitwright" else str(LCE if module == "lce" else PEERS)
    return Entry(f"{module}_peer", {"kind": kind, "threads": threads, **task}, python)


def rows_of(section: str, task: str, threads: int, timings: dict[str, Timing], missing: dict[str, str]) -> list[Row]:
    """One row a competitor; prints them."""
    rows: list[Row] = []
    engine = timings.get(ENGINE) or timings.get(PIXELS)
    for name, timing in timings.items():
        low, high = timing.quartiles
        times = ratio(timing, engine) if engine else float("nan")
        rows.append(
            {
                "section": section,
                "task": task,
                "threads": threads,
                "competitor": name,
                "us": round(timing.median * 1e6, 1),
                "low_us": round(low * 1e6, 1),
                "high_us": round(high * 1e6, 1),
                "times_engine": round(times, 3),
                "rounds": len(timing.seconds),
            }
        )
        print(f"  {name:46} {rows[-1]['us']:>10} us  {times:8.2f}x", flush=True)
    for name, reason in missing.items():
        print(f"  {name:46} did not run: {reason}", flush=True)
    return rows


def layers(rounds: int) -> Iterable[Row]:
    """The 3x3 layers of ResNet-18."""
    for threads in (1, 2):
        for layer in LAYERS:
            print(f"layer {layer.name}, {threads} thread{'s'[: threads - 1]}")
            missing: dict[str, str] = {}
            timings = compete(layer_entries(layer, threads), rounds, missing)
            yield from rows_of("layers", layer.name, threads, timings, missing)


def layer_entries(layer: Layer, threads: int) -> dict[str, Entry]:
    """Every competitor of a layer. "bits": thresholded output; "float": a float map, as the peers' node writes."""
    shape = layer._asdict()

    def ours(form: str, **more: Any) -> Entry:
        return peer("bitwright", "binary conv", threads, **shape, form=form, **more)

    entries = {ENGINE: ours("bits"), "bitwright, float output": ours("float")}
    if threads == 1:
        entries["bitwright, popcount kernel"] = ours("bits", kernel="avx512vpopcnt")
        entries["bitwright, GFNI kernel"] = ours("bits", kernel="bconv_gfni")
        entries["bitwright, AVX2 kernel"] = ours("bits", kernel="avx2")
    if layer.stride == 1:
        entries["bitwright, fused block"] = ours("block")
        entries["bitwright, fused block int16"] = ours("block", residual="int16")
    entries |= {
        "openvino BinaryConvolution": peer("openvino", "binary conv", threads, **shape),
        "openvino BinaryConvolution + sign": peer("openvino", "binary conv packed", threads, **shape),
        "openvino int8": peer("openvino", "conv int8", threads, **shape),
        "openvino fp32": peer("openvino", "conv fp32", threads, **shape),
        "onnxruntime int8": peer("onnxruntime", "conv int8", threads, **shape),
        "onnxruntime fp32": peer("onnxruntime", "conv fp32", threads, **shape),
        "torch fp32": peer("torch", "conv fp32", threads, **shape),
        "torch bf16": peer("torch", "conv bf16", threads, **shape),
        "larq-compute-engine": peer("lce", "binary conv packed", threads, **shape),
    }
    return entries


def gemm(rounds: int) -> Iterable[Row]:
    """All rows of A with all rows of B; B is packed once where a library can."""
    for m, n, k in GEMMS:
        print(f"gemm {m}x{n}x{k}")
        missing: dict[str, str] = {}
        entries = {
            name: peer(module, "gemm", 1, m=m, n=n, k=k)
            for name, module in ((ENGINE, "bitwright"), ("numkong", "numkong"), ("faiss", "faiss"))
        }
        entries["bitwright, popcount kernel"] = peer("bitwright", "gemm", 1, m=m, n=n, k=k, kernel="avx512vpopcnt")
        yield from rows_of("gemm", f"{m}x{n}x{k}", 1, compete(entries, rounds, missing), missing)


def networks(rounds: int) -> Iterable[Row]:
    """Bi-Real ResNet-18 at 224x224, one image, against float ResNet-18 and against itself in OpenVINO."""
    from benchmarks.latency import build, compile_int8

    from bitwright import compiler

    shape = (3, 224, 224)
    arguments = {"stem": "imagenet", "num_classes": 1000}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        binary, twin = folder / "binary.onnx", folder / "twin.onnx"
        build("resnet18", shape, "bireal", arguments, binary)
        build("resnet18", shape, None, arguments, twin)
        compiler.compile(binary, folder / "exact.bwm")
        for stored, uint8 in (("pixels.bwm", True), ("floats.bwm", False)):
            compile_int8(binary, folder / stored, shape, uint8=uint8)
        for threads in (1, 2):
            print(f"networks, {threads} thread{'s'[: threads - 1]}")
            entries = {
                PIXELS: peer("bitwright", "bwm", threads, path=str(folder / "pixels.bwm")),
                FLOATS: peer("bitwright", "bwm", threads, path=str(folder / "floats.bwm")),
                EXACT: peer("bitwright", "bwm", threads, path=str(folder / "exact.bwm")),
                "openvino, the binary network": peer("openvino", "binary resnet18", threads),
                "openvino int8": peer("openvino", "onnx int8", threads, path=str(twin)),
                "openvino fp32": peer("openvino", "onnx fp32", threads, path=str(twin)),
                "onnxruntime int8": peer("onnxruntime", "onnx int8", threads, path=str(twin)),
                "onnxruntime fp32": peer("onnxruntime", "onnx fp32", threads, path=str(twin)),
            }
            missing: dict[str, str] = {}
            timings = compete(entries, rounds, missing, 0.1)
            yield from rows_of("networks", "resnet18 224x224", threads, timings, missing)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    unknown = [s for s in options.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}; known: {', '.join(SECTIONS)}")
    for python in (PEERS, LCE):
        if not python.exists():
            print(
                f"{python} is missing: `make bench-peers` installs the peers' environments; its rows are left out",
                file=sys.stderr,
            )
    path = ROOT / "results/engine.csv"
    for section in options.sections or SECTIONS:
        rows = list(globals()[section](3 if options.quick else options.rounds))
        if not options.quick:
            write_results(
                path, f"python benchmarks/engine.py {section}", rows, keep=earlier_rows(path, "section", section)
            )
    if not options.quick:
        write_targets()
    return 0


if __name__ == "__main__":
    sys.exit(main())
