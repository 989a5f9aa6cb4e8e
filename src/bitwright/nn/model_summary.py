"""`summary`: shapes, parameters by precision, multiplications by precision, bytes on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.binarize.part import Part
from bitwright.nn.base import BinaryLayer
from bitwright.nn.binarizer import Binarizer, binarizer_code
from bitwright.nn.embedding import BinaryEmbedding
from bitwright.nn.packing import packed_bytes
from bitwright.nn.report import text_table
from bitwright.nn.spec import LevelsCode, NotPackableError

FLOAT_BITS = 32


@dataclass(frozen=True)
class SummaryRow:
    """One module that owns parameters or buffers, or that computes.

    `weight_bits` / `activation_bits` give the precision of its multiplications (32: float). `macs` are
    multiply-accumulates of all its calls for the given input; None means that the module has weights but its
    multiplications are not counted.
    """

    name: str
    type: str
    output_shape: tuple[int, ...]
    weight_bits: int
    activation_bits: int
    calls: int
    binary_params: int
    float_params: int
    macs: int | None
    bytes: int


@dataclass(frozen=True)
class Summary:
    """The table and its totals; `print` shows it.

    `bytes` is what `bitwright.export.save_packed` writes for the frozen model (its file has a header of names beside):
    1 bit per binary weight, each filter tap padded to whole 32-bit words, a scale and a bias for every output channel,
    the thresholds, and all other tensors of the state_dict (batch norm, float layers).
    """

    rows: tuple[SummaryRow, ...]

    @property
    def binary_params(self) -> int:
        return sum(row.binary_params for row in self.rows)

    @property
    def float_params(self) -> int:
        return sum(row.float_params for row in self.rows)

    @property
    def bytes(self) -> int:
        return sum(row.bytes for row in self.rows)

    @property
    def float_bytes(self) -> int:
        """Bytes of the same network with every parameter in float32."""
        return 4 * (self.binary_params + self.float_params)

    @property
    def macs_by_precision(self) -> dict[tuple[int, int], int]:
        """(weight bits, activation bits) -> multiply-accumulates."""
        total: dict[tuple[int, int], int] = {}
        for row in self.rows:
            if row.macs:
                key = (row.weight_bits, row.activation_bits)
                total[key] = total.get(key, 0) + row.macs
        return total

    @property
    def binary_macs(self) -> int:
        """Multiply-accumulates of 1-bit weights with 1-bit activations."""
        return self.macs_by_precision.get((1, 1), 0)

    @property
    def float_macs(self) -> int:
        """All others."""
        return sum(self.macs_by_precision.values()) - self.binary_macs

    @property
    def uncounted(self) -> list[str]:
        """Modules with weights whose multiplications are not counted."""
        return [row.name for row in self.rows if row.macs is None]

    def __str__(self) -> str:
        header = [
            "layer",
            "type",
            "output",
            "W/A bits",
            "1-bit params",
            "float params",
            "1-bit MACs",
            "float MACs",
            "bytes",
        ]
        body = []
        for row in self.rows:
            binary = (row.weight_bits, row.activation_bits) == (1, 1)
            macs = "?" if row.macs is None else f"{row.macs:,}"
            shown = row.macs is None or row.macs > 0
            body.append(
                [
                    row.name or "(model)",
                    row.type + (f" x{row.calls}" if row.calls > 1 else ""),
                    "x".join(map(str, row.output_shape)) or ("not called" if row.calls == 0 else "-"),
                    f"{row.weight_bits}/{row.activation_bits}" if shown else "",
                    f"{row.binary_params:,}" if row.binary_params else "",
                    f"{row.float_params:,}" if row.float_params else "",
                    macs if shown and binary else "",
                    macs if shown and not binary else "",
                    f"{row.bytes:,}" if row.bytes else "",
                ]
            )
        totals = ["total", "", "", "", f"{self.binary_params:,}", f"{self.float_params:,}"]
        body.append([*totals, f"{self.binary_macs:,}", f"{self.float_macs:,}", f"{self.bytes:,}"])
        lines = [text_table(header, body, right=range(4, 9))]
        ratio = self.float_bytes / self.bytes if self.bytes else 1.0
        lines.append(f"{self.bytes:,} bytes; in float32 {self.float_bytes:,} bytes, {ratio:.1f} times as many")
        if self.uncounted:
            lines.append(f"multiplications not counted (?): {', '.join(self.uncounted)}")
        return "\n".join(lines)


def summary(model: nn.Module, example: Tensor | Sequence[int] | Sequence[Any]) -> Summary:
    """Runs the model once in eval mode, without gradient, and lists what every module holds and computes.

    Args:
        model: any module. Shared modules and shared parameters are counted once in size, and once a call in
            multiplications.
        example: an input tensor, a tuple or list of inputs, or the shape of a float input including the batch axis; the
            multiplications are those of this input.

    Returns:
        A `Summary`. Convolutions, transposed convolutions, linear and embedding layers are counted; products written
        with functions in a `forward` (attention scores, say) are not. Zero padding counts as if it were data.

    Raises:
        TypeError: `example` is neither tensors nor a shape.
    """
    inputs = _inputs(model, example)
    calls: dict[nn.Module, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {}

    def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        shape_in = tuple(args[0].shape) if args and isinstance(args[0], Tensor) else ()
        calls.setdefault(module, []).append((shape_in, tuple(output.shape) if isinstance(output, Tensor) else ()))

    handles = [module.register_forward_hook(hook) for module in model.modules()]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
    rows = []
    inside: set[nn.Module] = set()
    seen: set[int] = set()
    for name, module in model.named_modules():
        if module in inside:
            continue
        if isinstance(module, (BinaryLayer, Binarizer)):
            inside.update(list(module.modules())[1:])
        row = _row(name, module, calls.get(module, []), seen)
        if row is not None:
            rows.append(row)
    return Summary(tuple(rows))


def _inputs(model: nn.Module, example: Any) -> tuple[Any, ...]:
    if isinstance(example, Tensor):
        return (example,)
    if isinstance(example, (tuple, list, torch.Size)) and len(example):
        if all(isinstance(size, int) and not isinstance(size, bool) for size in example):
            like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
            return (torch.zeros(tuple(example), device=like.device, dtype=like.dtype),)
        if any(isinstance(item, Tensor) for item in example):
            return tuple(example)
    raise TypeError(f"summary needs an input tensor, a tuple of inputs or a shape, got {example!r}")


def _binarizer_row(name: str, module: Binarizer, calls: list[Any], seen: set[int]) -> SummaryRow | None:
    """A binarizer that stands alone: frozen, it is its thresholds."""
    params = [p for p in module.parameters() if id(p) not in seen]
    seen.update(id(p) for p in params)
    count = sum(p.numel() for p in params)
    try:
        floats = binarizer_code(module)[0].threshold.numel()
    except NotPackableError:
        floats = count  # it stays as it is
    shape = calls[-1][1] if calls else ()
    kind = type(module).__name__
    return SummaryRow(name, kind, shape, FLOAT_BITS, FLOAT_BITS, len(calls), 0, count, 0, 4 * floats)


def _row(name: str, module: nn.Module, calls: list[Any], seen: set[int]) -> SummaryRow | None:
    if isinstance(module, Binarizer):
        return _binarizer_row(name, module, calls, seen)
    own = list(module.modules()) if isinstance(module, BinaryLayer) else [module]
    floats = 0
    params = 0
    binary = 0
    extra = 0  # bytes of packed weights and of buffers
    weight_bits = activation_bits = FLOAT_BITS
    fresh = [p for m in own for p in m.parameters(recurse=False) if id(p) not in seen]
    packs = isinstance(module, BinaryLayer) and (
        module.weight_binarizer.planes > 0 or module.is_factored or module.is_choosing
    )
    if isinstance(module, BinaryLayer) and module.stage == "full" and packs:
        weight_bits = max(1, module.weight_binarizer.planes)  # of each factor, of each weight to choose from
        if module.activation is not None and module.activation.planes > 0:
            activation_bits = math.ceil(math.log2(module.activation.planes + 1))
        if (module.is_exact or module.is_choosing) and any(p is module.weight for p in fresh):
            binary = module.weight.numel()
            extra = _packed_layer_bytes(module)
            fresh = [p for p in fresh if p is not module.weight]
            params = sum(p.numel() for p in fresh)
            fresh = []  # they are in the packed layer
    for p in fresh:
        params += p.numel()
        floats += p.numel()
    seen.update(id(p) for m in own for p in m.parameters(recurse=False))
    if not isinstance(module, (BinaryLayer, Part)):
        for buffer in module.buffers(recurse=False):
            if id(buffer) not in seen:
                extra += buffer.numel() * buffer.element_size()
                seen.add(id(buffer))
    macs = _macs(module, calls)
    if macs == 0 and not (floats or params or binary or extra):
        return None
    shape = calls[-1][1] if calls else ()
    return SummaryRow(
        name=name,
        type=type(module).__name__,
        output_shape=shape,
        weight_bits=weight_bits,
        activation_bits=activation_bits,
        calls=len(calls),
        binary_params=binary,
        float_params=params,
        macs=macs,
        bytes=extra + 4 * floats,
    )


def _packed_layer_bytes(layer: BinaryLayer) -> int:
    """Bytes of the frozen layer's tensors: the bits of every different weight plane once, and the float vectors of
    every pair of a weight plane and an activation plane. Planes that are all 1 are one row a group.
    """
    terms, shape = layer.binary_terms(), layer.weight_shape
    row = math.prod(shape.kernel_size) * packed_bytes(shape.in_channels // shape.groups)
    activations = terms.activations or (None,)
    several = len(terms.weights) * len(activations) > 1 or terms.prepares or not terms.folded
    several = several or terms.mixing is not None
    floats = bits = 0
    different: list[Tensor] = []
    for plane in terms.weights:
        shared = several and terms.activations is not None and bool(plane.bits.all())
        rows = shape.groups if shared else len(plane.scale)
        if not any(torch.equal(plane.bits, other) for other in different):
            different.append(plane.bits)
            bits += rows * row
        for term in activations:
            floats += rows * (1 if shape.kind == "embedding" else 2)  # scale and bias
            floats += shape.out_channels if shared else 0
            if term is not None:
                own = (term.gain, term.offset) if isinstance(term, LevelsCode) else (term.threshold,)
                floats += sum(t.numel() for t in own)
    if terms.mixing is not None:
        outputs, terms_per_group = terms.mixing.bits.shape
        bits += outputs * packed_bytes(terms_per_group)
        floats += 2 * outputs
    size = bits + 4 * floats
    if several:
        size += sum(4 * t.numel() for t in (terms.bias, terms.constant) if t is not None)
        kept = [layer.activation if terms.prepares else None, None if terms.folded else layer.output, terms.chooser]
        size += sum(t.numel() * t.element_size() for part in kept if part is not None for t in _tensors(part))
    return size


def _tensors(part: nn.Module) -> list[Tensor]:
    return [*part.parameters(), *part.buffers()]


_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_LOOKUPS = (nn.Embedding, nn.EmbeddingBag, BinaryEmbedding)
_ELEMENTWISE_WITH_MATRICES = (nn.LayerNorm, nn.RMSNorm)


def _macs(module: nn.Module, calls: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> int | None:
    """Multiply-accumulates of all calls; 0 for modules that have none; None where they are unknown."""
    if isinstance(module, _LOOKUPS):
        return 0
    kind = module.shape.kind if isinstance(module, BinaryLayer) else ""
    if kind == "conv" or isinstance(module, _CONVS):
        groups, channels, kernel = _conv_facts(module)
        return sum(math.prod(out) * (channels // groups) * kernel for _, out in calls)
    if kind == "conv_transpose" or isinstance(module, _TRANSPOSED):
        groups, _, kernel = _conv_facts(module)
        outputs = _integer(module, "out_channels") // groups
        return sum(math.prod(x) * outputs * kernel for x, _ in calls)
    if kind == "linear" or isinstance(module, nn.Linear):
        return sum(math.prod(out) * _integer(module, "in_features") for _, out in calls)
    if isinstance(module, _ELEMENTWISE_WITH_MATRICES):
        return 0
    # whatever else owns a matrix multiplies with it in a way that is not known here (LSTM, attention, own layers)
    matrices = [p for p in module.parameters(recurse=False) if p.dim() >= 2 and sum(n > 1 for n in p.shape) >= 2]
    return None if matrices and calls else 0


def _integer(module: Any, name: str) -> int:
    return int(getattr(module, name))


def _conv_facts(module: Any) -> tuple[int, int, int]:
    return int(module.groups), int(module.in_channels), math.prod(module.kernel_size)
