"""freeze: every binary layer, and every binarizer that stands alone, of a trained model becomes its packed twin."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn

from bitwright.compiler.dialect import (
    BinarizeAttrs,
    BinaryConvAttrs,
    BinaryConvTransposeAttrs,
    BinaryEmbeddingAttrs,
    BinaryLinearAttrs,
    DialectError,
    LevelConvAttrs,
    LevelLinearAttrs,
)
from bitwright.export.bits import exchange_channels
from bitwright.export.packed import (
    FrozenModule,
    PackedBinarize,
    PackedConv,
    PackedConvTranspose,
    PackedEmbedding,
    PackedLayer,
    PackedLevelConv,
    PackedLevelLinear,
    PackedLinear,
    WeightOnlyConv,
    WeightOnlyLinear,
)
from bitwright.export.packed_shared import SharedRow
from bitwright.export.packed_sum import PackedSum
from bitwright.nn.base import BinaryLayer
from bitwright.nn.binarizer import Binarizer, binarizer_code
from bitwright.nn.packing import pack_filters
from bitwright.nn.spec import BinarySpec, LevelsCode, NotPackableError, WeightPlane

PAD_MODES = {"constant": "constant", "replicate": "edge"}


Latent = BinaryLayer | Binarizer


class LatentLayerError(ValueError):
    """A model still has latent binary layers where a frozen one is needed."""


def latent_layers(model: nn.Module) -> Iterator[tuple[str, Latent]]:
    """Path and module of everything that `freeze` replaces and that is not packed yet: binary layers, and binarizers
    (RSign, activation binarizers) that stand outside of one. A shared module once, under its first path.
    """
    seen: set[int] = set()

    def walk(path: str, module: nn.Module) -> Iterator[tuple[str, Latent]]:
        if id(module) in seen:
            return
        seen.add(id(module))
        if isinstance(module, Latent):
            yield path, module
            return  # what is inside belongs to it
        if isinstance(module, FrozenModule):
            return
        for name, child in module._modules.items():
            if child is not None:
                yield from walk(f"{path}.{name}" if path else name, child)

    yield from walk("", model)


def check_frozen(model: nn.Module, verb: str) -> None:
    """Raises LatentLayerError, naming the layers, if `model` still has latent binary layers."""
    found = [f"{path or '(the model itself)'} ({type(layer).__name__})" for path, layer in latent_layers(model)]
    if found:
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        raise LatentLayerError(
            f"{verb} needs a frozen model, but these layers are still latent: {', '.join(found[:3])}{more}. "
            "Call bw.export.freeze(model) first"
        )


def freeze(model: nn.Module, inplace: bool = False) -> nn.Module:
    """A model in eval mode whose binary layers hold 1-bit weights; everything else is kept, names and hierarchy too.

    Binarizers that stand alone (RSign, activation binarizers) become one comparison with their threshold.

    The frozen model computes what `model.eval()` computes, bit for bit. A module that appears at several places is
    packed once and stays shared.

    Args:
        model: any module; without binary layers it is only set to eval mode.
        inplace: change `model` itself (memory for one copy); it is changed completely or, on an error, not at all. If
            `model` itself is a binary layer, only the returned value is packed.

    Raises:
        NotPackableError: layers cannot be expressed by bit planes; the message names each with the reason.
    """
    packed: dict[int, FrozenModule] = {}
    failures: list[str] = []
    for path, layer in latent_layers(model):
        try:
            packed[id(layer)] = pack_layer(layer)
        except (NotPackableError, DialectError) as error:
            failures.append(f"{path or '(the model itself)'} ({type(layer).__name__}): {error}")
    if failures:
        raise NotPackableError("cannot freeze:\n  " + "\n  ".join(failures))
    if id(model) in packed:
        return packed[id(model)]
    # deepcopy takes the packed twin for what it has "copied" already, so latent weights are never copied.
    memo: dict[int, object] = dict(packed)
    result = model if inplace else copy.deepcopy(model, memo)
    if inplace:
        for module in list(model.modules()):
            # not named_children(): it leaves out the second name of a child that a module holds twice
            for name, child in list(module._modules.items()):
                if id(child) in packed:
                    setattr(module, name, packed[id(child)])
    return result.eval()


def pack_layer(layer: Latent) -> FrozenModule:
    """The packed twin of one binary layer, or of one binarizer.

    Raises:
        NotPackableError: the layer's method cannot be expressed by bit planes.
    """
    with torch.no_grad():
        if not isinstance(layer, BinaryLayer):
            code, axis = binarizer_code(layer)
            return PackedBinarize(code.threshold, BinarizeAttrs(code.low, axis))
        terms = layer.binary_terms()
        specs = [
            BinarySpec(plane.bits, plane.scale, None, activation)
            for plane in terms.weights
            for activation in (terms.activations if terms.activations is not None else (None,))
        ]
        if len(specs) == 1 and terms.folded and not terms.prepares and terms.mixing is None and terms.constant is None:
            return _pack_term(layer, replace(specs[0], bias=terms.bias))
        return PackedSum(
            [_pack_plane(layer, spec) for spec in specs],
            bias=terms.bias,
            shape=layer.shape,
            prepare=layer.activation if terms.prepares else None,
            output=None if terms.folded else layer.output,
            mixing=None if terms.mixing is None else _pack_mixing(layer, terms.mixing),
            chooser=terms.chooser,
            choices=len(terms.weights),
            constant=terms.constant,
        )


def _pack_mixing(layer: BinaryLayer, mixing: WeightPlane) -> PackedLayer:
    """The second factor of a weight: a linear layer, or a convolution with a kernel of one tap, of real inputs."""
    bias, (rows, terms) = torch.zeros_like(mixing.scale), mixing.bits.shape
    dims, groups = len(layer.shape.kernel_size), layer.shape.groups
    if dims == 0:
        return WeightOnlyLinear(pack_filters(mixing.bits), mixing.scale, bias, terms)
    one = (1,) * dims
    bits = mixing.bits.view(rows, terms, *one)
    attrs = BinaryConvAttrs(one, one, one, (0,) * (2 * dims), groups, terms, -1.0, "constant", 0.0)
    return WeightOnlyConv(pack_filters(bits), mixing.scale, bias, tuple(bits.shape), attrs)


def _pack_plane(layer: BinaryLayer, spec: BinarySpec) -> PackedLayer | SharedRow:
    """One plane of several: weights that are all 1 are counted once for all filters."""
    shape = layer.shape
    if spec.activation is None or shape.kind == "embedding" or not bool(spec.weight.all()):
        return _pack_term(layer, spec)
    outer, inner = spec.weight.shape[:2]
    size = (outer, 1) if shape.kind == "conv_transpose" else (shape.groups, inner)
    ones = spec.weight.new_ones((*size, *spec.weight.shape[2:]))
    one = spec.weight_scale.new_ones(shape.groups)
    activation = replace(spec.activation, scale=1.0)
    row = _pack_term(layer, BinarySpec(ones, one, None, activation))
    return SharedRow(row, spec.weight_scale * spec.activation.scale, len(shape.kernel_size), shape.groups)


def _pack_term(layer: BinaryLayer, spec: BinarySpec) -> PackedLayer:
    """One plane of weights on one plane of activations."""
    kind = layer.shape.kind
    if kind == "embedding":
        embedding = BinaryEmbeddingAttrs(layer.shape.in_channels)
        return PackedEmbedding(pack_filters(spec.weight), spec.weight_scale, embedding)
    scale, bias = spec.weight_scale, spec.bias
    if spec.activation is not None:
        scale = scale * spec.activation.scale
    if bias is None:
        bias = torch.zeros_like(scale)
    if kind == "linear":
        return _pack_linear(layer, spec, scale, bias)
    if kind in ("conv", "conv_transpose"):
        return _pack_conv(layer, spec, scale, bias)
    raise NotPackableError(
        f"layers of kind {kind!r} have no packed twin; known: conv, conv_transpose, linear, embedding"
    )


def _pack_linear(layer: BinaryLayer, spec: BinarySpec, scale: Tensor, bias: Tensor) -> PackedLayer:
    weight, features = pack_filters(spec.weight), layer.shape.in_channels
    if spec.activation is None:
        return WeightOnlyLinear(weight, scale, bias, features)
    if isinstance(spec.activation, LevelsCode):
        a = spec.activation
        return PackedLevelLinear(weight, a.gain, a.offset, scale, bias, LevelLinearAttrs(features, a.bits))
    attrs = BinaryLinearAttrs(features, spec.activation.low)
    return PackedLinear(weight, spec.activation.threshold, scale, bias, attrs)


def _pack_conv(layer: BinaryLayer, spec: BinarySpec, scale: Tensor, bias: Tensor) -> PackedLayer:
    if isinstance(spec.activation, LevelsCode):
        return _pack_level_conv(layer, spec, spec.activation, scale, bias)
    attrs = _conv_attrs(layer, -1.0 if spec.activation is None else spec.activation.low)
    if spec.activation is None:
        return WeightOnlyConv(pack_filters(spec.weight), scale, bias, tuple(spec.weight.shape), attrs)
    threshold = spec.activation.threshold
    if isinstance(attrs, BinaryConvTransposeAttrs):
        rows = pack_filters(exchange_channels(spec.weight, attrs.group))
        return PackedConvTranspose(rows, threshold, scale, bias, attrs)
    return PackedConv(pack_filters(spec.weight), threshold, scale, bias, attrs)


def _pack_level_conv(layer: BinaryLayer, spec: BinarySpec, a: LevelsCode, scale: Tensor, bias: Tensor) -> PackedLayer:
    binary = _conv_attrs(layer, 0.0)
    if isinstance(binary, BinaryConvTransposeAttrs):
        raise NotPackableError(
            f"a transposed convolution of {a.bits}-bit activations has no packed twin; use 1-bit activations there"
        )
    if binary.pad_mode == "constant" and any(binary.pads) and binary.pad_value != 0:
        raise NotPackableError(
            f"pad_value {binary.pad_value:g} of a convolution of {a.bits}-bit activations; their padding is 0"
        )
    attrs = LevelConvAttrs(
        binary.kernel_shape,
        binary.strides,
        binary.dilations,
        binary.pads,
        binary.group,
        binary.channels,
        a.bits,
        binary.pad_mode,
    )
    return PackedLevelConv(pack_filters(spec.weight), a.gain, a.offset, scale, bias, attrs)


def _conv_attrs(layer: BinaryLayer, low: float) -> BinaryConvAttrs | BinaryConvTransposeAttrs:
    shape = layer.shape
    kernel, stride, dilation = shape.kernel_size, shape.stride, shape.dilation
    pads, channels = (*shape.pads_begin, *shape.pads_end), shape.in_channels // shape.groups
    if shape.kind == "conv_transpose":
        extra = cast("tuple[int, ...]", layer.output_padding)
        return BinaryConvTransposeAttrs(kernel, stride, dilation, pads, extra, shape.groups, channels, low)
    if shape.pad_mode not in PAD_MODES:
        raise NotPackableError(f"pad_mode {shape.pad_mode!r} cannot be packed; known: {', '.join(PAD_MODES)}")
    mode = PAD_MODES[shape.pad_mode]
    return BinaryConvAttrs(kernel, stride, dilation, pads, shape.groups, channels, low, mode, float(shape.pad_value))
