"""From results/{engine,kernels,threads}.csv: the ratios we promise (results/targets.csv), and plots (docs/images).

python benchmarks/targets.py
"""

from __future__ import annotations

import csv
import statistics
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.peers.tasks import GEMMS, LAYERS  # noqa: E402

from bitwright.bench.results import write_results  # noqa: E402

US = "bitwright"


class Times:
    """Times relative to the engine's, by section, task and competitor, one thread: medians of the ratios of the same
    round (a host changes its speed between rounds; ratios of medians would mix fast moments with slow ones)."""

    def __init__(self, path: Path) -> None:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if r["threads"] == "1"]
        self._times = {(r["section"], r["task"], r["competitor"]): float(r["times_engine"]) for r in rows}

    def ratio(self, section: str, task: str, slow: str, fast: str) -> float | None:
        """How many times longer `slow` takes."""
        a, b = self._times.get((section, task, slow)), self._times.get((section, task, fast))
        return a / b if a and b else None

    def layers(self, slow: str, fast: str) -> float | None:
        """Geometric mean over the layers."""
        ratios = [self.ratio("layers", layer.name, slow, fast) for layer in LAYERS]
        known = [r for r in ratios if r is not None]
        return statistics.geometric_mean(known) if len(known) == len(LAYERS) else None


class Target(NamedTuple):
    """One promise. `value` is None where a competitor did not run."""

    name: str
    what: str
    value: float | None
    good: float
    stretch: float
    unit: str = "x"

    @property
    def reached(self) -> str:
        """ "stretch", "good" or "no"; percents on top are better where they are smaller."""
        sign = -1 if self.unit == "%" else 1
        value = sign * (self.value or 0)
        return "stretch" if value >= sign * self.stretch else "good" if value >= sign * self.good else "no"


def kernels(t: Times) -> list[Target]:
    """Matrix products and our kernels among themselves."""
    small, large = (f"{m}x{n}x{k}" for m, n, k in GEMMS)
    gfni = t.layers("bitwright, popcount kernel", "bitwright, GFNI kernel")
    return [
        Target("G2", "GFNI against our popcount kernel, seven 3x3 layers, thresholded", gfni, 1.1, 1.35),
        Target("G3", f"GEMM {small} against numkong", t.ratio("gemm", small, "numkong", US), 2.4, 3.0),
        Target("G3", f"GEMM {large} against numkong", t.ratio("gemm", large, "numkong", US), 1.33, 1.8),
    ]


def convolutions(t: Times) -> list[Target]:
    """The seven 3x3 layers."""
    early, middle, late = (layer.name for layer in (LAYERS[0], LAYERS[4], LAYERS[6]))
    node, packed = "openvino BinaryConvolution", "openvino BinaryConvolution + sign"
    found = [
        Target("C1", "3x3 layers against OpenVINO's binary node alone", t.layers(node, US), 1.2, 1.5),
        Target("C1", "the same, both writing a float map", t.layers(node, "bitwright, float output"), 1.2, 1.5),
        Target("C2", f"with sign and pack, {late}", t.ratio("layers", late, packed, US), 1.65, 2.0),
        Target("C2", f"with sign and pack, {early}", t.ratio("layers", early, packed, US), 5.0, 6.0),
        Target("C3", "3x3 layers against onnxruntime int8", t.layers("onnxruntime int8", US), 5.8, 7.0),
        Target("C3", "3x3 layers against onnxruntime fp32", t.layers("onnxruntime fp32", US), 21.0, 26.0),
    ]
    for kind, block in (("int16", "bitwright, fused block int16"), ("fp32", "bitwright, fused block")):
        for task, good, stretch in ((early, 16.0, 12.0), (middle, 6.0, 4.0)):
            times = t.ratio("layers", task, block, US)
            more = None if times is None else 100 * (times - 1)
            found.append(
                Target("C4", f"batch norm, add, PReLU, sign in {kind}, {task}: extra", more, good, stretch, "%")
            )
    found.append(
        Target("L1", "3x3 layers against larq-compute-engine on x86", t.layers("larq-compute-engine", US), 65.0, 65.0)
    )
    return found


