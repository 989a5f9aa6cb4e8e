"""The base of the image classification data modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch import Tensor

from bitwright.data.augment import Augment
from bitwright.data.facts import DatasetFacts
from bitwright.data.loader import EvalLoader, Normalize, TrainLoader
from bitwright.data.root import data_root
from bitwright.data.split import stratified_split


class ImageData(LightningDataModule):
    """An image classification set held in memory as bytes.

    A data set is a subclass with `facts` and `read()`. The images stay uint8; batches are augmented and normalised
    when they are drawn.

    Args:
        root: folder that holds one sub-folder a data set. Default: $BITWRIGHT_DATA, else the user's cache folder.
        batch_size: training images a step and process.
        eval_batch_size: images a step in validation and test.
        val_size: training images held out for validation: a fixed, stratified choice (`SPLIT_SEED`). 0 trains on all
            of them and validates on none; test images are never used for validation.
        augment: what is done to training images.
        seed: of shuffling and augmentation.

    Raises:
        ValueError: a size out of range.
    """

    facts: ClassVar[DatasetFacts]
    folder_name: ClassVar[str] = ""  # if it is not the registry name

    def __init__(
        self,
        root: str | None = None,
        batch_size: int = 128,
        eval_batch_size: int = 500,
        val_size: int = 0,
        augment: Augment = Augment(),  # noqa: B008 (frozen)
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or eval_batch_size < 1:
            raise ValueError(f"batch sizes must be at least 1, got {batch_size} and {eval_batch_size}")
        if val_size < 0:
            raise ValueError(f"val_size is a number of images >= 0, got {val_size}")
        if seed < 0:
            raise ValueError(f"seed must be >= 0, got {seed}")
        self.root = root
        self.batch_size = batch_size
        self.eval_batch_size = eval_batch_size
        self.val_size = val_size
        self.augment = augment
        self.seed = seed
        self._splits: dict[str, tuple[Tensor, Tensor]] = {}

    # What a data set provides -----------------------------------------------------------------------------------

    def read(self, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Reads the set from its folder, fetching missing files.

        Returns:
            {"train": (images, labels), "test": (images, labels)}; images uint8 [N, C, H, W], labels integers [N].

        Raises:
            DataError: missing or damaged; the message says what to put where.
        """
        raise NotImplementedError

    @property
    def folder(self) -> Path:
        """The data set's folder."""
        return data_root(self.root) / (self.folder_name or self.facts.name)

    # What users and the trainer ask for -------------------------------------------------------------------------

    @property
    def num_classes(self) -> int:
        return self.facts.num_classes

    @property
    def in_channels(self) -> int:
        return self.facts.shape[0]

    @property
    def image_size(self) -> int:
        """Height = width of an image in pixels."""
        return self.facts.shape[1]

    def recipe_arguments(self) -> dict[str, Any]:
        """Constructor arguments as plain types, without `root`, which belongs to a machine and not to a recipe."""
        return {
            "batch_size": self.batch_size,
            "eval_batch_size": self.eval_batch_size,
            "val_size": self.val_size,
            "augment": {
                "crop_padding": self.augment.crop_padding,
                "horizontal_flip": self.augment.horizontal_flip,
                "erase": self.augment.erase,
            },
            "seed": self.seed,
        }

    def prepare_data(self) -> None:
        """Fetches missing files. Lightning calls it in one process a machine, before the others read."""
        self.setup()

    def setup(self, stage: str | None = None) -> None:
        """Reads all splits once; later calls do nothing."""
        if self._splits:
            return
        parts = self.read(self.folder)
        train_images, train_labels = parts["train"]
        test_images, test_labels = parts["test"]
        _check_shape(self.facts, "train", train_images, self.facts.train)
        _check_shape(self.facts, "test", test_images, self.facts.test)
        if self.val_size >= len(train_images):
            raise ValueError(f"val_size={self.val_size} leaves none of the {len(train_images)} training images")
        kept, held_out = stratified_split(train_labels, self.val_size)
        self._splits = {
            "train": _tensors(train_images[kept], train_labels[kept]),
            "val": _tensors(train_images[held_out], train_labels[held_out]),
            "test": _tensors(test_images, test_labels),
        }

    def split(self, name: str) -> tuple[Tensor, Tensor]:
        """A split as tensors: uint8 images [N, C, H, W] and int64 labels [N].

        Raises:
            ValueError: not "train", "val" or "test".
        """
        self.setup()
        if name not in self._splits:
            raise ValueError(f"unknown split {name!r}; known: {', '.join(self._splits)}")
        return self._splits[name]

    def normalize(self, images: Tensor) -> Tensor:
        """uint8 images [N, C, H, W] as the float32 that networks are trained on."""
        return self._normalize()(images)

    def train_dataloader(self) -> TrainLoader:
        images, labels = self.split("train")
        return TrainLoader(images, labels, self.batch_size, self._normalize(), self.augment, self.seed)

    def eval_loader(self, split: str) -> EvalLoader:
        """Batches of a split in order, without augmentation."""
        images, labels = self.split(split)
        return EvalLoader(images, labels, self.eval_batch_size, self._normalize())

    def val_dataloader(self) -> EvalLoader | list[Any]:
        return self.eval_loader("val") if self.val_size else []

    def test_dataloader(self) -> EvalLoader:
        return self.eval_loader("test")

    def _normalize(self) -> Normalize:
        return Normalize(self.facts.mean, self.facts.std, self.facts.max_value)


def _tensors(images: np.ndarray, labels: np.ndarray) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.array(images, order="C")), torch.from_numpy(labels.astype(np.int64))


def _check_shape(facts: DatasetFacts, split: str, images: np.ndarray, number: int) -> None:
    expected = (number, *facts.shape)
    if images.shape != expected or images.dtype != np.uint8:
        raise RuntimeError(f"{facts.name}/{split}: read {images.dtype} {images.shape}, expected uint8 {expected}")
