"""Makes tests/importers/fixtures/larq: small networks converted by Larq, and what its interpreter computes.

    python3.11 -m venv .venv-lce && .venv-lce/bin/pip install -r benchmarks/requirements-lce.txt
    .venv-lce/bin/python tests/importers/make_larq_fixtures.py

Each network is NAME.tflite with NAME.npz: `x` int8, of which the model's input is x/16 (so there are zeros; of an int8
input x itself), and the interpreter's outputs `y0`, `y1`, .... The weights are random, so a run makes other files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import larq as lq
import larq_compute_engine as lce
import numpy as np
import tensorflow as tf
from larq_compute_engine.tflite.python.interpreter import Interpreter

FOLDER = Path(__file__).parent / "fixtures" / "larq"
BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}
layers = tf.keras.layers
rng = np.random.default_rng(20)
Net = Callable[[], Any]
NETS: dict[str, tuple[Net, dict[str, Any]]] = {}


def net(**conversion: Any) -> Callable[[Net], Net]:
    """Registers a network by its function's name."""

    def add(make: Net) -> Net:
        NETS[make.__name__] = (make, conversion)
        return make

    return add


def randomize(model: Any) -> None:
    """Random weights; batch norm of either sign, and of a few gammas that are 0."""
    for weight in model.weights:
        name, shape = weight.name, weight.shape
        if "variance" in name:
            value = rng.uniform(5, 20, shape)
        elif "gamma" in name:
            value = rng.normal(0, 1, shape)
            value.reshape(-1)[2::7] = 0
        elif "mean" in name:
            value = rng.normal(0, 4, shape)
        else:
            value = rng.normal(0, 0.5, shape)
        weight.assign(value.astype(np.float32))


def conv(x: Any, outputs: int, kernel: Any = 3, **given: Any) -> Any:
    return lq.layers.QuantConv2D(outputs, kernel, **{**BINARY, **given})(x)


def norm(x: Any) -> Any:
    return layers.BatchNormalization(momentum=0.9)(x)


def single(size: Any, channels: int, outputs: int, kernel: Any = 3, **given: Any) -> Any:
    """One binary convolution with batch norm."""
    x = inputs = layers.Input((*size, channels))
    return tf.keras.Model(inputs, norm(conv(x, outputs, kernel, **given)))


@net()
def same_one() -> Any:
    return single((7, 6), 40, 9, padding="same", pad_values=1.0)


@net()
def same_zero() -> Any:
    return single((7, 6), 40, 9, padding="same")


@net()
def same_zero_stride() -> Any:
    return single((8, 7), 33, 8, padding="same", strides=2)


@net()
def same_one_stride_relu() -> Any:
    return single((8, 7), 64, 8, padding="same", pad_values=1.0, strides=2, activation="relu")


@net()
def valid_relu6() -> Any:
    return single((7, 6), 8, 9, (3, 2), padding="valid", activation=tf.nn.relu6)


@net()
def valid_stride_clip() -> Any:
    def clip(x: Any) -> Any:
        return tf.maximum(tf.minimum(x, 1.0), -1.0)

    return single((9, 8), 5, 16, padding="valid", strides=(3, 2), activation=clip)


@net()
def dilated_same_zero() -> Any:
    return single((9, 8), 32, 7, padding="same", dilation_rate=2)


@net()
def dilated_same_one() -> Any:
    return single((9, 8), 32, 7, padding="same", pad_values=1.0, dilation_rate=(2, 3), activation="relu")


@net()
def groups_one() -> Any:
    return single((6, 6), 96, 12, padding="same", pad_values=1.0, groups=3)


@net()
def groups_valid() -> Any:
    return single((6, 6), 128, 6, padding="valid", groups=2, activation="relu")


@net()
def pointwise() -> Any:
    return single((5, 5), 70, 33, 1)


@net()
def wide_kernel() -> Any:
    return single((9, 9), 32, 6, 5, padding="same", pad_values=1.0, strides=2)


@net()
def packed_chain() -> Any:
    """Outputs that only signs read: thresholds of either direction, constant ones, behind a relu, channels % 32."""
    x = inputs = layers.Input((7, 7, 16))
    x = norm(conv(x, 40, padding="same", pad_values=1.0))
    x = norm(conv(x, 64, padding="same", pad_values=1.0, activation="relu"))
    x = norm(conv(x, 33, 1))
    x = norm(conv(x, 40, padding="valid", strides=2))
    return tf.keras.Model(inputs, norm(conv(x, 8, padding="same")))


@net()
def packed_groups() -> Any:
    x = inputs = layers.Input((5, 5, 64))
    x = norm(conv(x, 64, padding="same", pad_values=1.0, groups=2))
    return tf.keras.Model(inputs, norm(conv(x, 10, padding="same", pad_values=1.0, groups=2)))


