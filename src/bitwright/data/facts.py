"""What is known about a data set: one record, shown by lists and pages, used to normalise images."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DatasetFacts:
    """Facts of one image classification set.

    Attributes:
        name: registry name.
        title: how results on this set must be labelled.
        classes: class names, in the order of the labels.
        shape: (channels, height, width) of an image.
        train: number of training images of the official (or documented) split, validation images included.
        test: number of test images.
        mean, std: per channel, of the training images scaled to [0, 1]; measured on the whole training split.
        licence: of the data, in the words of its source.
        source: where it comes from.
        max_value: the grey value that is scaled to 1.0.
        note: what a reader of results must know.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    train: int
    test: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    source: str
    max_value: int = 255
    note: str = ""

    @property
    def num_classes(self) -> int:
        return len(self.classes)
