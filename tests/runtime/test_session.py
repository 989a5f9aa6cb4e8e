"""Session: inputs and outputs, errors, kernels, threads, profile, single ops."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from bitwright.runtime import InputError, KernelError, ModelError, Session, available_cpus, functional, kernels

from . import builder as b
from .builder import Builder, Geometry
from .reference import conv
from .strategies import ISAS
from .test_reader import GOOD, model


def image_model(layout: tuple[int, ...] = (4, 2, 3)) -> tuple[bytes, np.ndarray]:
    """Input [N,3,6,6] (NCHW unless the layout says so), a binary 3x3 convolution, 40 channels in the same layout."""
    m = Builder()
    x = m.value("f32", (1, 6, 6, 3), role="input", name="image", axes=layout)
    bits = m.value("bits", (1, 6, 6, 3))
    y = m.value("f32", (1, 6, 6, 40), role="output", name="map", axes=layout)
    weight = np.random.default_rng(5).random((40, 9, 3)) < 0.5
    m.map(x, [b.store_bits(bits)])
    g = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    m.bconv(bits, m.constant(b.pack(weight)), 40, (1, 6, 6), g, [b.store(y)])
    return m.file(), np.where(weight, 1.0, -1.0)


def expected_map(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """NCHW to NCHW."""
    g = Geometry((1, 3, 3), pad_begin=(0, 1, 1), pad_end=(0, 1, 1))
    signs = np.where(x >= 0, 1.0, -1.0).transpose(0, 2, 3, 1)[:, None]
    return conv(signs, weight, (1, 6, 6), g)[:, 0].transpose(0, 3, 1, 2)


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, 3, 6, 6)).astype(np.float32)


@pytest.mark.parametrize("batch", [0, 1, 2, 5, 300, 1000])
@pytest.mark.parametrize("threads", [1, 2])
def test_batches_are_cut_without_a_trace(batch: int, threads: int) -> None:
    data, weight = image_model()
    session = Session(data, threads)
    x = images(batch)
    y = session.run(x)
    assert y.shape == (batch, 40, 6, 6)
    assert y.flags.c_contiguous
    few = min(batch, 3)
    np.testing.assert_array_equal(y[:few], expected_map(x[:few], weight))
    np.testing.assert_array_equal(y[batch - few :], expected_map(x[batch - few :], weight))
    for i in range(0, batch, 97):
        np.testing.assert_array_equal(y[i : i + 1], session.run(x[i : i + 1]))


@pytest.mark.parametrize("layout", [(4, 2, 3), (2, 3, 4), (3, 4, 2)])
def test_layouts_and_strides(layout: tuple[int, ...]) -> None:
    data, weight = image_model(layout)
    session = Session(data)
    x = images(5)
    order = [0] + [{4: 1, 2: 2, 3: 3}[a] for a in layout]
    expected = expected_map(x, weight).transpose(order)
    given = np.ascontiguousarray(x.transpose(order))
    np.testing.assert_array_equal(session.run(given), expected)
    np.testing.assert_array_equal(session.run(x.transpose(order)), expected)
    np.testing.assert_array_equal(session.run(given[::-1]), expected[::-1])
    doubled = np.repeat(given, 2, axis=0)
    np.testing.assert_array_equal(session.run(doubled[::2]), expected)
    same = np.broadcast_to(given[:1], given.shape)
    np.testing.assert_array_equal(session.run(same), np.broadcast_to(expected[:1], expected.shape))
    odd = np.zeros(given.nbytes + 1, np.uint8)[1:].view(np.float32).reshape(given.shape)
    odd[...] = given
    assert not odd.flags.aligned
    np.testing.assert_array_equal(session.run(odd), expected)
    given.flags.writeable = False
    np.testing.assert_array_equal(session.run(given), expected)


def test_inputs_outputs_names() -> None:
    session = Session(GOOD, threads=2)
    assert [(i.name, i.shape, i.dtype) for i in session.inputs] == [
        ("x", ("N", 40, 4, 4), np.float32),
        ("ids", ("N", 3), np.int32),
    ]
    assert [(o.name, o.shape) for o in session.outputs] == [("y", ("N", 5)), ("rows", ("N", 3, 8))]
    x, ids = np.ones((2, 40, 4, 4), np.float32), np.array([[1, 2, 3], [5, 4, 0]])
    by_order, by_name = session.run(x, ids), session.run({"ids": ids, "x": x})
    for first, second in zip(by_order, by_name, strict=True):
        np.testing.assert_array_equal(first, second)
    assert "x: ['N', 40, 4, 4]" in repr(session)
    assert session.threads == 2
    assert session.facts["file_bytes"] == len(GOOD)


def test_wrong_inputs() -> None:
    session = Session(GOOD)
    x, ids = np.ones((2, 40, 4, 4), np.float32), np.zeros((2, 3), np.int64)
    with pytest.raises(InputError, match=r"1 inputs were given; the model has 2: \['x', 'ids'\]"):
        session.run(x)
    with pytest.raises(InputError, match=r"unknown: \['z'\], missing: \['ids'\]"):
        session.run({"x": x, "z": ids})
    with pytest.raises(TypeError, match=r"'x' is float64; float32 is expected: pass x.astype"):
        session.run(x.astype(np.float64), ids)
    with pytest.raises(TypeError, match="'x' is uint8; float32 is expected"):
        session.run(x.astype(np.uint8), ids)
    with pytest.raises(TypeError, match="'ids' is float32; int32 or int64"):
        session.run(x, ids.astype(np.float32))
    with pytest.raises(InputError, match=r"\[2, 39, 4, 4\]; \['N', 40, 4, 4\] is expected"):
        session.run(x[:, 1:], ids)
    with pytest.raises(InputError, match=r"a batch dimension is missing: pass x\[None\]"):
        session.run(x[0], ids)
    with pytest.raises(InputError, match="'ids' has a batch of 1, input 'x' of 2"):
        session.run(x, ids[:1])
    with pytest.raises(InputError, match="id 6 is out of range"):
        session.run(x, ids + 6)


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "a model.bwm"
    path.write_bytes(GOOD)
    for name in (path, str(path), GOOD, bytearray(GOOD), memoryview(GOOD)):
        assert len(Session(name).ops()) == 8  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match=r"nothing\.bwm"):
        Session(tmp_path / "nothing.bwm")
    with pytest.raises(IsADirectoryError):
        Session(tmp_path)
    path.write_bytes(GOOD[:-1])
    with pytest.raises(ModelError, match=r"a model.bwm: truncated"):
        Session(path)
    path.write_bytes(b"")
    with pytest.raises(ModelError, match="it is empty"):
        Session(path)


def test_kernels_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITWRIGHT_KERNEL", raising=False)
    facts = kernels()
    operations = {k["operation"] for k in facts}
    assert operations >= {"bconv", "fconv", "epilogue", "pack", "bmatmul", "pool"}
    for operation in operations:
        assert sum(k["default"] for k in facts if k["operation"] == operation) == 1
    # A layer of few channels runs on the default kernel's variant for those: bconv16_avx512vpopcnt.
    default = Session(GOOD).ops()[1]["kernel"]
    isas = {k["name"]: k["isa"] for k in facts}
    assert isas[default] == next(k["isa"] for k in facts if k["operation"] == "bconv" and k["default"])
    for isa in ISAS:
        ranks = {k["name"]: k["isa"] for k in facts}
        op = Session(GOOD, kernel=isa).ops()[1]
        # bconv_gfni does not take every layer: what it leaves runs on the popcount kernel.
        if isa != "gfni" and any(k["isa"] == isa and k["operation"] == "bconv" for k in facts):
            assert ranks[op["kernel"]] == isa
    op = Session(GOOD, kernel="bconv_portable,epilogue_portable").ops()[1]
    assert (op["kernel"], op["epilogue"]) == ("bconv_portable", "epilogue_portable")
    monkeypatch.setenv("BITWRIGHT_KERNEL", "portable")
    assert {op["kernel"] for op in Session(GOOD).ops()} <= {
        "bconv_portable", "fconv_portable", "epilogue_portable", "pool_portable", "copy", "embed",
    }  # fmt: skip
    monkeypatch.setenv("BITWRIGHT_KERNEL", "mmx")
    with pytest.raises(
        KernelError,
        match=r"unknown kernel 'mmx' \(from the environment variable BITWRIGHT_KERNEL\); known: .*bconv_portable",
    ):
        Session(GOOD)
    with pytest.raises(KernelError, match="unknown kernel 'bconv_mmx'"):
        Session(GOOD, kernel="bconv_mmx")
    for kernel in facts:
        if not kernel["supported"]:
            with pytest.raises(KernelError, match="CPU does not support"):
                Session(GOOD, kernel=kernel["name"])


def test_bad_arguments() -> None:
    for threads in (-1, 1.5, True, 10**6):
        with pytest.raises(ValueError, match="threads is"):
            Session(GOOD, threads=threads)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="kernel is a int"):
        Session(GOOD, kernel=3)  # type: ignore[arg-type]
    assert Session(GOOD, threads=0).threads == available_cpus()


def test_facts_of_ops_and_values() -> None:
    session = Session(GOOD)
    ops, values = session.ops(), session.values()
    assert [op["kind"] for op in ops] == ["MAP", "BCONV", "BCONV", "POOL", "COPY", "COPY", "FCONV", "EMBED"]
    assert [op["index"] for op in ops] == list(range(8))
    conv1, conv2, dense = ops[1], ops[2], ops[6]
    assert conv1["binary_macs"] == 16 * 8 * 9 * 40
    assert conv2["binary_macs"] == 16 * 8 * 9 * 4
    assert dense["float_macs"] == 5 * 4 * 16
    assert conv1["weight_bytes"] == 8 * 9 * 2 * 4
    assert conv1["constant_bytes"] == conv1["weight_bytes"] + 2 * 32
    assert conv1["steps"] == ["AFFINE", "PRELU", "STORE", "STORE_BITS"]
    assert (conv1["reads"], conv1["writes"]) == ([1], [2, 3])
    assert (conv1["in_shape"], conv1["out_shape"]) == ((1, 4, 4, 40), (1, 4, 4, 8))
    assert values[0]["role"] == "input"
    assert (values[3]["dtype"], values[3]["groups"], values[3]["dims"]) == ("bits", 2, (1, 4, 4, 8))


def test_profile() -> None:
    session = Session(GOOD)
    x, ids = np.ones((3, 40, 4, 4), np.float32), np.zeros((3, 3), np.int64)
    profile = session.profile(x, ids, repeats=3)
    rows = profile.ops
    assert [r["kind"] for r in rows] == [op["kind"] for op in session.ops()]
    assert all(isinstance(r["ns"], int) and r["ns"] >= 0 for r in rows)
    assert profile.ns == sum(r["ns"] for r in rows) > 0
    assert sum(r["share"] for r in rows) == pytest.approx(1)
    assert (profile.batch, profile.threads, profile.repeats) == (3, 1, 3)
    conv = next(r for r in rows if r["kind"] == "BCONV")
    values = session.values()
    assert conv["macs"] == 3 * (conv["binary_macs"] + conv["float_macs"] + conv["int8_macs"])
    assert conv["write_bytes"] == 3 * sum(values[v]["bytes"] for v in conv["writes"])
    assert conv["read_bytes"] == 3 * sum(values[v]["bytes"] for v in conv["reads"]) + conv["packed_bytes"]
    assert conv["packed_bytes"] >= conv["weight_bytes"]
    machine = profile.machine
    assert machine is not None
    assert set(machine.arithmetic) == {r["kernel"] for r in rows if r["macs"]}
    assert all(peak.per_ns > 0 for peak in (*machine.arithmetic.values(), machine.read, machine.write))
    arithmetic = conv["macs"] / machine.arithmetic[conv["kernel"]].per_ns
    memory = conv["read_bytes"] / machine.read.per_ns + conv["write_bytes"] / machine.write.per_ns
    assert conv["roofline_ns"] == pytest.approx(max(arithmetic, memory))
    assert conv["bound"] == ("arithmetic" if arithmetic >= memory else "memory")
    assert profile.memory["total"] == sum(v for k, v in profile.memory.items() if k != "total")
    assert json.loads(json.dumps(profile.to_dict()))["totals"]["macs"] == sum(r["macs"] for r in rows)
    forced = Session(GOOD, kernel="bconv_portable").profile(x, ids, repeats=1)
    assert forced.machine is not None
    assert forced.machine.arithmetic["bconv_portable"].loop == "popcount_portable"
    fast = session.profile(x, ids, repeats=1, machine=False)
    assert fast.machine is None
    assert "roofline_ns" not in fast.ops[0]
    with pytest.raises(InputError, match="the batch is empty"):
        session.profile(x[:0], ids[:0])


def test_single_ops_compose_to_the_run() -> None:
    """Feeding each op what the ones before it gave equals the whole run."""
    session = Session(model().file())
    random = np.random.default_rng(1)
    x = random.standard_normal((3, 40, 4, 4)).astype(np.float32)
    ids = random.integers(0, 6, (3, 3)).astype(np.int32)
    have = {0: np.ascontiguousarray(x.transpose(0, 2, 3, 1))[:, None], 7: ids.reshape(3, 1, 1, 3, 1)}
    for op in session.ops():
        written = session.run_op(op["index"], {k: have[k] for k in op["reads"]})
        for key, array in written.items():
            have[key] = have[key] + array if op["kind"] == "COPY" and key in have else array
    y, rows = session.run(x, ids)
    np.testing.assert_array_equal(have[6].reshape(3, 5), y)
    np.testing.assert_array_equal(have[8].reshape(3, 3, 8), rows)
    assert have[1].dtype == np.bool_
    np.testing.assert_array_equal(have[1], have[0] >= 0)
    with pytest.raises(InputError, match="value 1 is missing"):
        session.run_op(1, {})
    with pytest.raises(TypeError, match=r"value 1 \(bits\) is float32; bool is expected"):
        session.run_op(1, {1: np.ones((1, 1, 4, 4, 40), np.float32)})
    with pytest.raises(InputError, match="value 1 has the shape"):
        session.run_op(1, {1: np.ones((1, 4, 4, 40), np.bool_)})
    with pytest.raises(InputError, match="op 8: the model has ops 0 to 7"):
        session.run_op(8, {})


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_one_session_shared_by_threads(threads: int) -> None:
    data, weight = image_model()
    session = Session(data, threads)
    batches = [images(n) for n in (1, 2, 7, 40)]
    expected = [expected_map(x, weight) for x in batches]
    failures: list[BaseException] = []

    def work(k: int) -> None:
        try:
            for i in range(25):
                j = (i + k) % 4
                np.testing.assert_array_equal(session.run(batches[j]), expected[j])
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(60)
        assert not w.is_alive()
    assert not failures


def test_sessions_of_several_threads_side_by_side() -> None:
    """Two pools on the same CPUs: neither deadlocks nor waits for the other."""
    data, weight = image_model()
    x = images(64)
    expected = expected_map(x, weight)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(5):
                session = Session(data, 2)
                for _ in range(10):
                    np.testing.assert_array_equal(session.run(x), expected)
        except BaseException as error:
            failures.append(error)

    workers = [threading.Thread(target=work) for _ in range(3)]
    for w in workers:
        w.start()
    for w in workers:
        w.join(60)
        assert not w.is_alive()
    assert not failures


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("pause", [0.0, 0.3])
def test_a_session_survives_fork(pause: float) -> None:
    """Forked at once, and when the workers have parked: the child must not destroy what they wait on."""
    code = """
