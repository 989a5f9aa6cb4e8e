"""Files of several parts: the engine's own reader refuses them, and damaged or hostile ones end in one clear error."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compiler import BwmFormatError, compile, inspect
from bitwright.compiler.partition.container import encode_container
from bitwright.runtime import ModelError, Session
from bitwright.runtime._load import native
from bitwright.runtime.container import HEADER, SECTION, Container

from .graphs import Builder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """conv, BinaryConv | Softmax | BinaryConv."""
    b = Builder((3, 6, 6))
    y = b.bconv(b.conv("x", 3, 16, pads=[1] * 4), 16, 32, pads=[1] * 4)
    path = tmp_path_factory.mktemp("container") / "net.bwm"
    compile(b.model(b.bconv(b.op("Softmax", y, axis=1), 32, 8)), path)
    return path.read_bytes()


def test_the_engine_refuses_it_and_says_what_to_do(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.bwm").write_bytes(data)
    with pytest.raises(ModelError, match=r"parts for onnxruntime: open it with Python's .*Session.*--native-only"):
        native.open_bytes(data, 1, "")
    with pytest.raises(ModelError, match=r"net\.bwm: the model has parts for onnxruntime"):
        native.open_file(str(tmp_path / "net.bwm"), 1, "")


def test_parts_are_aligned_and_checked(data: bytes, tmp_path: Path) -> None:
    container = Container(memoryview(data))
    assert [p.kind for p in container.parts] == [2, 3, 2]
    assert all(p.offset % 64 == 0 for p in container.parts)
    path = tmp_path / "net.bwm"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not a multiple of 64"):
        native.open_part(str(path), 32, 64, 1, "")
    with pytest.raises(ModelError, match="empty"):
        native.open_part(str(path), 1 << 40, 64, 1, "")
    # a byte in the middle of a native part: its own checksum finds it
    broken = bytearray(data)
    broken[container.parts[0].offset + container.parts[0].size // 2] ^= 1
    path.write_bytes(broken)
    for model in (path, bytes(broken)):
        with pytest.raises(ModelError, match="checksum"):
            Session(model)
    with pytest.raises(BwmFormatError, match="checksum"):
        inspect(path)


def rewritten(data: bytes, change: Callable[[dict[str, Any]], Any]) -> bytes:
    """The file with another manifest, and right checksums."""
    container = Container(memoryview(data))
    manifest = json.loads(json.dumps(container.manifest))
    change(manifest)
    kinds = [part["kind"] for part in container.manifest["parts"]]
    return encode_container(manifest, [(kind, container.bytes_of(i)) for i, kind in enumerate(kinds)])


HOSTILE: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda m: m.update(format=2), "format 1"),
    "no parts": (lambda m: m.update(parts=[]), "other parts"),
    "kind": (lambda m: m["parts"][0].update(kind="onnxruntime"), "another kind"),
    "cycle": (lambda m: m["parts"][0].update(inputs=m["parts"][2]["outputs"]), "no earlier part computes"),
    "twice": (lambda m: m["parts"][2].update(outputs=m["parts"][0]["outputs"]), "computes"),
    "no outputs": (lambda m: m.update(outputs=[]), "no part computes"),
    "unknown tensor": (lambda m: m["parts"][1].update(inputs=["nothing"]), "no list of known tensors"),
    "not a name": (lambda m: m.update(inputs=[3]), "no list of known tensors"),
    "dtype": (lambda m: next(iter(m["tensors"].values())).update(dtype="complex64"), "is wrong"),
    "huge": (lambda m: next(iter(m["tensors"].values())).update(shape=[2**70]), "is wrong"),
    "negative": (lambda m: next(iter(m["tensors"].values())).update(shape=[-1]), "is wrong"),
    "tensors": (lambda m: m.update(tensors=[1]), "lists no tensors"),
    "swapped": (lambda m: m["parts"][1]["inputs"].extend(m["inputs"]), "not those that the manifest says"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_manifests(data: bytes, name: str) -> None:
    change, text = HOSTILE[name]
    with pytest.raises(ModelError, match=text):
        Session(rewritten(data, change))


def test_versions_and_sizes(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "net.bwm"
    wrong = [(8, 2, "newer"), (10, 9, "newer"), (12, 1, "sections"), (13, 2, "truncated"), (32, 1, "reserved")]
    for at, value, text in wrong:
        head = bytearray(data[:64])
        head[at] = value
        head[28:32] = zlib.crc32(head[:28]).to_bytes(4, "little")
        path.write_bytes(bytes(head) + data[64:])
        with pytest.raises(ModelError, match=text):
            Session(path)
        with pytest.raises(BwmFormatError, match=text):
            inspect(path)
    with pytest.raises(ModelError, match="bytes"):
        Session(data + b"\0")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_mutants(data: bytes, draw: st.DataObject) -> None:
    """Cut, or with changed bytes; sometimes with checksums made right again: an error, or a model that opens."""
    mutant = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        mutant[draw.draw(st.integers(8, len(mutant) - 1))] = draw.draw(st.integers(0, 255))
    if draw.draw(st.booleans()):
        mutant = mutant[: draw.draw(st.integers(8, len(mutant)))]
    if draw.draw(st.booleans()) and len(mutant) > 2000:
        _mend(mutant)
    with contextlib.suppress(ModelError):  # any other exception is a defect
        Session(bytes(mutant))


def _mend(data: bytearray) -> None:
    count = min(HEADER.unpack_from(data)[3], (len(data) - 64) // SECTION.size)
    for i in range(count):
        at = 64 + 32 * i
        kind, _, offset, size, zero = SECTION.unpack_from(data, at)
        crc = 0 if kind == 2 else zlib.crc32(data[offset : offset + size])
        SECTION.pack_into(data, at, kind, crc, offset, size, zero)
    data[24:28] = zlib.crc32(data[64 : 64 + 32 * count]).to_bytes(4, "little")
    data[28:32] = zlib.crc32(data[:28]).to_bytes(4, "little")


def test_without_onnxruntime_one_error_says_what_to_install(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "net.bwm").write_bytes(data)
    code = (
        "import sys; sys.modules['onnxruntime'] = None\n"
        "import bitwright.runtime as r\n"
        f"try:\n  r.Session({str(tmp_path / 'net.bwm')!r})\n"
        "except ImportError as e:\n  assert 'pip install onnxruntime' in str(e), e\n"
        "else:\n  raise SystemExit('no error')\n"
        "assert 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_profile_ops_and_tuning(data: bytes) -> None:
    session = Session(data, threads=2)
    x = np.zeros((3, 3, 6, 6), np.float32)
    profile = session.profile(x, repeats=2)
    assert [p["kind"] for p in profile.parts] == ["native", "onnxruntime", "native"]
    assert [p["boundary_copies"] for p in profile.parts] == [0, 1, 1]
    assert [p["boundary_bytes"] for p in profile.parts] == [0, 3 * 32 * 36 * 4, 3 * 32 * 36 * 4]
    assert len(profile.ops) == len(session.ops())
    assert [op["index"] for op in profile.ops] == list(range(len(profile.ops)))
    assert sum(op["kind"] == "ONNX" for op in profile.ops) == 1
    where = next(op["index"] for op in profile.ops if op["kind"] == "ONNX")
    with pytest.raises(ValueError, match="runs in onnxruntime as a whole"):
        session.time_op(where)
    assert len(session.time_op(where + 1, repeats=3)) == 3
    tuned = session.tune(cache=False)
    assert all(session.ops()[t["index"]]["kind"] == t["kind"] for t in tuned)
    assert session.facts["file_bytes"] == len(data)
    for op in session.ops():
        if op["kind"] != "ONNX":
            break
    reads = {v: np.zeros((1, *session.values()[v]["dims"]), np.float32) for v in op["reads"]}
    assert set(session.run_op(op["index"], reads)) == set(op["writes"])


def test_one_session_shared_by_threads(data: bytes) -> None:
    session = Session(data, threads=2)
    r = np.random.default_rng(0)
    inputs = [r.standard_normal((n, 3, 6, 6)).astype(np.float32) for n in (1, 2, 3, 4) * 4]
    alone = [session.run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(alone, pool.map(session.run, inputs), strict=True):
            np.testing.assert_array_equal(a, b)