@net()
def max_pools() -> Any:
    """MaxPool in front of a sign becomes LceBMaxPool2d, same and valid."""
    x = inputs = layers.Input((9, 9, 16))
    x = norm(conv(x, 40, padding="same", pad_values=1.0))
    x = layers.MaxPool2D(2, padding="same")(lq.quantizers.SteSign()(x))
    x = norm(conv(x, 32, padding="same", pad_values=1.0))
    x = layers.MaxPool2D(3, strides=1)(lq.quantizers.SteSign()(x))
    return tf.keras.Model(inputs, norm(conv(x, 8, 2)))


@net()
def signs() -> Any:
    """LceDequantize: the ±1 themselves are used, and are an output."""
    x = inputs = layers.Input((6, 6, 20))
    y = norm(conv(x, 20, padding="same"))
    y = lq.quantizers.SteSign()(y)
    return tf.keras.Model(inputs, [y, layers.AveragePooling2D(2)(y)])


def quicknet(size: int, widths: tuple[int, ...], blocks: int, classes: int) -> Any:
    """Shaped like QuickNet: stem, residual binary blocks, blur-pooled transitions, global pooling, dense, softmax."""
    x = inputs = layers.Input((size, size, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(x)
    x = norm(x)
    x = layers.Activation("relu")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = norm(x)
    x = norm(layers.Conv2D(widths[0], 1, use_bias=False)(x))
    for i, width in enumerate(widths):
        if i:
            x = layers.MaxPool2D(3, strides=1, padding="same")(layers.Activation("relu")(x))
            x = layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
            x = norm(layers.Conv2D(width, 1, use_bias=False)(x))
        for _ in range(blocks):
            y = conv(x, width, padding="same", pad_values=1.0, activation="relu")
            x = layers.add([x, norm(y)])
    x = layers.GlobalAvgPool2D()(layers.Activation("relu")(x))
    return tf.keras.Model(inputs, layers.Dense(classes, activation="softmax")(x))


@net()
def small_quicknet() -> Any:
    return quicknet(32, (32, 40), 2, 10)


def standard(x: Any) -> list[Any]:
    """Standard operators of TensorFlow Lite."""
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = layers.DepthwiseConv2D(3, strides=2, padding="valid", depth_multiplier=2)(a)
    b = layers.PReLU(shared_axes=(1, 2))(b)
    c = tf.pad(b, [[0, 0], [1, 0], [0, 3], [0, 0]])
    c = tf.concat([c[:, 1:, ::2, :], c[:, :-1, 1::2, :]], -1)
    d = tf.transpose(tf.nn.leaky_relu(c, 0.2), [0, 2, 1, 3])
    d = tf.image.resize(d, [6, 8], "bilinear")
    e, f = tf.split(d, 2, axis=-1)
    g = tf.nn.sigmoid(e) * tf.minimum(f, 0.5) - tf.maximum(e, f * 0.25) / 3.0
    g = g * tf.reduce_mean(g, [1, 2], keepdims=True) + g * tf.nn.relu6(g + 3.0) / 6.0
    g = layers.AveragePooling2D(3, strides=2, padding="same")(g)
    h = tf.reshape(g, [-1, g.shape[1] * g.shape[2], g.shape[3]])
    h = tf.reduce_max(h, 1)
    k = tf.compat.v1.image.resize_nearest_neighbor(a, [18, 6])
    k = tf.expand_dims(tf.reduce_mean(k, [1, 2]), 1)
    k = tf.squeeze(layers.Dense(6, activation="tanh")(k), 1)
    return [tf.nn.softmax(layers.Dense(5)(h)), k, tf.nn.elu(d[:, 0])]


@net()
def standard_float() -> Any:
    inputs = layers.Input((9, 7, 3))
    return tf.keras.Model(inputs, standard(inputs))


@net()
def standard_more() -> Any:
    """The rarer operators, in two chains."""
    x = inputs = layers.Input((4, 6, 8))
    a = tf.abs(x) + 0.25
    a = tf.math.log(a) - tf.exp(-a) + tf.sqrt(a) * tf.math.rsqrt(a + 1.0) + tf.square(x)
    a = tf.sin(a) + tf.cos(x) + tf.math.floor(a) - tf.math.ceil(x) + tf.round(a * 2.0)
    a = a / (tf.abs(x) + 1.0) + tf.pow(tf.abs(x), 1.5) + tf.sign(x) - tf.nn.elu(-x)
    b = tf.nn.relu6(a) + tf.nn.relu(x) - tf.maximum(tf.minimum(a, 1.0), -1.0) + layers.LeakyReLU(0.3)(x)
    b = tf.nn.depth_to_space(b, 2) * 0.5
    b = tf.pad(b, [[0, 0], [1, 1], [2, 0], [0, 0]], "REFLECT")
    b = tf.nn.space_to_depth(b[:, 1:-1, 2:], 2)
    b = tf.pad(b, [[0, 0], [0, 1], [1, 0], [0, 0]], constant_values=-1.5)
    c, d, e = tf.split(tf.slice(b, [0, 1, 1, 0], [-1, 3, 4, 8]), [2, 5, 1], -1)
    sums = tf.reduce_sum(c, [1, 2]) + tf.reduce_min(c, [1, 2]) - tf.reduce_max(c, [1, 2], keepdims=True)[:, 0, 0]
    mask = tf.cast(tf.cast(d, tf.int32), tf.float32)
    flat = tf.nn.log_softmax(layers.Flatten()(mask) * 0.1)
    return tf.keras.Model(inputs, [sums, mask, flat, tf.expand_dims(tf.squeeze(e, -1), 1)])


def quantized(x: Any) -> Any:
    a = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    b = layers.DepthwiseConv2D(3, strides=2, padding="same")(a)
    b = norm(conv(b, 16, padding="same", pad_values=1.0)) + layers.Conv2D(16, 1)(b)
    c = layers.MaxPool2D(2)(b)
    d = tf.concat([layers.AveragePooling2D(2)(b), c], -1)
    d = tf.pad(d, [[0, 0], [1, 1], [1, 1], [0, 0]])
    e = norm(conv(d, 32, padding="valid"))
    f = tf.nn.relu6(e) * tf.nn.sigmoid(e)
    g = tf.reduce_mean(f, [1, 2])
    return layers.Dense(6)(g)


@net(experimental_default_int8_range=(-4, 4))
def quantized_float_boundary() -> Any:
    inputs = layers.Input((8, 8, 3))
    return tf.keras.Model(inputs, quantized(inputs))


@net(experimental_default_int8_range=(-4, 4), inference_input_type=tf.int8, inference_output_type=tf.int8)
def quantized_int8_boundary() -> Any:
    inputs = layers.Input((8, 8, 3))
    return tf.keras.Model(inputs, quantized(inputs))


@net(experimental_default_int8_range=(-4, 4), inference_input_type=tf.int8, inference_output_type=tf.int8)
def quantized_operators() -> Any:
    """Each operator on its own, with ties and products that the second rounding decides."""
    x = layers.Input((5, 4, 12))
    y = layers.Conv2D(12, 3, padding="same", use_bias=False)(x)
    outputs = [
        tf.nn.leaky_relu(x, 0.1),
        x * tf.nn.sigmoid(x),
        x + y,
        x - y,
        layers.AveragePooling2D(2)(x),
        layers.AveragePooling2D(3, strides=1, padding="same")(x),
        tf.reduce_mean(x, [1, 2]),
        tf.reduce_mean(tf.nn.relu6(x), [1, 2], keepdims=True),
        tf.nn.softmax(y),
        tf.nn.tanh(y),
        x * tf.nn.relu6(x + 3.0) / 6.0,
        layers.Dense(20, activation="relu")(layers.Flatten()(x)),
    ]
    return tf.keras.Model(x, outputs)


@net(float16=True)
def plain_float16() -> Any:
    """TensorFlow Lite without Larq: weights stored as float16 behind DEQUANTIZE."""
    x = inputs = layers.Input((6, 6, 3))
    x = layers.Conv2D(16, 3, activation="relu")(x)
    x = layers.DepthwiseConv2D(3, padding="same")(x)
    return tf.keras.Model(inputs, layers.Dense(4)(layers.GlobalAvgPool2D()(x)))


def make_float16(name: str, model: Any) -> None:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]
    data = converter.convert()
    interpreter = tf.lite.Interpreter(model_content=data)
    interpreter.allocate_tensors()
    x = rng.integers(-60, 60, (1, *model.input_shape[1:])).astype(np.int8)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x.astype(np.float32) / 16)
    interpreter.invoke()
    y = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    (FOLDER / f"{name}.tflite").write_bytes(data)
    np.savez_compressed(FOLDER / f"{name}.npz", x=x, y0=y)


def make(name: str) -> None:
    create, conversion = NETS[name]
    tf.keras.backend.clear_session()
    model = create()
    randomize(model)
    if conversion.get("float16"):
        make_float16(name, model)
        return
    data = lce.convert_keras_model(model, **conversion)
    interpreter = Interpreter(data, use_indirect_bgemm="group" in name)
    x = np.clip(rng.normal(0, 16, (2, *interpreter.input_shapes[0][1:])), -100, 100).round().astype(np.int8)
    given = x if interpreter.input_types[0] == np.int8 else x.astype(np.float32) / 16
    y = interpreter.predict(given)
    outputs = y if isinstance(y, list) else [y]
    (FOLDER / f"{name}.tflite").write_bytes(data)
    np.savez_compressed(FOLDER / f"{name}.npz", x=x, **{f"y{i}": v for i, v in enumerate(outputs)})
    print(name, len(data), [v.shape for v in outputs], flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--quicknet"]:  # for benchmarks/imported.py: the shape of QuickNet itself
        large = quicknet(224, (64, 128, 256, 512), 4, 1000)
        randomize(large)
        Path(sys.argv[2]).write_bytes(lce.convert_keras_model(large))
        sys.exit()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:] or NETS:
        make(name)
