"""Packed layers: 1-bit weights in buffers, one packed operator in forward, inference only.

A packed layer has no parameters and no training mode: `train(True)` raises FrozenModelError, because batch norm
statistics would move away from what was frozen. Inputs are float32; float16 and bfloat16 (autocast) are widened, which
is exact.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitwright.compiler.dialect import (
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    LevelConvAttrs,
    LevelLinearAttrs,
)
from bitwright.export import half_linear, operators, packed_edges  # noqa: F401  (registers torch.ops.bitwright)

L = TypeVar("L", bound="FrozenModule")


class FrozenModelError(RuntimeError):
    """A frozen model was asked to train."""


class FrozenModule(nn.Module):
    """What `freeze` puts in place of a latent module: bits (uint8) and float32 vectors in buffers, no parameters, no
    training mode.
    """

    def __init__(self, **buffers: Tensor) -> None:
        super().__init__()
        for name, value in buffers.items():
            kept = value.detach() if value.dtype == torch.uint8 else value.detach().to(torch.float32)
            self.register_buffer(name, kept.clone())
        super().train(False)

    def train(self: L, mode: bool = True) -> L:
        """Stays in eval mode.

        Raises:
            FrozenModelError: `mode` is True.
        """
        if mode:
            raise FrozenModelError(
                f"{type(self).__name__} is frozen: bits cannot train. Train the model that it was "
                "frozen from and freeze again; call .eval(), not .train(), on a frozen model"
            )
        return super().train(False)

    @property
    def packed_bytes(self) -> int:
        """Bytes of all buffers: what the layer takes in a file."""
        return sum(b.numel() * b.element_size() for b in self.buffers(recurse=False))


class PackedLayer(FrozenModule):
    """What packed layers share. Buffers: `weight` (uint8) and float32 vectors."""

    weight: Tensor

    def __init__(self, weight: Tensor, **vectors: Tensor) -> None:
        super().__init__(weight=weight, **vectors)

    @property
    def constant_term(self) -> Tensor | None:
        """What the layer adds whatever its input is, `[O]`: its bias. As `BinaryLayer.constant_term`."""
        bias: Tensor | None = getattr(self, "bias", None)
        return bias

    is_rowwise = True
    """As `BinaryLayer.is_rowwise`."""


def _widen(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


class PackedConv(PackedLayer):
    """1-, 2- or 3-D convolution of bits: x `[N, C, *S]` to `[N, O, *S']`, float32.

    Args:
        weight: uint8 `[O, taps, bytes]`, packed as in docs/dialect.md.
        threshold: `[C]` or `[1]`; a bit is `x >= threshold`.
        scale, bias: `[O]`; `y = scale * accumulator + bias`.
        attrs: the geometry.
    """

    threshold: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryConvAttrs) -> None:
        super().__init__(weight, threshold=threshold, scale=scale, bias=bias)
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        a = self.attrs
        return torch.ops.bitwright.binary_conv(
            _widen(x),
            self.weight,
            self.threshold,
            self.scale,
            self.bias,
            list(a.kernel_shape),
            list(a.strides),
            list(a.dilations),
            list(a.pads),
            a.group,
            a.channels,
            a.low,
            a.pad_mode,
            a.pad_value,
        )

    def extra_repr(self) -> str:
        a = self.attrs
        pad = f", pads={a.pads}" if any(a.pads) else ""
        value = "" if not any(a.pads) else f" ({'edge' if a.pad_mode == 'edge' else f'{a.pad_value:+g}'})"
        return _map_repr(a, self.weight.shape[0]) + pad + value + _bits_repr(self, a.low)


class PackedConvTranspose(PackedLayer):
    """1-, 2- or 3-D transposed convolution of bits; weight uint8 `[O, taps, bytes]` in gather form. As PackedConv."""

    threshold: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryConvTransposeAttrs
    ) -> None:
        super().__init__(weight, threshold=threshold, scale=scale, bias=bias)
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        a = self.attrs
        return torch.ops.bitwright.binary_conv_transpose(
            _widen(x),
            self.weight,
            self.threshold,
            self.scale,
            self.bias,
            list(a.kernel_shape),
            list(a.strides),
            list(a.dilations),
            list(a.pads),
            list(a.output_padding),
            a.group,
            a.channels,
            a.low,
        )

    def extra_repr(self) -> str:
        a = self.attrs
        more = f", pads={a.pads}" if any(a.pads) else ""
        more += f", output_padding={a.output_padding}" if any(a.output_padding) else ""
        return _map_repr(a, self.weight.shape[0]) + more + _bits_repr(self, a.low)


class PackedLinear(PackedLayer):
    """Linear layer of bits: x `[..., F]` to `[..., O]`, float32. Weight uint8 `[O, bytes]`. Else as PackedConv."""

    threshold: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, threshold: Tensor, scale: Tensor, bias: Tensor, attrs: BinaryLinearAttrs
    ) -> None:
        super().__init__(weight, threshold=threshold, scale=scale, bias=bias)
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.bitwright.binary_linear(
            _widen(x), self.weight, self.threshold, self.scale, self.bias, self.attrs.channels, self.attrs.low
        )

    def extra_repr(self) -> str:
        return f"{self.attrs.channels}, {self.weight.shape[0]}" + _bits_repr(self, self.attrs.low)


class PackedLevelConv(PackedLayer):
    """1-, 2- or 3-D convolution of 2^bits-level activations with 1-bit weights: x `[N, C, *S]` to `[N, O, *S']`.

    Args:
        weight: uint8 `[O, taps, bytes]`, packed as in docs/dialect.md.
        gain, offset: `[C]` or `[1]`; a level is `rint(x * gain + offset)`, cut to 0 ... 2^bits - 1.
        scale, bias: `[O]`; `y = scale * accumulator + bias`.
        attrs: the geometry and the bits.
    """

    gain: Tensor
    offset: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelConvAttrs
    ) -> None:
        super().__init__(weight, gain=gain, offset=offset, scale=scale, bias=bias)
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        a = self.attrs
        return torch.ops.bitwright.level_conv(
            _widen(x),
            self.weight,
            self.gain,
            self.offset,
            self.scale,
            self.bias,
            list(a.kernel_shape),
            list(a.strides),
            list(a.dilations),
            list(a.pads),
            a.group,
            a.channels,
            a.bits,
            a.pad_mode,
        )

    def extra_repr(self) -> str:
        a = self.attrs
        pad = f", pads={a.pads} ({'edge' if a.pad_mode == 'edge' else 'level 0'})" if any(a.pads) else ""
        return _map_repr(a, self.weight.shape[0]) + pad + _levels_repr(self, a.bits)


class PackedLevelLinear(PackedLayer):
    """Linear layer of 2^bits-level activations: x `[..., F]` to `[..., O]`. Weight uint8 `[O, bytes]`. Else as
    PackedLevelConv.
    """

    gain: Tensor
    offset: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(
        self, weight: Tensor, gain: Tensor, offset: Tensor, scale: Tensor, bias: Tensor, attrs: LevelLinearAttrs
    ) -> None:
        super().__init__(weight, gain=gain, offset=offset, scale=scale, bias=bias)
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.bitwright.level_linear(
            _widen(x),
            self.weight,
            self.gain,
            self.offset,
            self.scale,
            self.bias,
            self.attrs.channels,
            self.attrs.bits,
        )

    def extra_repr(self) -> str:
        return f"{self.attrs.channels}, {self.weight.shape[0]}" + _levels_repr(self, self.attrs.bits)


class PackedEmbedding(PackedLayer):
    """Embedding of ±1 rows: ids int64 or int32 `[...]` to float32 `[..., channels]` = scale[id] * row.

    Args:
        weight: uint8 `[V, bytes]`.
        scale: `[V]` or `[1]`.
        attrs: the length of a row.
    """

    scale: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, attrs: BinaryEmbeddingAttrs) -> None:
        super().__init__(weight, scale=scale)
        self.attrs = attrs

    def forward(self, ids: Tensor) -> Tensor:
        wanted = ids.long() if ids.dtype == torch.int32 else ids
        return torch.ops.bitwright.binary_embedding(wanted, self.weight, self.scale, self.attrs.channels)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, {self.attrs.channels}, 1-bit rows, {self.packed_bytes} bytes"


class PackedBinarize(FrozenModule):
    """A binarizer that stands alone: x `[N, ...]` to 1 where `x >= threshold`, else `low`, float32.

    Args:
        threshold: `[1]`, or as long as the axis it runs along.
        attrs: lower level and axis.
    """

    threshold: Tensor

    def __init__(self, threshold: Tensor, attrs: BinarizeAttrs) -> None:
        super().__init__(threshold=threshold)
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.bitwright.binarize(_widen(x), self.threshold, self.attrs.low, self.attrs.axis)

    def extra_repr(self) -> str:
        levels = "±1" if self.attrs.low else "{0,1}"
        return f"{levels}, {self.threshold.numel()} thresholds, axis={self.attrs.axis}, {self.packed_bytes} bytes"


class WeightOnlyConv(PackedLayer):
    """Convolution of real inputs with 1-bit weights: the weights are unpacked, then a standard convolution runs.

    Args:
        weight: uint8 `[R, taps, bytes]` of a weight in PyTorch's own layout `shape` = (R, channels, *kernel).
        scale, bias: `[O]`; `y = scale * conv(x, ±1) + bias`.
        attrs: the geometry; a transposed convolution where it is BinaryConvTransposeAttrs. Its `low` is not used.
    """

    scale: Tensor
    bias: Tensor

    def __init__(
        self,
        weight: Tensor,
        scale: Tensor,
        bias: Tensor,
        shape: tuple[int, ...],
        attrs: BinaryConvAttrs | BinaryConvTransposeAttrs,
    ) -> None:
        super().__init__(weight, scale=scale, bias=bias)
        self.shape = shape
        self.attrs = attrs

    def forward(self, x: Tensor) -> Tensor:
        a = self.attrs
        signs = torch.ops.bitwright.unpack_weight(self.weight, list(self.shape))
        if isinstance(a, BinaryConvTransposeAttrs):
            conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[a.rank - 1]
            sums = conv(x, signs, None, a.strides, a.pad_begin, a.output_padding, a.group, a.dilations)
        else:
            padded, padding = _pad(x, a)
            sums = (F.conv1d, F.conv2d, F.conv3d)[a.rank - 1](
                padded, signs, None, a.strides, padding, a.dilations, a.group
            )
        column = (-1, *(1,) * a.rank)
        return sums * self.scale.view(column) + self.bias.view(column)

    def extra_repr(self) -> str:
        return _map_repr(self.attrs, self.scale.shape[0]) + _bits_repr(self, None)


class WeightOnlyLinear(PackedLayer):
    """Linear layer of real inputs with 1-bit weights: `y = scale * (x · ±1) + bias`. Weight uint8 `[O, bytes]`.

    float16 and bfloat16 inputs give outputs of their type, summed in float32 (`bitwright::half_linear`).
    """

    scale: Tensor
    bias: Tensor

    def __init__(self, weight: Tensor, scale: Tensor, bias: Tensor, in_features: int) -> None:
        super().__init__(weight, scale=scale, bias=bias)
        self.in_features = in_features

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype in half_linear.FORMS:
            return torch.ops.bitwright.half_linear(x, self.weight, self.scale, self.bias, self.in_features)
        signs = torch.ops.bitwright.unpack_weight(self.weight, [self.weight.shape[0], self.in_features])
        return F.linear(x, signs) * self.scale + self.bias

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.weight.shape[0]}" + _bits_repr(self, None)


def _pad(x: Tensor, a: BinaryConvAttrs) -> tuple[Tensor, tuple[int, ...]]:
    """Padding that a standard convolution can do itself is left to it."""
    if a.pad_mode == "constant" and a.pad_value == 0 and a.pad_begin == a.pad_end:
        return x, a.pad_begin
    widths = [w for pair in zip(reversed(a.pad_begin), reversed(a.pad_end), strict=True) for w in pair]
    if a.pad_mode == "edge":
        return F.pad(x, widths, mode="replicate"), (0,) * a.rank
    return F.pad(x, widths, value=a.pad_value), (0,) * a.rank


def _map_repr(a: BinaryConvAttrs | BinaryConvTransposeAttrs | LevelConvAttrs, outputs: int) -> str:
    text = f"{a.group * a.channels}, {outputs}, kernel={a.kernel_shape}, stride={a.strides}"
    text += f", dilation={a.dilations}" if any(d != 1 for d in a.dilations) else ""
    return text + (f", groups={a.group}" if a.group != 1 else "")


def _bits_repr(layer: PackedLayer, low: float | None) -> str:
    inputs = {None: "real inputs", -1.0: "±1 inputs", 0.0: "{0,1} inputs"}[low]
    return f", 1-bit weights, {inputs}, {layer.packed_bytes} bytes"


def _levels_repr(layer: PackedLayer, bits: int) -> str:
    return f", 1-bit weights, {bits}-bit inputs, {layer.packed_bytes} bytes"
