"""`bitwright::half_linear`: real activations of 16 bits times 1-bit weights (W1A16), summed in float32.

What a weight-only linear layer runs when its input is float16 or bfloat16: on CUDA by the tuner's W1A16 kernels, which
read the weights as bits; elsewhere in plain torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from bitwright.export import reference_ops
from bitwright.export.checks import PackedOperatorError
from bitwright.nn.packing import packed_bytes

FORMS = {torch.float16: "f16", torch.bfloat16: "bf16"}
"""Formats of activations, as the tuner names them."""
SCHEMA = "(Tensor x, Tensor weight, Tensor scale, Tensor bias, int channels) -> Tensor"


@dataclass(frozen=True)
class HalfLinearAttrs:
    """`channels`: input features; `form`: of x."""

    channels: int
    form: str


def check(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, channels: int) -> HalfLinearAttrs:
    """What the operator's arguments are.

    Raises:
        PackedOperatorError: a tensor of a wrong dtype or shape.
    """
    if x.dtype not in FORMS:
        raise PackedOperatorError(f"half_linear: x must be float16 or bfloat16, got {x.dtype}")
    if x.ndim < 1 or x.shape[-1] != channels:
        raise PackedOperatorError(f"half_linear: x must have shape [..., {channels}], got {list(x.shape)}")
    outputs = weight.shape[0]
    if weight.dtype != torch.uint8 or list(weight.shape) != [outputs, packed_bytes(channels)]:
        raise PackedOperatorError(
            f"half_linear: weight must be packed bits, uint8 [O, {packed_bytes(channels)}], got {weight.dtype} "
            f"{list(weight.shape)}"
        )
    for name, value in (("scale", scale), ("bias", bias)):
        if value.dtype != torch.float32 or list(value.shape) != [outputs]:
            raise PackedOperatorError(
                f"half_linear: {name} must be float32 [{outputs}], got {value.dtype} {list(value.shape)}"
            )
    return HalfLinearAttrs(channels, FORMS[x.dtype])


@torch.library.custom_op("bitwright::half_linear", mutates_args=(), schema=SCHEMA)
def half_linear(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, channels: int) -> Tensor:
    """x float16 or bfloat16 `[..., F]`, weight uint8 `[O, B]`, scale, bias float32 `[O]` to `[..., O]` of x's dtype."""
    return reference_ops.half_linear(x, weight, scale, bias, check(x, weight, scale, bias, channels))


@half_linear.register_kernel("cuda")
def _half_linear_cuda(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, channels: int) -> Tensor:
    from bitwright.export import cuda

    return cuda.run("half_linear", x, weight, (scale, bias), check(x, weight, scale, bias, channels))


@half_linear.register_fake
def _half_linear_fake(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor, channels: int) -> Tensor:
    check(x, weight, scale, bias, channels)
    return x.new_empty((*x.shape[:-1], weight.shape[0]))
