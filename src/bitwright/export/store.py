"""Frozen models on disk: one safetensors file of buffers and parameters. Nothing is pickled or unpickled."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from bitwright.export.freezing import check_frozen
from bitwright.files import write_atomically

FORMAT = "bitwright-packed"
VERSION = "1"

M = TypeVar("M", bound=nn.Module)


class PackedFileError(ValueError):
    """A file that does not hold the weights of the given frozen model."""


def save_packed(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Writes the tensors of a frozen model; binary weights take 1 bit. The file appears whole or not at all.

    Tensors that modules share are stored once.

    Raises:
        LatentLayerError: a binary layer is not frozen.
    """
    from safetensors.torch import save

    check_frozen(model, "save_packed")
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    first: dict[int, str] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        owner = first.setdefault(id(value), name)
        if owner == name:
            tensors[name] = value.detach().cpu().contiguous().clone()
        else:
            aliases[name] = owner
    metadata = {"format": FORMAT, "version": VERSION, "aliases": json.dumps(aliases)}
    write_atomically(path, save(tensors, metadata))


def load_packed(model: M, path: str | os.PathLike[str]) -> M:
    """Fills a frozen model of the same architecture, made by the caller (`freeze(models.create(...))`), and returns it.

    Raises:
        LatentLayerError: a binary layer of `model` is not frozen.
        PackedFileError: the file is damaged, of another kind or version, or does not fit the model, which stays as it
            was.
        FileNotFoundError: no such file.
    """
    from safetensors import SafetensorError, safe_open

    check_frozen(model, "load_packed")
    if not Path(path).exists():
        raise FileNotFoundError(f"no such file: {path}")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise PackedFileError(f"{path} is not a safetensors file, or is damaged: {error}") from None
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise PackedFileError(
            f"{path} is not a packed model of version {VERSION} (format {metadata.get('format')!r}, version "
            f"{metadata.get('version')!r}); save_packed writes them"
        )
    for name, owner in _aliases(metadata, path).items():
        if owner not in tensors:
            raise PackedFileError(f"{path} says that {name} is {owner}, but does not hold {owner}")
        tensors[name] = tensors[owner]
    _check_fit(model.state_dict(), tensors, path)
    with torch.no_grad():
        model.load_state_dict(tensors)
    return model


def _aliases(metadata: dict[str, str], path: str | os.PathLike[str]) -> dict[str, str]:
    try:
        aliases = json.loads(metadata.get("aliases", "{}"))
    except json.JSONDecodeError as error:
        raise PackedFileError(f"{path} has damaged metadata: {error}") from None
    if not isinstance(aliases, dict) or not all(isinstance(v, str) for v in aliases.values()):
        raise PackedFileError(f"{path} has damaged metadata: aliases must map names to names")
    return aliases


def _check_fit(wanted: dict[str, Tensor], found: dict[str, Tensor], path: str | os.PathLike[str]) -> None:
    missing, extra = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing or extra:
        raise PackedFileError(
            f"{path} does not fit the model: it lacks {missing[:5]} ({len(missing)} in all) and has unknown "
            f"{extra[:5]} ({len(extra)} in all)"
        )
    for name, value in wanted.items():
        if value.shape != found[name].shape or value.dtype != found[name].dtype:
            raise PackedFileError(
                f"{path} does not fit the model: {name} is {found[name].dtype} {list(found[name].shape)}, the model "
                f"has {value.dtype} {list(value.shape)}"
            )
