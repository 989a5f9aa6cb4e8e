"""Weights in the kernels' layout, made once for each weight tensor and freed with it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

from bitwright.export.bits import unpack_rows
from bitwright.tune.cuda import Conv2d
from bitwright.tune.cuda.algebra import CHUNK, Terms, pack_rows, terms_of

_BYTES = CHUNK // 8  # of a chunk
DENSE = {"dense_s8": torch.int8, "dense_f16": torch.float16}
"""Types of the numbers of dense kernels, by their logic (`Build.logic`)."""
WORDS = "direct"
"""The logic of kernels that take weights as they are stored."""


@dataclass
class TermTensors:
    """The factors of a product (`bitwright.tune.cuda.algebra.Terms`) on the device."""

    acc_mul: int
    a_mul: int
    pad_sum: int
    w_terms: Tensor  # int32 [classes, n]
    row_class: Tensor | None  # int32 [out pixels]
    pad: Tensor | None  # a pixel of padding, as activations are stored


@dataclass
class Prepared:
    """One weight tensor."""

    stamp: tuple[int, ...]
    device: torch.device
    rows: dict[str, Tensor] = field(default_factory=dict)  # by layout: [n, taps * whole chunks], see `rows_of`
    terms: dict[tuple[str, str, Conv2d | None], TermTensors] = field(default_factory=dict)


class WeightCache:
    """Prepared weights by tensor; the tensor is held weakly.

    A weight that was written to since is laid out again into the same memory, so that CUDA graphs that were captured
    before read the new one. Writes to tensors made in inference mode leave no trace, so those are laid out anew in each
    call.
    """

    def __init__(self) -> None:
        self._known: WeakIdKeyDictionary = WeakIdKeyDictionary()

    def __len__(self) -> int:
        return len(self._known)

    def ready(self, weight: Tensor, form: str, logic: str, conv: Conv2d | None) -> bool:
        """Whether `of` has nothing to do."""
        known: Prepared | None = self._known.get(weight)
        return known is not None and known.stamp == _stamp(weight) != () and _key(form, logic, conv) in known.terms

    def of(
        self, weight: Tensor, channels: int, form: str, logic: str, conv: Conv2d | None
    ) -> tuple[Tensor, TermTensors]:
        """Rows and terms of a weight (uint8 `[O, B]` or `[O, T, B]`) for activations of a format.

        `channels`: of a row of the weight, which is one group's. The first call copies the weight to the host.
        """
        known: Prepared | None = self._known.get(weight)
        stamp = _stamp(weight)
        if known is None or known.device != weight.device:
            known = self._known[weight] = Prepared(stamp, weight.device)
        elif known.stamp != stamp or stamp == ():
            known.stamp = stamp
            for layout, old_rows in known.rows.items():
                old_rows.copy_(rows_of(weight, channels, layout))
            for (a, by, geometry), old in known.terms.items():
                old.w_terms.copy_(_terms(weight, channels, a, by, geometry).w_terms)
        layout, key = logic if logic in DENSE or logic == WORDS else "bits", _key(form, logic, conv)
        if layout not in known.rows:
            known.rows[layout] = rows_of(weight, channels, layout)
        if key not in known.terms:
            known.terms[key] = _terms(weight, channels, *key)
        return known.rows[layout], known.terms[key]


def _stamp(weight: Tensor) -> tuple[int, ...]:
    """Changes with the tensor's content; () where that cannot be known."""
    return () if weight.is_inference() else (weight._version, weight.data_ptr())


def _key(form: str, logic: str, conv: Conv2d | None) -> tuple[str, str, Conv2d | None]:
    """What terms depend on: of a convolution not the number of images."""
    return form, logic, None if conv is None else replace(conv, images=1)


def rows_of(weight: Tensor, channels: int, layout: str) -> Tensor:
    """A weight's rows, each tap padded with zeros to whole chunks: bytes of bits, or of a dense logic numbers ±1.

    Of `WORDS` as they are stored.
    """
    if layout == WORDS:
        return weight.flatten(1).clone()
    if layout == "bits":
        return F.pad(weight, (0, -weight.shape[-1] % _BYTES)).flatten(1).contiguous()
    signs = unpack_rows(weight, channels).to(torch.int8) * 2 - 1
    return chunked(signs.to(DENSE[layout])).flatten(1).contiguous()


def chunked(numbers: Tensor) -> Tensor:
    """The last axis padded with zeros to whole chunks."""
    return F.pad(numbers, (0, -numbers.shape[-1] % (_BYTES // numbers.element_size()))).contiguous()


def _terms(weight: Tensor, channels: int, form: str, logic: str, conv: Conv2d | None) -> TermTensors:
    device, outputs = weight.device, weight.shape[0]
    pad = None
    if logic in DENSE or logic in ("exact", WORDS):
        terms = Terms(1, 0, np.zeros((1, outputs), np.int32))
        if logic in DENSE and conv is not None and conv.fill != 0:
            pad = chunked(torch.full((channels,), conv.fill, dtype=DENSE[logic], device=device))
    else:
        bits = unpack_rows(weight.detach().cpu(), channels).numpy()
        terms = terms_of(form, logic, bits, conv)
        if terms.pad_bits is not None:
            pad = torch.from_numpy(pack_rows(terms.pad_bits).view(np.int32)).to(device)
    row_class = None if terms.row_class is None else torch.from_numpy(terms.row_class).to(device)
    w_terms = torch.from_numpy(np.ascontiguousarray(terms.w_terms)).to(device)
    return TermTensors(terms.acc_mul, terms.a_mul, terms.pad_sum, w_terms, row_class, pad)