import os, sys, time
import numpy as np
from bitwright.runtime import Session
session = Session(sys.argv[1], threads=2)
x = np.ones((50, 3, 6, 6), np.float32)
y = session.run(x)
time.sleep(float(sys.argv[2]))
child = os.fork()
if child == 0:
    same = bool((session.run(x) == y).all())
    del session
    os._exit(0 if same else 1)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 0, status
assert (session.run(x) == y).all()
"""
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".bwm") as file:
        file.write(image_model()[0])
        file.flush()
        subprocess.run([sys.executable, "-c", code, file.name, str(pause)], check=True, timeout=20)


def test_an_output_read_by_later_ops() -> None:
    """An output that lies in the caller's array and feeds a later op."""
    m = Builder()
    x = m.value("f32", (1, 1, 1, 6), role="input", axes=(4,))
    y = m.value("f32", (1, 1, 1, 6), role="output", axes=(4,))
    z = m.value("f32", (1, 1, 1, 6), role="output", axes=(4,))
    m.map(x, [b.affine(p0=2.0), b.store(y)])
    m.map(y, [b.add(x), b.store(z)])
    given = np.arange(18, dtype=np.float32).reshape(3, 6)
    first, second = Session(m.file()).run(given)
    np.testing.assert_array_equal(first, 2 * given)
    np.testing.assert_array_equal(second, 3 * given)


