"""Damaged .tflite files: one clear error, never a crash, a hang, or memory without bound."""

from __future__ import annotations

import contextlib
import random
import struct
import time
from pathlib import Path

import pytest

from bitwright import importers
from bitwright.importers.larq.reader import DAMAGE, flexbuffer_integers

FIXTURES = Path(__file__).parent / "fixtures" / "larq"
SMALL = ("same_one", "packed_chain", "max_pools", "standard_float", "quantized_int8_boundary")


def attempt(path: Path, data: bytes) -> str:
    """What the import says: "" when it succeeds."""
    path.write_bytes(data)
    start = time.process_time()
    try:
        importers.load(path, format="larq")
        return ""
    except importers.ImportModelError as error:
        return str(error)
    finally:
        assert time.process_time() - start < 20


@pytest.mark.parametrize("name", SMALL)
def test_every_truncation_is_refused(name: str, tmp_path: Path) -> None:
    data = (FIXTURES / f"{name}.tflite").read_bytes()
    generator = random.Random(3)
    lengths = sorted({*range(0, 64, 7), *(generator.randrange(len(data)) for _ in range(60))})
    said = [attempt(tmp_path / "cut.tflite", data[:n]) for n in lengths]
    assert all(said[:-5]), "a file without its end was taken"  # the very end may be a table that nobody reads
    assert all("cut.tflite" in text for text in said if text)


@pytest.mark.parametrize("name", SMALL)
def test_mutants_end_in_an_error_or_in_a_model(name: str, tmp_path: Path) -> None:
    data = (FIXTURES / f"{name}.tflite").read_bytes()
    generator = random.Random(name)
    refused = 0
    for _ in range(400):
        mutant = bytearray(data)
        for _ in range(generator.choice((1, 1, 2, 8))):
            at = generator.randrange(len(mutant) // 4) * 4
            if generator.random() < 0.5:
                mutant[at + generator.randrange(4)] = generator.randrange(256)
            else:
                value = generator.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(data), generator.randrange(64)))
                struct.pack_into("<I", mutant, at, value)
        if generator.random() < 0.1:
            start = generator.randrange(len(mutant))
            mutant[start : start + generator.randrange(64)] = b""
        refused += bool(attempt(tmp_path / "mutant.tflite", bytes(mutant)))
    assert refused > 20  # otherwise the mutations hit nothing that matters


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x24\x24\x01", bytes(64), b"\xff" * 64, b"\x01\x00\x01\x26\x01", b"\x00\x00\x24\x01"],
)
def test_options_that_are_no_map(data: bytes) -> None:
    with contextlib.suppress(*DAMAGE):  # which become one error
        assert len(flexbuffer_integers(data)) <= 64


def test_unknown_operators_are_all_listed(tmp_path: Path) -> None:
    data = (FIXTURES / "packed_chain.tflite").read_bytes()
    said = attempt(tmp_path / "net.tflite", data.replace(b"LceBconv2d", b"LceFoobar2"))
    assert "5 of its 6 nodes have no counterpart: LceFoobar2 (5)" in said
    assert "LceBconv2d" in said  # among those that are supported


def test_an_other_file_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1234TFL4" + bytes(100))
    with pytest.raises(importers.ImportModelError, match="no known format"):
        importers.load(tmp_path / "x")
    assert "no .tflite file" in attempt(tmp_path / "x", b"1234TFL4" + bytes(100))
