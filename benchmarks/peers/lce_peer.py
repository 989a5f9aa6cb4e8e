"""larq-compute-engine: the layer's time is that of a chain of two convolutions less that of the first alone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import larq
import larq_compute_engine
import numpy as np
import tensorflow as tf
from larq_compute_engine.tflite.python.interpreter import Interpreter

KINDS = {"binary conv packed"}


def _chain(task: dict[str, Any], layers: int) -> Callable[[], float]:
    size, channels = task["size"], task["channels"]
    x = given = tf.keras.layers.Input((size, size, channels))
    for i in range(layers):
        timed = i == 1
        x = larq.layers.QuantConv2D(
            task["outputs"] if timed else channels,
            3,
            strides=task["stride"] if timed else 1,
            padding="same",
            pad_values=1.0,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            use_bias=False,
        )(x)
        x = tf.keras.layers.BatchNormalization()(x)
    model = larq_compute_engine.convert_keras_model(tf.keras.Model(given, x))
    interpreter = Interpreter(model, num_threads=task["threads"])
    image = np.random.default_rng(0).standard_normal((1, size, size, channels)).astype(np.float32)

    def run() -> float:
        start = time.perf_counter()
        interpreter.predict(image)
        return time.perf_counter() - start

    return run


def make(task: dict[str, Any]) -> Callable[[], float]:
    """See tasks.py."""
    one, two = _chain(task, 1), _chain(task, 2)
    return lambda: two() - one()
