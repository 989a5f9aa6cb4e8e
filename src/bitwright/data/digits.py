"""scikit-learn's bundled handwritten digits: 1,797 real 8x8 images, no download."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitwright.data.facts import DatasetFacts
from bitwright.data.module import ImageData
from bitwright.data.registry import register_dataset
from bitwright.data.split import stratified_split

TEST_IMAGES = 360


@register_dataset
class Digits(ImageData):
    """Optical recognition of handwritten digits (Alpaydin & Kaynak 1998), the UCI test part, as scikit-learn ships it.

    The set has no official split: 360 test images are a stratified choice with the fixed seed
    `bitwright.data.split.SPLIT_SEED`, the other 1,437 are for training.
    """

    facts = DatasetFacts(
        name="digits",
        title="digits (scikit-learn, 360 test images of our fixed split)",
        classes=tuple(str(n) for n in range(10)),
        shape=(1, 8, 8),
        train=1797 - TEST_IMAGES,
        test=TEST_IMAGES,
        mean=(0.3057,),
        std=(0.3761,),
        licence="CC BY 4.0",
        source="scikit-learn; UCI Machine Learning Repository, doi 10.24432/C50P49",
        max_value=16,
        note="grey values are 0..16; the split is ours",
    )

    def read(self, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        from sklearn.datasets import load_digits

        bunch = load_digits()
        images = bunch.images.astype(np.uint8)[:, None]
        labels = bunch.target.astype(np.int64)
        train, test = stratified_split(labels, TEST_IMAGES)
        return {"train": (images[train], labels[train]), "test": (images[test], labels[test])}
