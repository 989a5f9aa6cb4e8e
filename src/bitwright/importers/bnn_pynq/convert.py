"""Writes a BNN-PYNQ network as ONNX: integers throughout, so every runtime gives the same answers.

What the accelerator computes: the first layer of CNV sees pixels as 8-bit fixed point, floor(128 * (pixel / 127.5 - 1))
limited to -128 .. 127, which is pixel - 128; LFC sees pixel / 127.5 - 1 >= 0. A binary layer counts equal signs and
gives 1 where the count is greater than the row's threshold; CNV's first compares the sum (in units of 1/128) with a
threshold in units of 1/256. Pooling is the OR of 2x2 bits. CNV's result is the last layer's counts, LFC's the bits.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.compiler.dialect import BinaryConvAttrs, BinaryLinearAttrs, LevelConvAttrs, pack_bits

from ..build import GraphBuilder
from ..errors import ImportModelError
from ..imported import Finding
from .files import layers
from .folding import Matrix, unfold
from .networks import CNV, LFC, NETWORKS, Layer, Network

F32 = NDArray[np.float32]
_KERNEL = (3, 3)


class Conversion:
    """One set of files on its way to ONNX; `findings` says how each layer was folded."""

    def __init__(self, files: Mapping[str, bytes], where: str) -> None:
        self.where = where
        self.findings: list[Finding] = []
        self._parts = layers(files)
        self.network = self._recognise()
        self.classes = self._classes(files)

    def run(self, metadata: Mapping[str, str]) -> onnx.ModelProto:
        """The ONNX model: input `image` (pixels 0 to 255), output `scores`."""
        build = GraphBuilder(self.network.name)
        x = build.input("image", ["N", *self.network.sample])
        if self.network is LFC:
            x = build.node("Flatten", [x], name="flatten")
        # A bit of the layer before is "its count >= this"; LFC's input bit is "pixel >= 128" (127.5 and up).
        threshold: F32 = np.full(1, 127.5, np.float32)
        last = len(self.network.layers) - 1
        for i, layer in enumerate(self.network.layers):
            matrix = self._matrix(i, layer)
            kept = len(self.classes) if i == last else layer.rows
            x, threshold = self._layer(build, i, layer, matrix, x, threshold, kept)
        if self._has_thresholds(last):  # the hardware gives the bits `count > threshold`: those are scores > 0
            x = build.node("Sub", [x, build.constant(threshold - np.float32(1), "last.threshold")], name="above")
        build.output(x, "scores")
        return build.finish({**metadata, "import.network": self.network.title})

    def _layer(
        self, build: GraphBuilder, i: int, layer: Layer, matrix: Matrix, x: str, threshold: F32, kept: int
    ) -> tuple[str, F32]:
        """Adds a layer; (its counts, the least count of each row whose bit is 1)."""
        name = f"layer{i}"
        signs = matrix.signs[:kept, : layer.inputs * (9 if layer.conv else 1)]
        terms = signs.shape[1]
        found = f"{matrix.elements} PE, {matrix.simd} weights a word"
        least = np.zeros(kept, np.float32)
        if matrix.thresholds is not None:
            least = (matrix.thresholds[:kept] + 1).astype(np.float32)
        if i == 0 and self.network is CNV:
            y, least = self._pixels(build, matrix, layer, x, signs, name)
            became = f"LevelConv 3x3, {layer.inputs} -> {kept}, 256 levels"
        else:
            # Padded inputs are 0 bits, that is -1: they count where the padded weight is -1 too.
            padding = ~matrix.signs[:kept, terms:]
            bias = np.full(kept, terms / 2, np.float32) + padding.sum(1).astype(np.float32)
            half = np.full(kept, 0.5, np.float32)
            if layer.conv:
                signs = signs.reshape(kept, 9, layer.inputs)
                attrs: BinaryConvAttrs | BinaryLinearAttrs = BinaryConvAttrs(
                    _KERNEL, (1, 1), (1, 1), (0,) * 4, 1, layer.inputs, -1.0, "constant", 0.0
                )
                became = f"BinaryConv 3x3, {layer.inputs} -> {kept}"
            else:
                attrs = BinaryLinearAttrs(layer.inputs, -1.0)
                became = f"BinaryLinear {layer.inputs} -> {kept}"
            constants = [pack_bits(signs), threshold, half, bias]
            y = build.dialect(attrs, [x, *(build.constant(c, f"{name}.constant") for c in constants)], name=name)
        if layer.pool:
            y = build.node("MaxPool", [y], name=f"{name}.pool", kernel_shape=(2, 2), strides=(2, 2))
        if layer.conv and i + 1 < len(self.network.layers) and not self.network.layers[i + 1].conv:
            y = build.node("Flatten", [y], name=f"{name}.flatten")
        self.findings.append(Finding(name, found, became, "2x2 maximum behind it" if layer.pool else ""))
        return y, least

    def _pixels(
        self, build: GraphBuilder, matrix: Matrix, layer: Layer, x: str, signs: NDArray[np.bool_], name: str
    ) -> tuple[str, F32]:
        """The first layer of CNV on levels pixel = 0 .. 255: sum(w * (pixel - 128)) > threshold / 2."""
        rows = len(signs)
        attrs = LevelConvAttrs(_KERNEL, (1, 1), (1, 1), (0,) * 4, 1, layer.inputs, 8, "constant")
        # floor(pixel * 256 / 255) limited to 255, as a rounded level: exact for whole pixels, and for others too.
        gain, offset = np.full(1, 256 / 255, np.float32), np.full(1, -0.5, np.float32)
        shift = (-128 * np.where(signs, 1, -1).sum(1)).astype(np.float32)
        constants = [pack_bits(signs.reshape(rows, 9, layer.inputs)), gain, offset, np.ones(rows, np.float32), shift]
        y = build.dialect(attrs, [x, *(build.constant(c, f"{name}.constant") for c in constants)], name=name)
        assert matrix.thresholds is not None
        return y, (np.floor_divide(matrix.thresholds, 2) + 1).astype(np.float32)

    def _matrix(self, i: int, layer: Layer) -> Matrix:
        try:
            matrix = unfold(i, layer.rows, layer.columns, self._parts[i, "weights"], self._parts.get((i, "thres")))
        except ImportModelError as error:
            raise ImportModelError(f"{self.where}: {self.network.title}: {error}") from error
        if matrix.thresholds is None and i < len(self.network.layers) - 1:
            raise ImportModelError(f"{self.where}: {self.network.title}: layer {i} has no files {i}-*-thres.bin")
        return matrix

    def _has_thresholds(self, i: int) -> bool:
        return (i, "thres") in self._parts

    def _recognise(self) -> Network:
        """The architecture by its number of layers and the rows that the thresholds of the first one tell."""
        numbers = {layer for layer, kind in self._parts if kind == "weights"}
        first = sum(len(f) for f in self._parts.get((0, "thres"), [])) // 8
        for network in NETWORKS:
            if numbers == set(range(len(network.layers))) and first == network.layers[0].rows:
                return network
        known = "; ".join(f"{n.title}: {len(n.layers)} layers, {n.layers[0].rows} first thresholds" for n in NETWORKS)
        raise ImportModelError(
            f"{self.where}: layers {sorted(numbers)} with {first} thresholds in the first are no network that is known "
            f"here, and the files do not say how layers are connected. Known are {known}, with 1-bit activations"
        )

    def _classes(self, files: Mapping[str, bytes]) -> list[str]:
        """The names in classes.txt; without it one for each row of the last layer."""
        rows = self.network.layers[-1].rows
        text = files.get("classes.txt")
        if text is None:
            return [str(i) for i in range(rows)]
        names = [line.strip() for line in text.decode("utf-8", "replace").splitlines() if line.strip()]
        if not 0 < len(names) <= rows:
            raise ImportModelError(f"{self.where}: classes.txt names {len(names)} classes; the network has 1 to {rows}")
        return names