def networks(t: Times) -> list[Target]:
    """Bi-Real ResNet-18 at 224x224."""
    exact = "bitwright, exact (fp32 stem, residual)"
    pixels = "bitwright, uint8 images (int8, int16 residual)"

    def against(peer: str, ours: str = pixels) -> float | None:
        return t.ratio("networks", "resnet18 224x224", peer, ours)

    return [
        Target(
            "E1",
            "Bi-Real ResNet-18, int8, uint8 images: onnxruntime fp32",
            against("onnxruntime fp32"),
            14.5,
            17.0,
        ),
        Target("E1", "the same against onnxruntime int8", against("onnxruntime int8"), 4.3, 5.0),
        Target("E1", "the same against OpenVINO int8", against("openvino int8"), 3.7, 4.4),
        Target("E1f", "the exact network against onnxruntime fp32", against("onnxruntime fp32", exact), 8.0, 10.0),
        Target("E2", "the same binary network in OpenVINO", against("openvino, the binary network"), 3.5, 4.2),
    ]


def classic(path: Path) -> list[Target]:
    """Our AVX2 kernel against the classic popcount; none if benchmarks/kernels.py has not run."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        ours = [r for r in csv.DictReader(file) if r["kernel"] == "bconv_avx2" and r["reference"] == "classic_avx2"]
    ratios = [float(r["ratio"]) for r in ours if r["task"].startswith("3x3")]
    if not ratios:
        return []
    return [Target("A1", "AVX2 against the classic popcount, 3x3 layers", statistics.geometric_mean(ratios), 1.6, 1.8)]


def threads(path: Path) -> list[Target]:
    """Two threads against one, in turn, and what the machine gave two sessions at that moment; none if
    benchmarks/threads.py has not run."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        rows = [r for r in csv.DictReader(file) if r["what"].startswith("3x3")]
    found, limit = (statistics.geometric_mean(float(r[key]) for r in rows) for key in ("ratio", "limit"))
    return [Target("C5", f"two threads, 3x3 layers (two sessions at once: {limit:.2f}x)", found, 1.9, 1.95)]


def products(path: Path) -> list[Target]:
    """Matrix products against the popcount roofline, the default kernel; none if benchmarks/kernels.py has not run."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        ours = [r for r in csv.DictReader(file) if r["section"] == "gemm" and r["kernel"] == "default"]
    shares = [float(r["ratio"]) for r in ours if int(r["task"].split("x")[2]) >= 512]
    if not shares:
        return []
    what = "GEMM, share of the popcount roofline, K >= 512"
    return [Target("G1", what, 100 * statistics.geometric_mean(shares), 93.0, 125.0, "% of it")]


def write_targets() -> None:
    """Reads results/{engine,kernels,threads}.csv; writes results/targets.csv and the plots."""
    from benchmarks.plots import draw

    times = Times(ROOT / "results/engine.csv")
    found = [
        t
        for t in (
            *kernels(times),
            *products(ROOT / "results/kernels.csv"),
            *convolutions(times),
            *threads(ROOT / "results/threads.csv"),
            *networks(times),
            *classic(ROOT / "results/kernels.csv"),
        )
        if t.value is not None
    ]
    rows = [
        {
            "id": t.name,
            "what": t.what,
            "measured": round(t.value or 0, 2),
            "unit": t.unit,
            "good": t.good,
            "stretch": t.stretch,
            "reached": t.reached,
        }
        for t in found
    ]
    for t in found:
        print(f"{t.name:4} {t.what:70} {t.value:8.2f}{t.unit} (good {t.good}, stretch {t.stretch}): {t.reached}")
    write_results(ROOT / "results/targets.csv", "python benchmarks/engine.py", rows)
    draw(ROOT / "results/engine.csv", ROOT / "docs/images")


if __name__ == "__main__":
    write_targets()
