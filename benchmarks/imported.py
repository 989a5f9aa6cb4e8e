"""Imported networks, one image: the engine, the home framework, and onnxruntime, in turn, each in its own process.

    python benchmarks/imported.py [larq] [quicknet] [bmxnet] [--quick]

Writes results/imported.csv. Sections that are not named keep their earlier rows.

- larq: a network of QuickNet's shape (224x224, 64 to 512 channels, 4 blocks each) with random weights, converted
  here by Larq; its interpreter runs it too. It needs Larq's environment (BITWRIGHT_LCE_PYTHON; `make bench`).
- quicknet: the early QuickNet of BITWRIGHT_DATA, which the current interpreter refuses.
- bmxnet: BMXNet's binary ResNet-18 of BITWRIGHT_DATA.

onnxruntime runs the imported network twice: with the signs and ±1 weights as floats (the same answers), and as the
float network of the same shape (no signs; another function, the float equivalent). Both and the engine stop at the
logits; Larq's interpreter runs the whole file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.engine import ENGINE, LCE, Row, peer, rows_of  # noqa: E402
from benchmarks.peers.drive import Entry, compete  # noqa: E402

from bitwright import compiler, importers  # noqa: E402
from bitwright.bench.results import earlier_rows, write_results  # noqa: E402
from bitwright.compiler.dialect import BinaryConvAttrs, unpack_bits  # noqa: E402

SECTIONS = ("larq", "quicknet", "bmxnet")
DATA = Path(os.environ.get("BITWRIGHT_DATA", ROOT / "data"))


def floats(model: onnx.ModelProto, *, signs: bool) -> onnx.ModelProto:
    """The network with every BinaryConv as a Conv of float ±1 weights; `signs`: its input's signs are taken first."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "BinaryConv":
            nodes.append(node)
            continue
        attrs, name = BinaryConvAttrs.from_node(node), node.output[0]
        x, weight, threshold, scale, bias = node.input
        packed = constants[weight]
        taps = np.where(unpack_bits(packed, attrs.channels), np.float32(1), np.float32(-1)).swapaxes(1, 2)
        values = {"weight": taps.reshape(len(packed), attrs.channels, *attrs.kernel_shape)}
        column = (-1, *[1] * attrs.rank)
        for key, at in (("threshold", threshold), ("scale", scale), ("bias", bias)):
            values[key] = constants[at].reshape(column)
        values |= {"one": np.float32(1), "low": np.float32(attrs.low), "pad": np.float32(attrs.pad_value)}
        values["pads"] = np.array([0, 0, *attrs.pad_begin, 0, 0, *attrs.pad_end], np.int64)
        of = {key: f"{name}.float.{key}" for key in (*values, "is_one", "signs", "padded", "sums", "scaled")}
        graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(v), of[k]) for k, v in values.items())
        pads = attrs.pads
        if signs:
            nodes.append(helper.make_node("GreaterOrEqual", [x, of["threshold"]], [of["is_one"]]))
            nodes.append(helper.make_node("Where", [of["is_one"], of["one"], of["low"]], [of["signs"]]))
            x = of["signs"]
            if any(pads) and attrs.pad_value:
                nodes.append(helper.make_node("Pad", [x, of["pads"], of["pad"]], [of["padded"]]))
                x, pads = of["padded"], tuple(0 for _ in pads)
        window = {"kernel_shape": attrs.kernel_shape, "strides": attrs.strides, "dilations": attrs.dilations}
        nodes.append(helper.make_node("Conv", [x, of["weight"]], [of["sums"]], group=attrs.group, pads=pads, **window))
        nodes.append(helper.make_node("Mul", [of["sums"], of["scale"]], [of["scaled"]]))
        nodes.append(helper.make_node("Add", [of["scaled"], of["bias"]], [name]))
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    kept = [t for t in graph.initializer if t.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    return result


def logits(model: onnx.ModelProto) -> onnx.ModelProto:
    """The network without a Softmax at its end: 1,000 exponentials, which are no layer of the engine."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    if result.graph.node[-1].op_type == "Softmax":
        result.graph.output[0].name = result.graph.node[-1].input[0]
        del result.graph.node[-1]
    return result


def _compare(
    section: str, task: str, file: Path, rounds: int, larq: bool = False, shape: tuple[int, ...] | None = None
) -> Iterable[Row]:
    model = logits(importers.load(file, options=importers.ImportOptions(input_shape=shape)).model)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler.compile(model, folder / "net.bwm")
        for signs in (True, False):
            onnx.save(floats(model, signs=signs), folder / f"floats{int(signs)}.onnx")
        for threads in (1, 2):
            print(f"{task}, {threads} thread{'s'[: threads - 1]}")
            entries: dict[str, Entry] = {ENGINE: peer("bitwright", "bwm", threads, path=str(folder / "net.bwm"))}
            if larq:
                for title, indirect in (("larq-compute-engine", False), ("larq-compute-engine, indirect", True)):
                    given = {"kind": "tflite", "threads": threads, "path": str(file), "indirect": indirect}
                    entries[title] = Entry("tflite_peer", given, str(LCE))
            for title, signs in (("onnxruntime, same answers (±1 as floats)", 1), ("onnxruntime, float network", 0)):
                entries[title] = peer("onnxruntime", "onnx fp32", threads, path=str(folder / f"floats{signs}.onnx"))
            missing: dict[str, str] = {}
            yield from rows_of(section, task, threads, compete(entries, rounds, missing, 0.1), missing)


def larq(rounds: int) -> Iterable[Row]:
    """A network of QuickNet's shape, made by Larq."""
    if not LCE.exists():
        print(f"{LCE} is missing: `make bench-peers` installs Larq's environment", file=sys.stderr)
        return
    file = Path(os.environ.get("BITWRIGHT_BENCH_TFLITE", tempfile.gettempdir() + "/bitwright-quicknet.tflite"))
    if not file.exists():
        script = ROOT / "tests/importers/make_larq_fixtures.py"
        subprocess.run([str(LCE), str(script), "--quicknet", str(file)], check=True, stderr=subprocess.DEVNULL)
    yield from _compare("larq", "QuickNet's shape, 224x224, from Larq", file, rounds, larq=True)


def quicknet(rounds: int) -> Iterable[Row]:
    """The early QuickNet."""
    yield from _compare("quicknet", "QuickNet, 2020 file", DATA / "pretrained/larq/quicknet.tflite", rounds)


def bmxnet(rounds: int) -> Iterable[Row]:
    """BMXNet's ResNet-18."""
    found = sorted((DATA / "pretrained/bmxnet").glob("binarized_imagenet-resnet18-64bit-*.json"))
    if not found:
        print("no BMXNet network under BITWRIGHT_DATA", file=sys.stderr)
        return
    yield from _compare("bmxnet", "BMXNet ResNet-18, 224x224", found[0], rounds, shape=(3, 224, 224))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all if none is named")
    parser.add_argument("--quick", action="store_true", help="few rounds, nothing written")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    unknown = [s for s in options.sections if s not in SECTIONS]
    if unknown:
        parser.error(f"unknown section {unknown[0]!r}; known: {', '.join(SECTIONS)}")
    path = ROOT / "results/imported.csv"
    for section in options.sections or SECTIONS:
        rows = list(globals()[section](3 if options.quick else options.rounds))
        if rows and not options.quick:
            write_results(
                path, f"python benchmarks/imported.py {section}", rows, keep=earlier_rows(path, "section", section)
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
