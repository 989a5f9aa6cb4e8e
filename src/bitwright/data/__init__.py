"""Data sets as Lightning data modules: `create("fashion", batch_size=128)`; one data set a file."""

from bitwright.data.augment import Augment
from bitwright.data.cifar10 import Cifar10
from bitwright.data.digits import Digits
from bitwright.data.facts import DatasetFacts
from bitwright.data.fashion import Fashion
from bitwright.data.mnist import Mnist
from bitwright.data.module import ImageData
from bitwright.data.registry import (
    UnknownDatasetError,
    create,
    dataset_class,
    facts,
    list_datasets,
    register_dataset,
)
from bitwright.data.root import DataError, data_root

__all__ = [
    "Augment",
    "Cifar10",
    "DataError",
    "DatasetFacts",
    "Digits",
    "Fashion",
    "ImageData",
    "Mnist",
    "UnknownDatasetError",
    "create",
    "data_root",
    "dataset_class",
    "facts",
    "list_datasets",
    "register_dataset",
]
