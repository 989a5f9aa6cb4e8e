from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from bitwright.export import LatentLayerError, PackedFileError, freeze, load_packed, save_packed, use_reference_ops
from bitwright.files import write_atomically
from bitwright.nn import BinaryLinear

from .networks import ImageNet, image_net


def test_round_trip_into_a_model_made_by_the_caller(tmp_path: Path) -> None:
    packed = freeze(image_net())
    save_packed(packed, tmp_path / "net.safetensors")
    other = freeze(ImageNet())
    assert load_packed(other, tmp_path / "net.safetensors") is other
    x = torch.randn(2, 3, 8, 8)
    with use_reference_ops(), torch.no_grad():
        assert torch.equal(other(x), packed(x))
    assert os.listdir(tmp_path) == ["net.safetensors"]


def test_shared_tensors_and_bits_are_stored_once(tmp_path: Path) -> None:
    packed = freeze(image_net())
    save_packed(packed, tmp_path / "net.safetensors")
    stored = load_file(tmp_path / "net.safetensors")
    assert "again.conv.weight" not in stored
    assert stored["block2.conv.weight"].dtype == torch.uint8
    unique = {id(t): t.nbytes for t in packed.state_dict(keep_vars=True).values()}
    size = (tmp_path / "net.safetensors").stat().st_size
    assert sum(unique.values()) < size < sum(unique.values()) + 6000  # the rest is the header with the names


def test_latent_models_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LatentLayerError, match=r"block1\.conv \(BinaryConv2d\).*bw\.export\.freeze\(model\)"):
        save_packed(image_net(), tmp_path / "net.safetensors")
    save_packed(freeze(image_net()), tmp_path / "net.safetensors")
    with pytest.raises(LatentLayerError, match="load_packed needs a frozen model"):
        load_packed(image_net(), tmp_path / "net.safetensors")


def test_files_that_do_not_fit_are_refused_and_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_packed(freeze(nn.Sequential(BinaryLinear(8, 4))), path)
    for other, message in (
        (nn.Sequential(BinaryLinear(8, 4), nn.Linear(4, 2)), r"lacks \['1.bias', '1.weight'\]"),
        (nn.Sequential(nn.BatchNorm1d(3)), r"unknown \['0.scale', '0.threshold'\]"),
        (nn.Sequential(BinaryLinear(8, 5)), r"0.weight is torch.uint8 \[4, 4\], the model has torch.uint8 \[5, 4\]"),
    ):
        packed = freeze(other)
        before = {k: v.clone() for k, v in packed.state_dict().items()}
        with pytest.raises(PackedFileError, match=message):
            load_packed(packed, path)
        assert all(torch.equal(v, before[k]) for k, v in packed.state_dict().items())


def test_damaged_and_foreign_files_are_refused(tmp_path: Path) -> None:
    packed = freeze(nn.Sequential(BinaryLinear(8, 4)))
    path = tmp_path / "net.safetensors"
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_packed(packed, path)
    save_packed(packed, path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:7], whole[: len(whole) // 2], b"\xff" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(PackedFileError, match="not a safetensors file, or is damaged"):
            load_packed(packed, path)
    save_file(packed.state_dict(), path)
    with pytest.raises(PackedFileError, match="is not a packed model of version 1"):
        load_packed(packed, path)
    for aliases, message in (("{", "damaged metadata"), ('["a"]', "must map names"), ('{"a": "b"}', "does not hold b")):
        metadata = {"format": "bitwright-packed", "version": "1", "aliases": aliases}
        save_file(packed.state_dict(), path, metadata)
        with pytest.raises(PackedFileError, match=message):
            load_packed(packed, path)


def test_writing_is_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def broken(*args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FileNotFoundError, match="folder"):
        write_atomically(tmp_path / "missing" / "file", b"")