def test_import_is_light() -> None:
    heavy = "{'torch', 'onnx', 'onnxruntime', 'onnx_ir'}"
    code = f"import sys, bitwright.runtime; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_functional_bad_arguments() -> None:
    x = np.ones((1, 1, 4, 4, 8), np.float32)
    weight = np.zeros((3, 9, 1), np.uint32)
    good = {"out_channels": 3, "kernel": (1, 3, 3)}
    assert functional.binary_conv(x, weight, **good).shape == (1, 1, 2, 2, 3)
    cases: list[tuple[dict[str, object], str]] = [
        ({"kernel": (1, 3)}, "kernel is"),
        ({"kernel": (1, 5, 5)}, "does not fit the padded map"),
        ({"kernel": (1, 3, 1)}, r"uint32 \[3, 3, 1\] or uint8 \[3, 3, 4\] is expected"),
        ({"stride": 0}, "stride is 0"),
        ({"groups": 3}, "3 groups do not divide 8 input"),
        ({"pad_mode": "reflect"}, "known: 'constant', 'edge'"),
        ({"pad_value": 0.5}, "pad_value is 0.5"),
        ({"pad_value": -1.0, "low": 0.0}, r"pad_value is -1.0; for activations \{0, 1\}"),
        ({"low": 0.5}, "low is 0.5"),
        ({"threshold": np.zeros(3, np.float32)}, "threshold has 3 elements; 1 or 8"),
        ({"transposed": True, "pad_value": 1.0}, "a transposed convolution has only"),
        ({"output_padding": 1}, "only a transposed convolution has it"),
        ({"engine_kernel": "mmx"}, "unknown kernel 'mmx'"),
    ]
    for change, words in cases:
        with pytest.raises(ValueError, match=words):
            functional.binary_conv(x, weight, **{**good, **change})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bits past channel 8 are set"):
        functional.binary_conv(x, weight + np.uint32(256), **good)
    with pytest.raises(TypeError, match="x is float64"):
        functional.binary_conv(x.astype(np.float64), weight, **good)  # type: ignore[arg-type]


