"""Binary fully connected layer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.binarize.method import Method
from bitwright.binarize.part import LayerShape
from bitwright.nn.base import BinaryLayer


class BinaryLinear(BinaryLayer):
    """Binary linear layer: `[..., in_features]` to `[..., out_features]`.

    Args:
        in_features, out_features: sizes.
        bias: a float bias per output.
        method: name of a method or a `Method`; `**options` are its options (`get_method`).
        device, dtype: of the parameters.

    Raises:
        ValueError: sizes below 1.
        UnknownNameError: unknown method or option.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = False,
        *,
        method: str | Method = "bnn",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if in_features < 1 or out_features < 1:
            raise ValueError(f"features must be positive, got in_features={in_features}, out_features={out_features}")
        self.in_features, self.out_features = in_features, out_features
        shape = LayerShape(kind="linear", in_channels=in_features, out_channels=out_features)
        self._build(shape, method, options, bias, device, dtype)

    def _apply_weight(self, a: Tensor, weight: Tensor) -> Tensor:
        return F.linear(a, weight)

    def _apply_samples(self, a: Tensor, weights: Tensor) -> Tensor:
        return torch.matmul(a.view(a.shape[0], -1, a.shape[-1]), weights.transpose(1, 2)).view(*a.shape[:-1], -1)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, method={self.method}, bias={self.bias is not None}"
