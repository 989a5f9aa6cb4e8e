"""Binary transposed convolution."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.binarize.method import Method
from bitwright.binarize.part import LayerShape
from bitwright.nn.base import BinaryLayer
from bitwright.nn.conv import Size, check_groups, sizes


class BinaryConvTranspose2d(BinaryLayer):
    """Binary transposed convolution: `[N, in_channels, H, W]` to `[N, out_channels, H', W']`.

    `weight` has the shape of `torch.nn.ConvTranspose2d`, `[in_channels, out_channels / groups, kh, kw]`; scales are
    per output channel ("filter form" is `weight[:, o]`). `padding` crops the output, as in torch.

    Args:
        in_channels, out_channels, kernel_size, stride, padding, output_padding, groups, dilation: as in torch.
        bias: a float bias per output channel.
        method: name of a method or a `Method`; `**options` are its options (`get_method`).
        device, dtype: of the parameters.

    Raises:
        ValueError, TypeError: an impossible geometry.
        UnknownNameError: unknown method or option.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = False,
        dilation: Size = 1,
        *,
        method: str | Method = "bnn",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        check_groups(in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = sizes("kernel_size", kernel_size, 2, 1)
        self.stride = sizes("stride", stride, 2, 1)
        self.padding = sizes("padding", padding, 2, 0)
        self.output_padding = sizes("output_padding", output_padding, 2, 0)
        self.dilation = sizes("dilation", dilation, 2, 1)
        for o, s, d in zip(self.output_padding, self.stride, self.dilation, strict=True):
            if o >= max(s, d):
                raise ValueError(f"output_padding must be smaller than stride or dilation, got {self.output_padding}")
        shape = LayerShape(
            kind="conv_transpose",
            in_channels=in_channels,
            out_channels=out_channels,
            kernel_size=self.kernel_size,
            groups=groups,
            stride=self.stride,
            dilation=self.dilation,
            pads_begin=self.padding,
            pads_end=self.padding,
        )
        self._build(shape, method, options, bias, device, dtype)

    def _to_filters(self, weight: Tensor) -> Tensor:
        # [I, O/g, *k] -> [O, I/g, *k]
        return weight.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1)

    def _from_filters(self, filters: Tensor) -> Tensor:
        # the same exchange of the two channel axes inside each group
        return filters.unflatten(0, (self.groups, -1)).transpose(1, 2).flatten(0, 1)

    def _apply_weight(self, a: Tensor, weight: Tensor) -> Tensor:
        if a.dim() != 4:
            raise ValueError(f"BinaryConvTranspose2d takes [N, {self.in_channels}, H, W], got shape {tuple(a.shape)}")
        return F.conv_transpose2d(
            a, weight, None, self.stride, self.padding, self.output_padding, self.groups, self.dilation
        )

    def extra_repr(self) -> str:
        return (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, method={self.method}, "
            f"stride={self.stride}, padding={self.padding}, output_padding={self.output_padding}, "
            f"groups={self.groups}, dilation={self.dilation}, bias={self.bias is not None}"
        )
