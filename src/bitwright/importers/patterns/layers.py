"""Layers with ±scale weights -> binary layers of the dialect, as far as their input is proven to hold levels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from numpy.typing import NDArray

from bitwright.compiler.dialect import (
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
    UnpackWeightAttrs,
    pack_bits,
)

from ..errors import ImportModelError
from ..imported import Finding
from ..options import ImportOptions
from .constants import node_attributes
from .geometry import Padding, Window, padding_of, window_of
from .graph import ModelGraph, node_name
from .level_input import LevelInput, level_input
from .signals import Bits, Levels, MaybeZero, Signals, wide_axis
from .weights import SignWeights, sign_weights

F32 = NDArray[np.float32]


@dataclass
class _Layer:
    """A Conv, ConvTranspose, Gemm or MatMul whose weight is ±scale."""

    node: onnx.NodeProto
    x: str
    signs: SignWeights  # bits [O, C/group, *kernel] or [O, F]
    bias: F32 | None  # [O]
    window: Window | None  # None: a dense layer
    late_bias: str = ""  # a bias that is no constant vector: added behind

    @property
    def outputs(self) -> int:
        return len(self.signs.scale)

    @property
    def channels(self) -> int:
        """Of one group."""
        return int(self.signs.bits.shape[1])

    @property
    def products(self) -> int:
        return int(self.signs.bits[0].size)

    @property
    def packed(self) -> NDArray[np.uint8]:
        bits = self.signs.bits
        if self.window is None:
            return pack_bits(bits)
        return pack_bits(np.moveaxis(bits.reshape(self.outputs, self.channels, -1), 1, 2))

    @property
    def title(self) -> str:
        kernel = f" {self.window.kernel}" if self.window else ""
        groups = self.window.group if self.window else 1
        grouped = f", {groups} groups" if groups > 1 else ""
        return f"{kernel}, {self.channels * groups} -> {self.outputs}{grouped}"


class Layers:
    """Rewrites nodes of a `ModelGraph`; `findings` tells what was understood."""

    def __init__(self, graph: ModelGraph, signals: Signals, options: ImportOptions) -> None:
        self.graph = graph
        self.signals = signals
        self.options = options
        self.findings: list[Finding] = []
        self.told: set[str] = set()  # tensors whose bits have a finding

    def rewrite(self, node: onnx.NodeProto) -> bool:
        """Emits what a node becomes. False: it stays as it is, and nothing was emitted for it."""
        if node.domain or node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul") or len(node.output) != 1:
            return False
        layer = self._layer(node)
        if layer is None:
            self._real_weights(node)
            return False
        padding = padding_of(self.graph, layer.x) if layer.window else None
        if padding is not None:
            inner = self.signals.levels(padding.data)
            if inner is not None and self._levels_layer(layer, self._decided(inner, node), padding):
                return True
        found = self.signals.levels(layer.x)
        if found is not None and self._levels_layer(layer, self._decided(found, node), None):
            return True
        return self._weight_only(layer)

    # --- reading

    def _layer(self, node: onnx.NodeProto) -> _Layer | None:
        graph = self.graph
        if (
            graph.is_constant(node.input[0])
            or not graph.is_constant(node.input[1])
            or not graph.is_float(node.input[0])
        ):
            return None
        weight = graph.value(node.input[1])
        if weight is None or weight.dtype != np.float32:
            return None
        if node.op_type in ("Conv", "ConvTranspose"):
            return self._conv_layer(node, weight)
        if weight.ndim != 2:
            return None
        attributes = node_attributes(node)
        alpha = np.float32(attributes.get("alpha", 1.0))
        if int(attributes.get("transA", 0)) or not np.isfinite(alpha) or alpha <= 0:
            return None
        rows = weight if int(attributes.get("transB", 0)) else weight.T
        signs = sign_weights(np.ascontiguousarray(rows))
        if signs is None:
            return None
        if alpha != 1:
            signs = SignWeights(signs.bits, signs.scale * alpha)
        bias, late = None, ""
        if node.op_type == "Gemm" and len(node.input) > 2 and node.input[2]:
            beta = np.float32(attributes.get("beta", 1.0))
            given = graph.value(node.input[2]) if graph.is_constant(node.input[2]) else None
            if given is not None and given.dtype == np.float32 and given.size in (1, len(rows)) and given.ndim < 3:
                if given.ndim == 2 and given.shape[0] != 1:
                    return None  # a column: one number a sample
                bias = np.broadcast_to(given.reshape(-1) * beta, len(rows)).astype(np.float32)
            elif beta == 1:
                late = node.input[2]
            else:
                return None
        return _Layer(node, node.input[0], signs, bias, None, late)

    def _conv_layer(self, node: onnx.NodeProto, weight: NDArray[np.float32]) -> _Layer | None:
        graph = self.graph
        if weight.ndim < 3:
            return None
        window = window_of(graph, node, tuple(int(n) for n in weight.shape[2:]))
        if window is None:
            return None
        if node.op_type == "ConvTranspose":
            if weight.shape[0] % window.group:
                return None
            grouped = weight.reshape(window.group, -1, *weight.shape[1:])
            weight = np.moveaxis(grouped, 2, 1).reshape(-1, grouped.shape[1], *weight.shape[2:])
        elif len(weight) % window.group:
            return None
        signs = sign_weights(weight)
        if signs is None:
            return None
        bias = None
        if len(node.input) > 2 and node.input[2]:
            bias = graph.value(node.input[2])
            if bias is None or bias.dtype != np.float32 or bias.shape != (len(weight),):
                return None
        return _Layer(node, node.input[0], signs, bias, window)

    def _decided(self, found: Levels | MaybeZero, node: onnx.NodeProto) -> Levels:
        if isinstance(found, Levels):
            return found
        if self.options.zero_is_plus:
            return found.levels
        raise ImportModelError(
            f"{self.graph.title}: {found.node.op_type} node {node_name(found.node)!r} in front of {node.op_type} "
            f"{node_name(node)!r} has three values: its input may be 0, and sign(0) = 0 is no bit. "
            "Allow zero_is_plus (--zero_is_plus true) to take sign(0) as +1; answers change where it is met"
        )

    # --- writing

    def _levels_layer(self, layer: _Layer, levels: Levels, padding: Padding | None) -> bool:
        if levels.binary:
            return self._binary(layer, levels, padding)
        return self._multi(layer, levels, padding)

    def _binary(self, layer: _Layer, levels: Levels, padding: Padding | None) -> bool:
        low = float(levels.low)
        window = layer.window
        pad_mode, pad_value = "constant", 0.0
        if window is not None:
            merged = _merged(window, padding, levels.scale)
            if merged is None:
                return False
            window, pad_mode, pad_value = merged
            if pad_value not in ((-1.0, 0.0, 1.0) if low == -1 else (0.0, 1.0)):
                return False
            if layer.node.op_type == "ConvTranspose" and padding is not None:
                return False
        x, threshold = self._bit_input(layer, levels)
        scale = layer.signs.scale * np.float32(levels.scale)
        bias = np.zeros(layer.outputs, np.float32) if layer.bias is None else layer.bias
        name = node_name(layer.node)
        inputs = [
            x,
            self.graph.constant(layer.packed, f"{name}.weight"),
            self.graph.constant(threshold, f"{name}.threshold"),
            self.graph.constant(scale.astype(np.float32), f"{name}.scale"),
            self.graph.constant(bias, f"{name}.bias"),
        ]
        attrs: BinaryConvAttrs | BinaryConvTransposeAttrs | BinaryLinearAttrs
        if window is None:
            attrs = BinaryLinearAttrs(channels=layer.channels, low=low)
        elif layer.node.op_type == "ConvTranspose":
            extra = tuple(
                int(n) for n in node_attributes(layer.node).get("output_padding", (0,) * len(window.kernel_shape))
            )
            attrs = BinaryConvTransposeAttrs(
                window.kernel_shape,
                window.strides,
                window.dilations,
                window.pads,
                extra,
                window.group,
                layer.channels,
                low,
            )
        else:
            attrs = BinaryConvAttrs(
                kernel_shape=window.kernel_shape,
                strides=window.strides,
                dilations=window.dilations,
                pads=window.pads,
                group=window.group,
                channels=layer.channels,
                low=low,
                pad_mode=pad_mode,
                pad_value=pad_value,
            )
        self._finish(layer, lambda output: self.graph.add_dialect(attrs, inputs, output=output, name=name))
        self._tell(layer, levels, attrs.op, padding)
        return True

    def _bit_input(self, layer: _Layer, levels: Levels) -> tuple[str, F32]:
        """The tensor that a binary layer reads, and its threshold."""
        origin = levels.origin
        if not isinstance(origin, Bits):
            middle = levels.scale * (0.5 if levels.low == 0 else 0.0)
            return levels.tensor, np.full(1, middle, np.float32)
        unit = self.signals.unit(levels)
        shape = self.graph.shape(origin.root)
        wide = wide_axis(origin.threshold)
        single = origin.threshold.size == 1
        fits = single or (shape is not None and wide == (-1 if layer.window is None else 1 - len(shape)))
        if fits and not levels.path and not origin.falling.any():
            return origin.root, origin.threshold.reshape(-1)
        return unit, np.full(1, 0.5 if levels.low == 0 else 0.0, np.float32)

    def _multi(self, layer: _Layer, levels: Levels, padding: Padding | None) -> bool:
        window = layer.window
        if layer.node.op_type == "ConvTranspose":
            return False
        pad_mode, pad_level = "constant", 0.0
        if window is not None:
            merged = _merged(window, padding, levels.scale)
            if merged is None:
                return False
            window, pad_mode, pad_level = merged
            if not pad_level.is_integer() or (any(window.pads) and not levels.low <= pad_level <= levels.high):
                return False
        given = level_input(self.graph, levels)
        if given is None or layer.products * ((1 << given.bits) - 1) > 1 << 24:
            return False
        x = self._level_tensor(levels, given)
        if window is not None and any(window.pads) and pad_mode == "constant" and pad_level != given.base:
            rank = len(window.kernel_shape)
            widths = np.array([0, 0, *window.pads[:rank], 0, 0, *window.pads[rank:]], np.int64)
            names = [self.graph.constant(widths, f"{x}.pads"), self.graph.constant(given.pad(pad_level), f"{x}.pad")]
            x = self.graph.add("Pad", [x, *names], hint=f"{x}.padded", mode="constant")
            window = Window(window.kernel_shape, window.strides, window.dilations, (0,) * 2 * rank, window.group)
        name = node_name(layer.node)
        scale = (layer.signs.scale * np.float32(levels.scale)).astype(np.float32)
        bias = np.zeros(layer.outputs, np.float32) if layer.bias is None else layer.bias
        shifted = given.base != 0
        own_scale = np.ones(layer.outputs, np.float32) if shifted else scale
        own_bias = (given.base * layer.signs.sums()).astype(np.float32) if shifted else bias
        inputs = [
            x,
            self.graph.constant(layer.packed, f"{name}.weight"),
            self.graph.constant(np.full(1, given.gain, np.float32), f"{name}.gain"),
            self.graph.constant(np.full(1, given.offset, np.float32), f"{name}.offset"),
            self.graph.constant(own_scale, f"{name}.scale"),
            self.graph.constant(own_bias, f"{name}.bias"),
        ]
        attrs: LevelConvAttrs | LevelLinearAttrs
        if window is None:
            attrs = LevelLinearAttrs(channels=layer.channels, bits=given.bits)
        else:
            attrs = LevelConvAttrs(
                kernel_shape=window.kernel_shape,
                strides=window.strides,
                dilations=window.dilations,
                pads=window.pads,
                group=window.group,
                channels=layer.channels,
                bits=given.bits,
                pad_mode=pad_mode,
            )

        def emit(output: str) -> str:
            made = self.graph.add_dialect(
                attrs, inputs, output="" if shifted else output, hint=f"{name}.sum", name=name
            )
            return self._scaled(layer, made, scale, layer.bias, output) if shifted else made

        self._finish(layer, emit)
        self._tell(layer, levels, attrs.op, padding, f"{given.bits}-bit activations")
        return True

    def _level_tensor(self, levels: Levels, given: LevelInput) -> str:
        x = given.tensor
        if given.clip is not None:
            bounds = [self.graph.constant(np.float32(c), f"{x}.bound") for c in given.clip]
            x = self.graph.add("Clip", [x, *bounds], hint=f"{x}.clipped")
        return self.signals.along_path(x, levels.path) if given.behind_path else x

    def _scaled(self, layer: _Layer, x: str, scale: F32, bias: F32 | None, output: str) -> str:
        """x * scale + bias along the channels, as standard nodes; `output` names the last."""
        name = node_name(layer.node)
        column = (1, -1, *[1] * len(layer.window.kernel_shape)) if layer.window else (-1,)
        steps = [("Mul", scale)] if np.any(scale != 1) else []
        steps += [("Add", bias)] if bias is not None else []
        if not steps:
            return self.graph.add("Identity", [x], output=output)
        for i, (op, value) in enumerate(steps):
            constant = self.graph.constant(value.reshape(column), f"{name}.{op.lower()}")
            last = i == len(steps) - 1
            x = self.graph.add(op, [x, constant], output=output if last else "", hint=f"{name}.scaled")
        return x

    def _finish(self, layer: _Layer, emit: object) -> None:
        """Emits the layer, and the bias that is no constant behind it."""
        assert callable(emit)
        output = layer.node.output[0]
        if not layer.late_bias:
            emit(output)
            return
        made = emit(self.graph.fresh(f"{output}.product"))
        self.graph.add("Add", [made, layer.late_bias], output=output)

    def _weight_only(self, layer: _Layer) -> bool:
        """Real activations: the layer stays, its weights become bits."""
        if not layer.signs.both_signs or layer.products < 2:
            return False
        node, graph = layer.node, self.graph
        name = node_name(node)
        weight = graph.value(node.input[1])
        assert weight is not None
        if layer.window is None:
            attrs = UnpackWeightAttrs(shape=(layer.outputs, layer.channels))
            rows = graph.constant(layer.packed, f"{name}.weight")
            unpacked = graph.add_dialect(attrs, [rows], hint=f"{name}.signs")
            matrix = graph.add("Transpose", [unpacked], hint=f"{name}.matrix", perm=[1, 0])
        else:
            bits = (weight > 0).reshape(weight.shape[0], weight.shape[1], -1)
            attrs = UnpackWeightAttrs(shape=tuple(int(n) for n in weight.shape))
            rows = graph.constant(pack_bits(np.moveaxis(bits, 1, 2)), f"{name}.weight")
            matrix = graph.add_dialect(attrs, [rows], hint=f"{name}.signs")

        def emit(output: str) -> str:
            plain = not np.any(layer.signs.scale != 1) and layer.bias is None
            made = output if plain else graph.fresh(f"{name}.product")
            twin = onnx.NodeProto()
            twin.CopyFrom(node)
            del twin.input[:], twin.output[:]
            twin.input.extend([layer.x, matrix])
            twin.output.append(made)
            if layer.window is None:
                twin.op_type = "MatMul"
                del twin.attribute[:]
            graph.emit(twin)
            return made if plain else self._scaled(layer, made, layer.signs.scale, layer.bias, output)

        self._finish(layer, emit)
        self.findings.append(
            Finding(
                name,
                f"{node.op_type}, weights {_magnitudes(layer.signs)}, real input",
                f"weights of 1 bit{layer.title}",
            )
        )
        return True

    def _real_weights(self, node: onnx.NodeProto) -> None:
        """A layer with real weights may read bits all the same: then the engine keeps them as bits."""
        found = self.signals.levels(node.input[0]) if node.input else None
        if isinstance(found, Levels) and isinstance(found.origin, Bits) and found.binary:
            self.signals.unit(Levels(found.tensor, found.scale, found.low, found.high, found.origin))
            self._tell_bits(found)

    # --- telling

    def _tell(self, layer: _Layer, levels: Levels, op: str, padding: Padding | None, note: str = "") -> None:
        if levels.binary:
            self._tell_bits(levels)
        scaled = f" x {levels.scale:g}" if levels.scale != 1 else ""
        values = (
            "±1"
            if levels.binary and levels.low == -1
            else "{0, 1}"
            if levels.binary
            else f"{levels.low}..{levels.high}"
        )
        padded = "" if padding is None else f", Pad {'edge' if padding.edge else format(padding.value, 'g')}"
        was = f"{layer.node.op_type}{padded}, weights {_magnitudes(layer.signs)}, input {values}{scaled}"
        self.findings.append(Finding(node_name(layer.node), was, f"{op}{layer.title}", note))

    def _tell_bits(self, levels: Levels) -> None:
        origin = levels.origin
        if not isinstance(origin, Bits) or origin.tensor in self.told:
            return
        self.told.add(origin.tensor)
        node = self.graph.producer[origin.tensor]
        if node.domain:
            return  # a quantizer of the file's own dialect, told where it was lowered
        finite = origin.threshold[np.isfinite(origin.threshold)]
        span = (
            "constant"
            if not finite.size
            else f"{finite.min():g}"
            if finite.min() == finite.max()
            else f"{finite.min():g}..{finite.max():g}"
        )
        below = ", falling in some channels" if origin.falling.any() else ""
        notes = []
        if isinstance(self.signals.levels(origin.tensor), MaybeZero):
            notes.append("sign(0) taken as +1, as allowed")
        if origin.nan_is_upper:
            notes.append("NaN becomes the lower level, in the file the upper")
        upper, lower = f"{levels.scale:g}", f"{-levels.scale if levels.low else 0:g}"
        became = f"{upper} from {span} on, else {lower}{below}"
        self.findings.append(Finding(node_name(node), f"{node.op_type} of two values", became, "; ".join(notes)))


def _merged(window: Window, padding: Padding | None, scale: float) -> tuple[Window, str, float] | None:
    """The window with a Pad in front taken in: (window, pad_mode, value in levels). None: they do not merge."""
    if padding is None:
        return window, "constant", 0.0
    own = any(window.pads)
    if own and (padding.edge or padding.value != 0):
        return None
    pads = tuple(a + b for a, b in zip(window.pads, padding.pads, strict=True))
    merged = Window(window.kernel_shape, window.strides, window.dilations, pads, window.group)
    value = padding.value / scale
    if not math.isfinite(value):
        return None
    return merged, "edge" if padding.edge else "constant", 0.0 if padding.edge else value


def _magnitudes(signs: SignWeights) -> str:
    low, high = float(signs.scale.min()), float(signs.scale.max())
    return f"±{low:g}" if low == high else f"±{low:g}..{high:g} a channel"
