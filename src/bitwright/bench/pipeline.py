"""Checkpoint -> ONNX -> `.bwm`, with what the command and the quickstart share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from bitwright.data import DatasetFacts

INPUT_KEY = "bitwright.input"


def input_metadata(facts: DatasetFacts) -> dict[str, str]:
    """How a data set's pixels are prepared, as ONNX metadata; `bitwright run` reads it back from the compiled file."""
    entry = {
        "dataset": facts.name,
        "mean": list(facts.mean),
        "std": list(facts.std),
        "maximum": facts.max_value,
        "classes": list(facts.classes),
    }
    return {INPUT_KEY: json.dumps(entry)}


def export_network(
    network: nn.Module, path: str | os.PathLike[str], facts: DatasetFacts, *, opset: int | None = None
) -> Path:
    """Freeze a trained network (a purely float one stays as it is) and write it as ONNX for a data set's images."""
    import torch

    from bitwright import export

    example = torch.zeros(2, *facts.shape)
    frozen = export.freeze(network) if export.latent_layers(network) else network.eval()
    export.to_onnx(
        frozen,
        example,
        path,
        input_names=["image"],
        output_names=["logits"],
        opset=opset,
        metadata=input_metadata(facts),
    )
    return Path(path)


def load_trained(checkpoint: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any], DatasetFacts]:
    """The trained network of a checkpoint, its recipe and the facts of its data set.

    Raises:
        ValueError: the run did not use a registered data set, so the input's shape is unknown.
    """
    from bitwright import data, train

    network, recipe = train.load_checkpoint(checkpoint)
    entry = recipe.get("data")
    if not entry:
        raise ValueError(
            f"{checkpoint}: the run used no registered data set, so the input's shape is not known; "
            "use bitwright.train.load_checkpoint and bitwright.export.to_onnx from Python"
        )
    return network, recipe, data.facts(entry["name"])


def export_checkpoint(
    checkpoint: str | os.PathLike[str], path: str | os.PathLike[str], *, opset: int | None = None
) -> Path:
    """Freeze a checkpoint's network and write it as ONNX."""
    network, _, facts = load_trained(checkpoint)
    return export_network(network, path, facts, opset=opset)


def float_twin(recipe: dict[str, Any]) -> nn.Module:
    """The same topology, unbinarized (float convolutions, ReLU), with random weights: for sizes and latencies."""
    from bitwright import models

    network = recipe["network"]
    twin = models.create(
        network["name"],
        num_classes=network["num_classes"],
        in_channels=network["in_channels"],
        method=None,
        **network["arguments"],
    )
    return twin.eval()


def prepared_test_images(
    recipe: dict[str, Any], root: str | None = None, limit: int | None = None, pixels: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The prepared test images [N,C,H,W] (float32; with `pixels` as they are, uint8) and labels [N] of a recipe's data
    set; `limit`: the first ones."""
    from bitwright import data

    entry = recipe["data"]
    training_only = ("augment", "batch_size", "val_size", "seed")
    arguments = {k: v for k, v in entry.get("arguments", {}).items() if k not in training_only}
    module = data.create(entry["name"], **{**arguments, "root": root})
    images, labels = module.split("test")
    count = len(images) if limit is None else min(limit, len(images))
    return images[:count] if pixels else module.normalize(images[:count]), labels[:count]
