"""Data sets, splits, loaders, augmentation."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitwright import data
from bitwright.data import root as data_root_module
from bitwright.data.augment import random_crop, random_erase
from bitwright.data.cifar10 import CLASSES, JPEG, _decode, parse_records
from bitwright.data.idx import read_idx_gz
from bitwright.data.loader import EvalLoader, Normalize, TrainLoader, stream_seed
from bitwright.data.root import DataError, RemoteFile, fetch
from bitwright.data.split import stratified_split


def present(name: str, **arguments: object) -> data.ImageData:
    """The data module, or a skip that says what is missing."""
    module = data.create(name, **arguments)
    needed = {
        "mnist": "train-images-idx3-ubyte.gz",
        "fashion": "train-images-idx3-ubyte.gz",
        "cifar10": JPEG["train"].name,
    }
    if name in needed and not (module.folder / needed[name]).is_file():
        pytest.skip(f"data set {name} is not at {module.folder}")
    return module


# The sets --------------------------------------------------------------------------------------------------------


def test_digits_split_is_fixed_and_disjoint() -> None:
    module = data.create("digits", val_size=144)
    sizes = {s: len(module.split(s)[0]) for s in ("train", "val", "test")}
    assert sizes == {"train": 1437 - 144, "val": 144, "test": 360}
    everything = torch.cat([module.split(s)[0] for s in ("train", "val", "test")]).reshape(1797, -1)
    from sklearn.datasets import load_digits

    original = torch.from_numpy(load_digits().data.astype(np.uint8))
    assert sorted(map(tuple, everything.tolist())) == sorted(map(tuple, original.tolist()))
    test_images = hashlib.sha256(module.split("test")[0].numpy().tobytes()).hexdigest()
    assert test_images == DIGITS_TEST_SHA256, "the documented split changed: published figures would not compare"


DIGITS_TEST_SHA256 = "d568bbcd98c217835d1b5848872221303424e2c6fd6a003c15600c10a6eabab1"


@pytest.mark.data
@pytest.mark.parametrize("name", ["mnist", "fashion"])
def test_idx_sets_have_published_checksums_and_facts(name: str) -> None:
    module = present(name)
    for file in type(module).files.values():
        path = module.folder / file.name
        assert f"md5:{hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()}" == file.checksum
    check_facts(module)


@pytest.mark.data
@pytest.mark.slow
def test_cifar10_jpeg_copy() -> None:
    module = present("cifar10", variant="jpeg")
    check_facts(module)
    assert module.facts.title == "CIFAR-10 (JPEG copy, 8,000 test images)"
    assert module.split("test")[1].bincount().tolist() == [800] * 10


def test_digits_facts() -> None:
    check_facts(data.create("digits"))


def check_facts(module: data.ImageData) -> None:
    images, labels = module.split("train")
    facts = module.facts
    assert images.shape == (facts.train, *facts.shape)
    assert module.split("test")[0].shape == (facts.test, *facts.shape)
    assert images.dtype == torch.uint8
    assert sorted(labels.unique().tolist()) == list(range(facts.num_classes))
    scaled = images.double() / facts.max_value
    assert scaled.mean((0, 2, 3)).tolist() == pytest.approx(facts.mean, abs=6e-5)
    assert scaled.std((0, 2, 3), correction=0).tolist() == pytest.approx(facts.std, abs=6e-5)
    normal = module.normalize(images[:: max(1, len(images) // 2000)])  # evenly: some sets are sorted by class
    assert normal.dtype == torch.float32
    assert abs(float(normal.mean())) < 0.1


def test_registry_errors() -> None:
    with pytest.raises(data.UnknownDatasetError, match=r"'minst'; known: cifar10, digits, fashion, mnist"):
        data.create("minst")
    with pytest.raises(TypeError, match=r"does not take variant; it takes: root, batch_size"):
        data.create("digits", variant="jpeg")
    with pytest.raises(ValueError, match="val_size=2000 leaves none"):
        data.create("digits", val_size=2000).setup()
    with pytest.raises(ValueError, match="unknown split 'dev'; known: train, val, test"):
        data.create("digits").split("dev")
    with pytest.raises(ValueError, match="unknown CIFAR-10 variant 'png'"):
        data.create("cifar10", variant="png")
    for name, value, what in (("batch_size", 0, "batch sizes"), ("val_size", -1, "val_size"), ("seed", -1, "seed")):
        with pytest.raises(ValueError, match=f"{what}.*{value}"):
            data.create("digits", **{name: value})


# Missing and damaged files ---------------------------------------------------------------------------------------


def test_missing_set_without_network_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(data_root_module.urllib.request, "urlopen", no_network)
    with pytest.raises(DataError) as caught:
        data.create("fashion", root=str(tmp_path)).setup()
    message = str(caught.value)
    for part in (
        "train-images-idx3-ubyte.gz",
        str(tmp_path / "fashion-mnist"),
        "8d4fb7e6",
        "BITWRIGHT_DATA",
        "no network",
    ):
        assert part in message
    assert list((tmp_path / "fashion-mnist").iterdir()) == [], "a temporary file was left behind"


def test_jpeg_copy_has_no_download_and_is_never_a_silent_substitute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DataError, match="no official download"):
        data.create("cifar10", root=str(tmp_path), variant="jpeg").setup()
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for file in JPEG.values():
        (folder / file.name).write_bytes(b"")
    monkeypatch.setattr(
        data_root_module.urllib.request, "urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("x"))
    )
    with pytest.raises(DataError, match="variant=jpeg"):
        data.create("cifar10", root=str(tmp_path)).setup()


class Response(io.BytesIO):
    """What urlopen returns."""


def test_download_is_checked_and_atomic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"the official bytes"
    good = RemoteFile("file.bin", f"md5:{hashlib.md5(content).hexdigest()}", ("http://a/x", "http://b/x"))
    asked = []

    def serve(request: object, timeout: float) -> Response:
        asked.append(request.full_url)  # type: ignore[attr-defined]
        return Response(b"tampered" if len(asked) == 1 else content)

    monkeypatch.setattr(data_root_module.urllib.request, "urlopen", serve)
    path = fetch(tmp_path, good, "test set")
    assert asked == ["http://a/x", "http://b/x"], "a wrong file must not be accepted; the next address is tried"
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["file.bin"]
    path.write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"damaged or not the official file.*md5"):
        fetch(tmp_path, good, "test set")


def test_root_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITWRIGHT_DATA", str(tmp_path / "env"))
    assert data.data_root("given") == Path("given")
    assert data.data_root() == tmp_path / "env"
    monkeypatch.delenv("BITWRIGHT_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.data_root() == tmp_path / "bitwright" / "data"


def test_idx_reader_round_trip_and_bad_files(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    header = bytes([0, 0, 8, 3]) + np.array(array.shape, ">u4").tobytes()
    path = tmp_path / "x.gz"

    def write(blob: bytes) -> Path:
        path.write_bytes(gzip.compress(blob))
        return path

    assert np.array_equal(read_idx_gz(write(header + array.tobytes())), array)
    with pytest.raises(DataError, match="holds 23 bytes"):
        read_idx_gz(write(header + array.tobytes()[:-1]))
    with pytest.raises(DataError, match="not an IDX file"):
        read_idx_gz(write(b"\x00\x00\x0d\x01" + bytes(8)))
    with pytest.raises(DataError, match="inside its header"):
        read_idx_gz(write(header[:8]))
    path.write_bytes(b"not gzip")
    with pytest.raises(DataError, match="gzip"):
        read_idx_gz(path)
    whole = gzip.compress(header + array.tobytes())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="gzip"):
        read_idx_gz(path)


def test_cifar_records() -> None:
    record = bytes([3]) + bytes([10]) * 1024 + bytes([20]) * 1024 + bytes([30]) * 1024
    images, labels = parse_records(record * 2, "x.bin")
    assert images.shape == (2, 3, 32, 32)
    assert images[1, :, 5, 5].tolist() == [10, 20, 30]
    assert labels.tolist() == [3, 3]
    with pytest.raises(DataError, match="3072 bytes"):
        parse_records(record[:-1], "x.bin")
    with pytest.raises(DataError, match="label 10"):
        parse_records(bytes([10]) + record[1:], "x.bin")


def test_cifar_official_binary_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "cifar10" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    for index, name in enumerate([f"data_batch_{n}.bin" for n in range(1, 6)] + ["test_batch.bin"]):
        (folder / name).write_bytes((bytes([index]) + bytes([index]) * 3072) * 10000)
    module = data.create("cifar10", root=str(tmp_path))
    images, labels = module.split("train")
    assert images.shape == (50000, 3, 32, 32)
    assert labels[::10000].tolist() == [0, 1, 2, 3, 4]
    assert module.split("test")[1].unique().tolist() == [5]


def test_jpeg_archive_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name, grey in (("dog/0001", 90), ("airplane/0000", 10), ("dog/0000", 60)):
            out = io.BytesIO()
            Image.new("RGB", (32, 32), (grey, grey, grey)).save(out, "JPEG", quality=95)
            member = tarfile.TarInfo(f"train/{name}.jpg")
            member.size = len(out.getvalue())
            archive.addfile(member, io.BytesIO(out.getvalue()))
    images, labels = _decode(path)
    assert labels.tolist() == [0, CLASSES.index("dog"), CLASSES.index("dog")]
    assert [int(i.mean().round()) for i in images] == pytest.approx([10, 60, 90], abs=1)


# Splits, loaders, augmentation -----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=80).flatmap(
        lambda labels: st.tuples(st.just(labels), st.integers(0, len(labels)))
    )
)
def test_stratified_split_properties(case: tuple[list[int], int]) -> None:
    labels, held_out = np.array(case[0]), case[1]
    first, second = stratified_split(labels, held_out)
    assert len(second) == held_out
    assert sorted([*first, *second]) == list(range(len(labels)))
    for value in np.unique(labels):
        share = (labels == value).sum() * held_out / len(labels)
        assert abs((labels[second] == value).sum() - share) < 1
    again = stratified_split(labels, held_out)
    assert np.array_equal(again[1], second)


def loader(seed: int = 0, batch_size: int = 8, number: int = 30) -> TrainLoader:
    images = torch.arange(number, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    augment = data.Augment(crop_padding=1, horizontal_flip=True, erase=2)
    return TrainLoader(images, torch.arange(number), batch_size, Normalize((0.0,), (1.0,), 1), augment, seed)


def epoch(source: TrainLoader, number: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    source.sampler.set_epoch(number)
    return list(source)


def same(a: list[tuple[torch.Tensor, torch.Tensor]], b: list[tuple[torch.Tensor, torch.Tensor]]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(p, q) for x, y in zip(a, b, strict=True) for p, q in zip(x, y, strict=True)
    )


def test_epochs_depend_on_seed_and_epoch_only() -> None:
    reference = epoch(loader(), 3)
    other = loader()
    epoch(other, 0)
    torch.manual_seed(123)
    assert same(epoch(other, 3), reference)
    assert same(epoch(other, 3), reference), "the same epoch again gives the same batches"
    assert not same(epoch(loader(), 4), reference)
    assert not same(epoch(loader(seed=1), 3), reference)
    assert len(reference) == 3
    labels = torch.cat([y for _, y in reference])
    assert len(labels.unique()) == 24


def test_loader_resumes_inside_an_epoch() -> None:
    reference = epoch(loader(), 2)
    interrupted = loader()
    interrupted.set_epoch(2)
    iterator = iter(interrupted)
    next(iterator)
    state = interrupted.state_dict()
    resumed = loader()
    resumed.load_state_dict(state)
    resumed.set_epoch(2)
    assert same(list(resumed), reference[1:])
    assert same(epoch(resumed, 3), epoch(loader(), 3))


def test_a_set_smaller_than_a_batch_gives_one_batch() -> None:
    assert [len(y) for _, y in loader(batch_size=64)] == [30]
    with pytest.raises(ValueError, match="no training images"):
        loader(number=0)


@pytest.mark.parametrize(("world", "batch"), [(1, 7), (2, 7), (3, 4)])
def test_processes_share_the_images(world: int, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, lengths, trained = [], [], []
    for rank in range(world):
        monkeypatch.setattr("bitwright.data.loader._rank_and_world", lambda rank=rank: (rank, world))
        images = torch.zeros(31, 1, 2, 2, dtype=torch.uint8)
        source = EvalLoader(images, torch.arange(31), batch, Normalize((0.0,), (1.0,), 1))
        batches = [y for _, y in source]
        assert len(batches) == len(source)
        assert max(map(len, batches)) <= batch
        lengths.append(len(batches))
        seen += torch.cat(batches).tolist()
        trained += torch.cat([y for _, y in epoch(loader(batch_size=4), 1)]).tolist()
    assert sorted(seen) == list(range(31))
    assert len(set(lengths)) == 1
    assert len(trained) == len(set(trained)), "two processes trained on the same image"


def test_random_crop_shifts_every_image_by_its_own_offset() -> None:
    images = torch.randint(1, 255, (40, 2, 6, 5), dtype=torch.uint8)
    out = random_crop(images, 2, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    offsets = set()
    for image, source in zip(out, padded, strict=True):
        found = [(r, c) for r in range(5) for c in range(5) if torch.equal(source[:, r : r + 6, c : c + 5], image)]
        assert len(found) == 1
        offsets.add(found[0])
    assert len(offsets) > 10


def test_random_erase_blanks_one_square() -> None:
    out = random_erase(torch.ones(50, 1, 8, 8, dtype=torch.uint8), 4, torch.Generator().manual_seed(0))
    for image in out[:, 0]:
        rows, columns = (image == 0).any(1), (image == 0).any(0)
        assert int((image == 0).sum()) == int(rows.sum()) * int(columns.sum()) > 0
        assert max(int(rows.sum()), int(columns.sum())) <= 4


def test_augment_rejects_negative_sizes_and_does_nothing_by_default() -> None:
    images = torch.randint(0, 255, (4, 1, 8, 8), dtype=torch.uint8)
    assert torch.equal(data.Augment()(images, torch.Generator()), images)
    with pytest.raises(ValueError, match=">= 0"):
        data.Augment(crop_padding=-1)


def test_streams_differ() -> None:
    seeds = {stream_seed(a, b, c) for a in range(4) for b in range(4) for c in range(4)}
    assert len(seeds) == 64
    assert all(0 <= s < 2**63 for s in seeds)
