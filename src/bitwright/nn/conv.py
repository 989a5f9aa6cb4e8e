"""Binary convolutions over 1, 2 and 3 dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.binarize.method import Method
from bitwright.binarize.part import LayerShape
from bitwright.nn.base import BinaryLayer

Size = int | Sequence[int]


def sizes(name: str, value: Size, dims: int, least: int) -> tuple[int, ...]:
    """`value` as a tuple of `dims` integers. Raises ValueError or TypeError naming `name`."""
    values = (value,) * dims if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(values, Sequence) or isinstance(values, str) or not all(isinstance(v, int) for v in values):
        raise TypeError(f"{name} must be an integer or {dims} integers, got {value!r}")
    if len(values) != dims or min(values) < least:
        raise ValueError(f"{name} must be {dims} integers >= {least}, got {value!r}")
    return tuple(values)


def check_groups(in_channels: int, out_channels: int, groups: int) -> None:
    """Raises ValueError unless `groups` divides both channel counts."""
    if min(in_channels, out_channels, groups) < 1 or in_channels % groups or out_channels % groups:
        raise ValueError(
            f"groups must divide in_channels and out_channels, all positive; got groups={groups}, "
            f"in_channels={in_channels}, out_channels={out_channels}"
        )


class _BinaryConvNd(BinaryLayer):
    _dims = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = False,
        *,
        method: str | Method = "bnn",
        pad_value: float = 0.0,
        pad_mode: str = "constant",
        output_size: Sequence[int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        dims = self._dims
        check_groups(in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = sizes("kernel_size", kernel_size, dims, 1)
        self.stride = sizes("stride", stride, dims, 1)
        self.dilation = sizes("dilation", dilation, dims, 1)
        if isinstance(padding, str):
            self.pads_begin, self.pads_end = self._named_padding(padding)
        else:
            self.pads_begin = self.pads_end = sizes("padding", padding, dims, 0)
        self.padding = padding if isinstance(padding, str) else self.pads_begin
        if pad_mode not in ("constant", "replicate"):
            raise ValueError(f"pad_mode must be 'constant' or 'replicate', got {pad_mode!r}")
        if pad_value not in (-1, 0, 1):
            raise ValueError(f"pad_value must be -1, 0 or 1 (it is applied to the binarized map), got {pad_value!r}")
        if pad_mode == "replicate" and pad_value != 0:
            raise ValueError("pad_mode='replicate' repeats the edge; pad_value must stay 0")
        self.pad_mode, self.pad_value = pad_mode, float(pad_value)
        shape = LayerShape(
            kind="conv",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=self.kernel_size,
            groups=groups,
            stride=self.stride,
            dilation=self.dilation,
            pads_begin=self.pads_begin,
            pads_end=self.pads_end,
            pad_value=self.pad_value,
            pad_mode=pad_mode,
            output_size=None if output_size is None else sizes("output_size", output_size, dims, 1),
        )
        self._build(shape, method, options, bias, device, dtype)

    def _named_padding(self, padding: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        if padding == "valid":
            return (0,) * self._dims, (0,) * self._dims
        if padding != "same":
            raise ValueError(f"padding must be integers, 'same' or 'valid', got {padding!r}")
        if any(s != 1 for s in self.stride):
            raise ValueError(f"padding='same' needs stride 1, got stride={self.stride}")
        total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
        # an odd total puts the extra pixel at the end, as torch.nn does
        return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)

    def _apply_weight(self, a: Tensor, weight: Tensor) -> Tensor:
        return self._convolve(a, weight, self.groups)

    def _convolve(self, a: Tensor, weight: Tensor, groups: int) -> Tensor:
        if a.dim() != self._dims + 2:
            raise ValueError(
                f"{type(self).__name__} takes [N, {self.in_channels}] and {self._dims} spatial axes, got shape "
                f"{tuple(a.shape)}"
            )
        conv = (F.conv1d, F.conv2d, F.conv3d)[self._dims - 1]
        if self.pad_mode == "constant" and self.pad_value == 0 and self.pads_begin == self.pads_end:
            return conv(a, weight, None, self.stride, self.pads_begin, self.dilation, groups)
        pads = [p for b, e in zip(reversed(self.pads_begin), reversed(self.pads_end), strict=True) for p in (b, e)]
        if self.pad_mode == "replicate":
            a = F.pad(a, pads, mode="replicate")
        else:
            a = F.pad(a, pads, value=self.pad_value)
        return conv(a, weight, None, self.stride, 0, self.dilation, groups)

    def _apply_samples(self, a: Tensor, weights: Tensor) -> Tensor:
        # the samples become groups of one convolution
        n = a.shape[0]
        y = self._convolve(a.reshape(1, -1, *a.shape[2:]), weights.flatten(0, 1), n * self.groups)
        return y.view(n, -1, *y.shape[2:])

    def extra_repr(self) -> str:
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, method={self.method}"
        for name, default in (("stride", 1), ("dilation", 1)):
            if any(v != default for v in getattr(self, name)):
                text += f", {name}={getattr(self, name)}"
        if self.padding != (0,) * self._dims:
            text += f", padding={self.padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.pad_mode != "constant":
            text += f", pad_mode={self.pad_mode!r}"
        if self.pad_value:
            text += f", pad_value={self.pad_value:g}"
        return text + (", bias=True" if self.bias is not None else "")


_DOC = """Binary convolution over {dims} dimension(s): `[N, in_channels, *spatial]` to `[N, out_channels, *spatial']`.

    Args:
        in_channels, out_channels, kernel_size, stride, dilation, groups: as in `torch.nn.Conv{dims}d`.
        padding: integer(s), "same" (stride 1) or "valid".
        bias: a float bias per output channel; False by default, since a batch norm follows nearly always.
        method: name of a method or a `Method`; `**options` are its options (`get_method`).
        pad_value: -1, 0 or 1: the value of the padding *after* binarization. 0 is a true zero: the tap counts nothing.
        pad_mode: "constant" (with pad_value) or "replicate".
        output_size: spatial size of the output; only for methods whose parameters depend on it.
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: an impossible geometry.
        UnknownNameError: unknown method or option.
    """


class BinaryConv1d(_BinaryConvNd):
    __doc__ = _DOC.format(dims=1)
    _dims = 1


class BinaryConv2d(_BinaryConvNd):
    __doc__ = _DOC.format(dims=2)
    _dims = 2


class BinaryConv3d(_BinaryConvNd):
    __doc__ = _DOC.format(dims=3)
    _dims = 3
