"""Fashion-MNIST in its original files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bitwright.data.facts import DatasetFacts
from bitwright.data.mnist import idx_files, read_idx_set
from bitwright.data.module import ImageData
from bitwright.data.registry import register_dataset


@register_dataset
class Fashion(ImageData):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747): 60,000 / 10,000 articles, 28x28 grey."""

    facts = DatasetFacts(
        name="fashion",
        title="Fashion-MNIST (10,000 test images)",
        classes=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        shape=(1, 28, 28),
        train=60000,
        test=10000,
        mean=(0.2860,),
        std=(0.3530,),
        licence="MIT (Zalando SE)",
        source="https://github.com/zalandoresearch/fashion-mnist",
    )
    folder_name = "fashion-mnist"
    files = idx_files(
        ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        {
            "train-images": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            "train-labels": "25c81989df183df01b3e8a0aad5dffbe",
            "test-images": "bef4ecab320f06d8554ea6380940ec79",
            "test-labels": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    )

    def read(self, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        return read_idx_set(folder, self.files, "Fashion-MNIST")
