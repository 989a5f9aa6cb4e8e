"""A run that is small enough for tests."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from bitwright import data, train

warnings.filterwarnings("ignore", message=".*LeafSpec.*")

Fit = Callable[..., tuple[train.Classifier, Trainer]]


@pytest.fixture
def fit(tmp_path: Path) -> Fit:
    """fit(name, max_epochs, ckpt=None, trainer={}, **classifier arguments): digits; last.ckpt goes to tmp_path/name."""

    def run(
        name: str, max_epochs: int, ckpt: Path | None = None, trainer: dict[str, Any] | None = None, **arguments: Any
    ) -> tuple[train.Classifier, Trainer]:
        torch.manual_seed(0)
        module = data.create("digits", batch_size=128, val_size=144, augment=data.Augment(crop_padding=1))
        settings: dict[str, Any] = {
            "network": "mlp",
            "method": "irnet",
            "network_arguments": {"hidden": [32, 32], "dropout": 0.2},
            "num_classes": 10,
            "in_channels": 1,
            "image_size": 8,
            "epochs": 4,
            "optimizer": train.OptimizerConfig(lr=1e-2, weight_decay=1e-3),
            **arguments,
        }
        model = train.Classifier(**settings)
        options: dict[str, Any] = {
            "max_epochs": max_epochs,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "default_root_dir": tmp_path,
            "callbacks": [
                train.BitStatistics(),
                ModelCheckpoint(
                    dirpath=tmp_path / name,
                    filename="last",
                    save_on_train_epoch_end=True,
                    enable_version_counter=False,
                ),
            ],
            **(trainer or {}),
        }
        owner = Trainer(**options)
        owner.fit(model, datamodule=module, ckpt_path=ckpt, weights_only=True)
        return model, owner

    return run
