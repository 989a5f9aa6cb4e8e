"""Cold start: from nothing to the first answer of a 4 MB network, through the C interface.

Writes results/cold_start.csv.

    python benchmarks/cold_start.py [--quick]

Each sample is a fresh process that imports neither numpy nor bitwright: it loads the engine's library by ctypes, opens
the model (mapping the file, checking everything in it), makes a session (packing the weights), and runs one image, then
a second. The file is in the page cache. Times are medians over the processes; "total" is load to first answer.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.latency import build, compile_int8

from bitwright import compiler
from bitwright.bench.results import write_results
from bitwright.runtime import available_cpus
from bitwright.runtime._load import native

STEPS = ("load", "open", "session", "first", "second")

# Arguments: library, model, threads. Prints milliseconds of each step.
SAMPLE = """
import ctypes, json, sys, time
times = [time.perf_counter()]
lib = ctypes.CDLL(sys.argv[1])
times.append(time.perf_counter())
pointer = ctypes.c_void_p
lib.bitwright_error.restype = ctypes.c_char_p

class Tensor(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("type", ctypes.c_int), ("rank", ctypes.c_uint32),
                ("dims", ctypes.c_uint32 * 4), ("sample_elements", ctypes.c_size_t)]

def check(status):
    if status:
        raise SystemExit(lib.bitwright_error().decode())

model, session, given, wanted = pointer(), pointer(), Tensor(), Tensor()
check(lib.bitwright_model_open(sys.argv[2].encode(), ctypes.byref(model)))
times.append(time.perf_counter())
check(lib.bitwright_session_create(model, ctypes.c_uint(int(sys.argv[3])), None, ctypes.byref(session)))
times.append(time.perf_counter())
check(lib.bitwright_model_input(model, ctypes.c_size_t(0), ctypes.byref(given)))
check(lib.bitwright_model_output(model, ctypes.c_size_t(0), ctypes.byref(wanted)))
x, y = (ctypes.c_float * given.sample_elements)(), (ctypes.c_float * wanted.sample_elements)()
inputs, outputs = ((pointer * 1)(ctypes.addressof(array)) for array in (x, y))
for _ in range(2):
    start = time.perf_counter()
    check(lib.bitwright_session_run(session, ctypes.c_size_t(1), inputs, outputs))
    times += [start, time.perf_counter()]
assert "numpy" not in sys.modules and "bitwright" not in sys.modules
steps = [times[1] - times[0], times[2] - times[1], times[3] - times[2], times[5] - times[4], times[7] - times[6]]
print(json.dumps([1e3 * t for t in steps]))
"""


def samples(model: Path, threads: int, processes: int) -> list[list[float]]:
    """Milliseconds of the STEPS in each of some fresh processes."""
    command = [sys.executable, "-S", "-c", SAMPLE, str(native.__file__), str(model), str(threads)]
    return [
        json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout) for _ in range(processes)
    ]


def models(folder: Path, *, uint8: bool = False) -> dict[str, Path]:
    """Bi-Real ResNet-18 for ImageNet, 4.2 MB, and with int8 stem and int16 residuals, perhaps for uint8 images."""
    shape = (3, 224, 224)
    build("resnet18", shape, "bireal", {"stem": "imagenet", "num_classes": 1000}, folder / "net.onnx")
    found = {"resnet18 exact": folder / "exact.bwm", "resnet18 int8+int16": folder / "int8.bwm"}
    compiler.compile(folder / "net.onnx", found["resnet18 exact"])
    compile_int8(folder / "net.onnx", found["resnet18 int8+int16"], shape, uint8=uint8)
    return found


def in_folder(folder: Path) -> dict[str, Path]:
    """The compiled models there, by name."""
    if not folder.is_dir():
        raise SystemExit(f"--models {folder}: there is no such folder")
    found = {path.stem: path for path in sorted(folder.glob("*.bwm"))}
    if not found:
        raise SystemExit(f"--models {folder}: no .bwm files there; `bitwright compile` makes them")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="few processes, nothing written")
    parser.add_argument("--models", type=Path, help="folder of .bwm files instead of the built-in networks")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as name:
        found = in_folder(options.models) if options.models else models(Path(name))
        for model, path in found.items():
            for threads in (1, 2)[: available_cpus()]:
                taken = samples(path, threads, 3 if options.quick else 21)
                middle = {
                    step: statistics.median(column)
                    for step, column in zip(STEPS, zip(*taken, strict=True), strict=True)
                }
                totals = [sum(sample[:-1]) for sample in taken]
                row = {"model": model, "mb": round(path.stat().st_size / 1e6, 2), "threads": threads}
                row |= {f"{step}_ms": round(value, 2) for step, value in middle.items()}
                row |= {"total_ms": round(statistics.median(totals), 2), "fastest_ms": round(min(totals), 2)}
                row["processes"] = len(taken)
                rows.append(row)
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    if not options.quick:
        print(f"wrote {write_results('results/cold_start.csv', 'python benchmarks/cold_start.py', rows)}")


if __name__ == "__main__":
    main()
