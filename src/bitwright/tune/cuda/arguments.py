"""The arguments of kernels as C structures; the fields are those of kernels/product.cuh, in their order."""

from __future__ import annotations

import ctypes

from .conv import Conv2d

_POINTERS = "a w out partial a_sums w_terms row_class scale bias thresholds flips out_sums pad"
_NUMBERS = (
    "m n k_chunks a_chunks lda ldw ldo a_mul acc_mul swizzle h w_in pixel_chunks kernel_h kernel_w stride_h stride_w "
    "pad_h pad_w dilation_h dilation_w out_h out_w pad_sum groups group_channels fill d kernel_d stride_d pad_d "
    "dilation_d out_d"
)


class Product(ctypes.Structure):
    """Arguments of every product kernel."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in _POINTERS.split()),
        ("a_plane", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in _NUMBERS.split()),
    ]

    def set_geometry(self, conv: Conv2d, pixel_chunks: int) -> None:
        """Fills in a convolution."""
        self.h, self.w_in, self.pixel_chunks = conv.h, conv.w, pixel_chunks
        self.kernel_h, self.kernel_w = conv.kernel
        self.stride_h, self.stride_w = conv.stride
        self.pad_h, self.pad_w = conv.pad
        self.dilation_h, self.dilation_w = conv.dilation
        self.out_d, self.out_h, self.out_w = conv.out_all
        self.d, self.kernel_d, self.stride_d = conv.d, conv.kernel_d, conv.stride_d
        self.pad_d, self.dilation_d = conv.pad_d, conv.dilation_d
        self.groups, self.group_channels, self.fill = conv.groups, conv.group_channels, conv.fill


class Compare(ctypes.Structure):
    """Arguments of the kernel `compare`."""

    _fields_ = [*((name, ctypes.c_void_p) for name in ("found", "expected", "wrong")), ("words", ctypes.c_int64)]
