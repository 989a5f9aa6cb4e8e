"""A table of binary rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.binarize.method import Method
from bitwright.binarize.part import LayerShape
from bitwright.nn.base import BinaryLayer, ReadyWeight


class BinaryEmbedding(BinaryLayer):
    """Looks up rows of a 1-bit table: int64 ids `[...]` to `[..., embedding_dim]`, each row its scale times ±1.

    A row is a filter: "filter" scales are one number per row. Activation and output parts of the method are not used.

    Args:
        num_embeddings: rows.
        embedding_dim: channels of a row.
        padding_idx: this row gets no gradient (its value is ±scale like any other: a bit cannot be 0).
        method: name of a method or a `Method`; `**options` are its options (`get_method`).
        device, dtype: of the parameters.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        method: str | Method = "bnn",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if num_embeddings < 1 or embedding_dim < 1:
            raise ValueError(
                f"sizes must be positive, got num_embeddings={num_embeddings}, embedding_dim={embedding_dim}"
            )
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx must name one of {num_embeddings} rows, got {padding_idx}")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        shape = LayerShape(kind="embedding", in_channels=embedding_dim, out_channels=num_embeddings)
        self._build(shape, method, options, False, device, dtype)

    def _forward_train(self, x: Tensor, ready: ReadyWeight | None = None) -> Tensor:
        latent = self.weight
        w = self.weight_binarizer(latent) if self._stage == "full" else self.weight_binarizer.real(latent)
        return F.embedding(x, w.to(self.weight.dtype), self.padding_idx)

    @torch.no_grad()
    def _forward_exact(self, x: Tensor, ready: ReadyWeight | None = None) -> Tensor:
        total: Tensor | None = None
        for plane in self._weight_planes()[0]:
            rows = F.embedding(x, plane.bits.to(plane.scale.dtype) * 2 - 1)
            term = rows * F.embedding(x, plane.scale.unsqueeze(1))
            total = term if total is None else total + term
        assert total is not None
        return total.to(self.weight.dtype)

    def extra_repr(self) -> str:
        return f"{self.num_embeddings}, {self.embedding_dim}, method={self.method}, padding_idx={self.padding_idx}"
