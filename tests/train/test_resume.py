"""An interrupted run that is resumed equals an uninterrupted one, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from bitwright import train

Fit = Callable[..., Any]


def assert_same_state(a: Any, b: Any, where: str = "") -> None:
    """Every tensor, number and string in two nested states is equal."""
    assert type(a) is type(b), where
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            assert_same_state(a[key], b[key], f"{where}/{key}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same_state(x, y, f"{where}/{index}")
    else:
        assert a == b, where


@pytest.mark.parametrize("method", ["irnet", "reactnet"])
def test_two_plus_two_epochs_equal_four(fit: Fit, tmp_path: Path, method: str) -> None:
    network: dict[str, Any] = {"method": method}
    if method == "reactnet":
        network |= {"network": "binarycnn_s", "network_arguments": {"widths": [8, 16]}}
    whole, whole_trainer = fit("whole", 4, **network)
    fit("first", 2, **network)
    torch.manual_seed(99)  # the state of the world must not matter
    resumed, resumed_trainer = fit("second", 4, ckpt=tmp_path / "first" / "last.ckpt", **network)
    assert_same_state(resumed.state_dict(), whole.state_dict())
    assert_same_state(resumed.optimizers().state_dict(), whole.optimizers().state_dict())
    assert resumed_trainer.global_step == whole_trainer.global_step == 4 * 10
    a, b = (train.read_checkpoint(tmp_path / name / "last.ckpt") for name in ("whole", "second"))
    assert_same_state(a["state_dict"], b["state_dict"])
    assert_same_state(a["callbacks"]["BitStatistics"], b["callbacks"]["BitStatistics"])
    for name in ("flip_ratio", "dead_share", "valid_acc", "train_loss"):
        assert_same_state(whole_trainer.callback_metrics[name], resumed_trainer.callback_metrics[name], name)


def test_resume_inside_an_epoch(fit: Fit, tmp_path: Path) -> None:
    every = ModelCheckpoint(
        dirpath=tmp_path / "steps",
        filename="{step}",
        every_n_train_steps=13,
        save_top_k=-1,
        save_on_train_epoch_end=False,
    )
    whole, _ = fit("whole", 3, trainer={"callbacks": [every]})
    resumed, _ = fit("rest", 3, ckpt=tmp_path / "steps" / "step=13.ckpt", trainer={"callbacks": []})
    assert_same_state(resumed.state_dict(), whole.state_dict())


def test_another_seed_gives_another_run(fit: Fit) -> None:
    a, _ = fit("a", 1)
    b, _ = fit("b", 1, seed=1)
    assert not all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_resuming_with_another_network_is_refused(fit: Fit, tmp_path: Path) -> None:
    fit("a", 1)
    with pytest.raises(ValueError, match=r"another network: arguments is .*32, 32.* there and .*16, 16.* here"):
        fit("b", 2, ckpt=tmp_path / "a" / "last.ckpt", network_arguments={"hidden": [16, 16]})
