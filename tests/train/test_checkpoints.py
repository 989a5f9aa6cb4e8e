"""Checkpoints hold tensors and plain types, rebuild their network alone, and cannot run code."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bitwright import data, train
from bitwright.train.classifier import plain

Fit = Callable[..., Any]


def test_a_checkpoint_alone_rebuilds_the_network(fit: Fit, tmp_path: Path) -> None:
    model, _ = fit("run", 1)
    network, recipe = train.load_checkpoint(tmp_path / "run" / "last.ckpt")
    assert not network.training
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(network(x), model.eval()(x))
    assert recipe["network"] == {
        "name": "mlp",
        "num_classes": 10,
        "in_channels": 1,
        "method": "irnet",
        "method_options": {},
        "arguments": {"hidden": [32, 32], "dropout": 0.2, "image_size": 8},
    }
    assert recipe["data"]["name"] == "digits"
    arguments = dict(recipe["data"]["arguments"])
    arguments["augment"] = data.Augment(**arguments["augment"])
    again = data.create("digits", **arguments)
    assert train.evaluate(network, again.test_dataloader()).images == 360


def test_checkpoints_hold_plain_types_only(fit: Fit, tmp_path: Path) -> None:
    fit("run", 1)
    checkpoint = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)

    def walk(value: Any, where: str) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(item, f"{where}/{key}")
        elif isinstance(value, (list, tuple)):
            for index, item in enumerate(value):
                walk(item, f"{where}/{index}")
        else:
            assert value is None or type(value) in (bool, int, float, str) or isinstance(value, torch.Tensor), where

    walk(checkpoint["bitwright"], "bitwright")
    assert plain(checkpoint["bitwright"]) == checkpoint["bitwright"]


class Evil:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("form", ["torch", "pickle"])
def test_a_hostile_checkpoint_runs_no_code(fit: Fit, tmp_path: Path, form: str) -> None:
    proof, path = tmp_path / "executed", tmp_path / "evil.ckpt"
    payload = {"state_dict": {}, "bitwright": Evil(proof)}
    if form == "torch":
        torch.save(payload, path)
    else:
        path.write_bytes(pickle.dumps(payload))
    with pytest.raises(
        train.CheckpointError, match=r"evil\.ckpt is not a checkpoint of tensors and plain types"
    ) as caught:
        train.load_checkpoint(path)
    assert "weights_only" not in str(caught.value), "torch's advice to load everything is not passed on"
    with pytest.raises(train.CheckpointError):
        fit("from", 1, init_from=str(path))
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        fit("resume", 1, ckpt=path)
    assert not proof.exists()


def test_bad_files_give_one_clear_error(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        train.load_checkpoint(tmp_path / "none.ckpt")
    for content in (b"", b"not a checkpoint", b"PK\x03\x04 half a zip"):
        (tmp_path / "bad.ckpt").write_bytes(content)
        with pytest.raises(train.CheckpointError, match=r"bad\.ckpt"):
            train.load_checkpoint(tmp_path / "bad.ckpt")
    fit("run", 1)
    good = tmp_path / "run" / "last.ckpt"
    whole = good.read_bytes()
    (tmp_path / "short.ckpt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(train.CheckpointError, match=r"short\.ckpt"):
        train.load_checkpoint(tmp_path / "short.ckpt")

    def changed(**changes: Any) -> Path:
        checkpoint = torch.load(good, weights_only=True)
        checkpoint["bitwright"].update(changes)
        torch.save(checkpoint, tmp_path / "changed.ckpt")
        return tmp_path / "changed.ckpt"

    with pytest.raises(train.CheckpointError, match="format 2; this version reads 1"):
        train.load_checkpoint(changed(format=2))
    network = train.read_checkpoint(good)["bitwright"]["network"]
    with pytest.raises(train.CheckpointError, match="does not fit this network"):
        train.load_checkpoint(changed(network={**network, "arguments": {"hidden": [64, 32], "image_size": 8}}))
    with pytest.raises(train.CheckpointError, match="describes its network wrongly"):
        train.load_checkpoint(changed(network={"name": "mlp"}))
    with pytest.raises(ValueError, match=r"unknown network 'os\.system'"):
        train.load_checkpoint(changed(network={**network, "name": "os.system"}))
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    with pytest.raises(train.CheckpointError, match="was not written by `bitwright train`"):
        train.load_checkpoint(tmp_path / "foreign.ckpt")


def test_init_from_is_strict(fit: Fit, tmp_path: Path) -> None:
    fit("one", 1)
    with pytest.raises(train.CheckpointError, match="does not fit this network"):
        fit("two", 1, init_from=str(tmp_path / "one" / "last.ckpt"), network_arguments={"hidden": [64, 32]})


def test_plain_refuses_objects() -> None:
    assert plain({"a": (1, [2.5, None]), "b": True}) == {"a": [1, [2.5, None]], "b": True}
    with pytest.raises(TypeError, match="Path"):
        plain({"path": Path("x")})
