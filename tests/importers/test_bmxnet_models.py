"""The pretrained BMXNet models on real images: the engine, onnxruntime, and the independent evaluator."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from bitwright import compiler, importers
from bitwright.runtime import Session

from .reference.bmxnet import Evaluator
from .samples import PRETRAINED, cifar10_test, cifar10_train, imagenet, mnist, needs_data, top

FOLDER = PRETRAINED / "bmxnet"
MNIST = "binarized_mnist_64bit", "0001", (1, 28, 28)
CIFAR = "binarized_cifar10-resnet18-64bit", "0000", (3, 32, 32)
IMAGENET = "binarized_imagenet-resnet18-64bit", "0040", (3, 224, 224)
Model = tuple[str, str, tuple[int, ...]]


def in_batches(run: object, x: np.ndarray, size: int = 25) -> np.ndarray:
    return np.concatenate([np.asarray(run(x[i : i + size])) for i in range(0, len(x), size)])  # type: ignore[operator]


def scores(model: Model, x: np.ndarray, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(engine, onnxruntime)."""
    name, epoch, shape = model
    imported = importers.load(FOLDER / f"{name}-{epoch}.params", options=importers.ImportOptions(input_shape=shape))
    compiler.compile(imported.model, folder / "net.bwm")
    session = Session(folder / "net.bwm")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    ort = onnxruntime.InferenceSession(imported.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return in_batches(session.run, x), in_batches(lambda b: ort.run(None, {"data": b})[0], x)


def evaluator(model: Model) -> Evaluator:
    name, epoch, _ = model
    return Evaluator(FOLDER / f"{name}-symbol.json", FOLDER / f"{name}-{epoch}.params")


def agree(got: np.ndarray, wanted: np.ndarray) -> None:
    """Bits whose float value lies at the threshold may flip with the order of sums: few images, never the answer."""
    spread = np.abs(wanted).max()
    equal = np.abs(got - wanted).max(1) <= 2e-5 * spread
    assert equal.mean() >= 0.9
    assert (got.argmax(1) == wanted.argmax(1)).all()


@needs_data
def test_mnist_lenet(tmp_path: Path) -> None:
    """96.4 % of the first 1,000 test images."""
    x, y = mnist(1000)
    engine, ort = scores(MNIST, x / 255, tmp_path)
    assert abs(top(engine, y) - 964) <= 1
    assert abs(top(ort, y) - 964) <= 1
    agree(engine, ort)
    agree(engine[:60], evaluator(MNIST)(x[:60] / 255)[0])


@needs_data
def test_cifar10_resnet18(tmp_path: Path) -> None:
    """96 of the first 100 lossless training images."""
    x, y = cifar10_train(100)
    engine, ort = scores(CIFAR, x, tmp_path)
    assert abs(top(engine, y) - 96) <= 1
    assert abs(top(ort, y) - 96) <= 1
    agree(engine, ort)
    agree(engine[:10], evaluator(CIFAR)(x[:10])[0])


@needs_data
def test_cifar10_resnet18_on_the_jpeg_copy(tmp_path: Path) -> None:
    x, y = cifar10_test(10)
    engine, _ = scores(CIFAR, x, tmp_path)
    assert abs(top(engine, y) - 83) <= 1


@needs_data
@pytest.mark.timeout(600)
def test_imagenet_resnet18(tmp_path: Path) -> None:
    """Top-1 40 %, top-5 66 % of the 125 samples."""
    x, y = imagenet()
    engine, ort = scores(IMAGENET, x, tmp_path)
    for found in (engine, ort):
        assert abs(top(found, y) - 50) <= 1
        assert abs(top(found, y, 5) - 83) <= 1
    agree(engine, ort)
    agree(engine[:2], evaluator(IMAGENET)(x[:2])[0])