def test_time_op_times_every_op_alone() -> None:
    data, _ = image_model()
    session = Session(data, threads=2)
    for index in range(2):
        times = session.time_op(index, batch=3, repeats=4)
        assert len(times) == 4
        assert all(0 < t < 10**9 for t in times)
    for kernel in (k for k in kernels() if k["operation"] == "bconv" and k["supported"]):
        forced = Session(data, threads=1, kernel=kernel["name"])  # a sliced kernel has memory of its own
        assert all(forced.time_op(index, repeats=2) for index in range(2))
    with pytest.raises(ValueError, match="op 2: the model has ops 0 to 1"):
        session.time_op(2)
    with pytest.raises(ValueError, match="batch is 0"):
        session.time_op(0, batch=0)
    with pytest.raises(ValueError, match="repeats is 0"):
        session.time_op(0, repeats=0)


CORPUS = Path(__file__).resolve().parents[2] / "native/fuzz/corpus"


@pytest.mark.parametrize("kernel", [None, "bconv_gfni"])
@pytest.mark.parametrize("name", sorted(path.stem for path in CORPUS.glob("*.bwm")))
def test_time_op_gives_an_op_what_a_run_gives_it(name: str, kernel: str | None) -> None:
    """Bit-sliced convolutions and matrix products need memory that all threads share."""
    if kernel is not None and not next(k for k in kernels() if k["name"] == kernel)["supported"]:
        pytest.skip(f"this CPU has no {kernel}")
    session = Session(CORPUS / f"{name}.bwm", threads=2, kernel=kernel)
    for index in range(len(session.ops())):
        assert len(session.time_op(index, batch=2, repeats=1)) == 1
