"""Checkpoints: read without unpickling objects, and enough to rebuild the network from the file alone."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from bitwright import models
from bitwright.binarize import get_method

KEY = "bitwright"
FORMAT = 1
PREFIX = "network."


class CheckpointError(ValueError):
    """The file is not a checkpoint that this version can read, or does not fit; the message says which and why."""


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a checkpoint with `weights_only=True`: tensors and plain types only, so a hostile file cannot run code.

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: not a checkpoint, or one with other objects in it.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError) as error:
        # torch's own text advises to unpickle everything; that is not what a user with a strange file should do
        raise CheckpointError(
            f"{path} is not a checkpoint of tensors and plain types: it is no PyTorch file, is damaged, or holds "
            "objects that would run code when loaded; bitwright loads none of these"
        ) from error
    if not isinstance(checkpoint, dict):
        raise CheckpointError(f"{path} holds a {type(checkpoint).__name__}, not a checkpoint")
    return checkpoint


def read_recipe(checkpoint: dict[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `bitwright train` stored about the run: {"format", "network", "data", "model", "seed"}.

    Raises:
        CheckpointError: it was written by something else, or by a newer version.
    """
    recipe = checkpoint.get(KEY)
    if not isinstance(recipe, dict) or "network" not in recipe or "state_dict" not in checkpoint:
        raise CheckpointError(f"{path} was not written by `bitwright train`: it does not say which network it holds")
    if recipe.get("format") != FORMAT:
        raise CheckpointError(f"{path} has checkpoint format {recipe.get('format')!r}; this version reads {FORMAT}")
    return recipe


def build_network(network: dict[str, Any]) -> nn.Module:
    """A network from its stored description: {"name", "num_classes", "in_channels", "method", "method_options",
    "arguments"}. Only registered networks and methods can be named."""
    method = network["method"]
    if method is not None and network.get("method_options"):
        method = get_method(method, **network["method_options"])
    return models.create(
        network["name"],
        num_classes=network["num_classes"],
        in_channels=network["in_channels"],
        method=method,
        **network["arguments"],
    )


def network_state(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The network's state_dict out of a checkpoint's."""
    return {
        name.removeprefix(PREFIX): value for name, value in checkpoint["state_dict"].items() if name.startswith(PREFIX)
    }


def load_strictly(network: nn.Module, state: dict[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Loads every tensor of `state` into `network`; nothing may be left over on either side.

    Raises:
        CheckpointError: names or shapes differ; the message lists some of them.
    """
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        lines = str(error).splitlines()
        detail = " ".join(line.strip() for line in lines[1:4]) or lines[0]
        raise CheckpointError(f"{path} does not fit this network: {detail[:600]}") from error


def load_checkpoint(path: str | os.PathLike[str]) -> tuple[nn.Module, dict[str, Any]]:
    """Rebuilds the trained network from a checkpoint alone.

    Args:
        path: written by `bitwright train`.

    Returns:
        (network in eval mode on the CPU, recipe): the recipe is a dict of plain types with the keys "network" (name,
        num_classes, in_channels, method, method_options, arguments), "data" (name, arguments; None if the run did not
        use a registered data set), "model" (the other settings of the run) and "seed".

    Raises:
        FileNotFoundError: no such file.
        CheckpointError: damaged, not ours, newer, or it does not fit its own description.
    """
    checkpoint = read_checkpoint(path)
    recipe = read_recipe(checkpoint, path)
    try:
        network = build_network(recipe["network"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path} describes its network wrongly: {error}") from error
    load_strictly(network, network_state(checkpoint), path)
    return network.eval(), recipe
