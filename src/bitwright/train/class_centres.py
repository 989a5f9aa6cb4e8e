"""Losses that pull the features in front of the classifier to the centres of their classes: MCN's and BONN's."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ClassCentres(nn.Module):
    """Center loss with running centres, with or without a learned spread of every class.

    For features f of class y with centre c and, with `spread`, variances s^2 per class and feature:

        strength / 2 * sum over the batch of |f - c|^2                                                  (MCN)
        strength / 2 * sum over the batch of |f - c|^2 + sum_k ((f - c)_k^2 / s_k^2 + log s_k^2)         (BONN)

    The sums run over the batch, as printed, so `strength` belongs to a batch size. The centres get no gradient:
    `update` moves the centre of every class of n features in the batch by `-rate * sum(c - f) / (1 + n)`, the rule of
    the center loss (Wen et al. 2016; from memory); the first features of a class set its centre to their mean (ours).
    The variances are a parameter, `log_variance`, 0 at the start (ours).

    MCN, CVPR 2018 (secondary; on the features of the last convolution, strength unknown). BONN, ICCV 2019 (paper read;
    on the input of the dense layer, only in fine-tuning, theta = 0.001).

    Args:
        classes, features: number of classes, and of values in front of the classifier.
        strength: lambda of MCN, theta of BONN.
        spread: BONN's form.
        rate: alpha of the centres' update, in (0, 1].

    Raises:
        ValueError: a number out of range.
    """

    centres: Tensor
    seen: Tensor
    log_variance: nn.Parameter | None

    def __init__(
        self, classes: int, features: int, strength: float = 1e-3, spread: bool = True, rate: float = 0.5
    ) -> None:
        super().__init__()
        if classes < 1 or features < 1:
            raise ValueError(f"need classes >= 1 and features >= 1, got {classes} and {features}")
        if not strength >= 0 or not 0 < rate <= 1:
            raise ValueError(f"need strength >= 0 and 0 < rate <= 1, got strength={strength}, rate={rate}")
        self.strength, self.rate = float(strength), float(rate)
        self.register_buffer("centres", torch.zeros(classes, features))
        self.register_buffer("seen", torch.zeros(classes, dtype=torch.bool))
        self.log_variance = nn.Parameter(torch.zeros(classes, features)) if spread else None

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss; gradient to the features and the variances. Features of a class without a centre add only their
        class's `log s^2`.

        Args:
            features: `[N, ...]`, flattened to `[N, features]`.
            labels: int64 `[N]`.

        Raises:
            ValueError: features of another length.
        """
        f = self._flat(features)
        known = self.seen[labels].to(f.dtype).unsqueeze(1)
        squares = (f - self.centres[labels].to(f.dtype)).square() * known
        total = squares.sum()
        if self.log_variance is not None:
            log_variance = self.log_variance[labels].to(f.dtype)
            total = total + (squares * torch.exp(-log_variance) + log_variance).sum()
        return self.strength / 2 * total

    @torch.no_grad()
    def update(self, features: Tensor, labels: Tensor) -> None:
        """Moves the centres towards the features of a batch; call it after the loss. All processes of a distributed run
        get the same centres.
        """
        f = self._flat(features).to(self.centres.dtype)
        hot = nn.functional.one_hot(labels, len(self.centres)).to(f.dtype)
        # one tensor, so one message between processes: sums of the features, and how many there were
        sums = torch.cat([hot.T @ f, hot.sum(0).unsqueeze(1)], 1)
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(sums)
        total, n = sums[:, :-1], sums[:, -1:]
        moved = self.centres - self.rate * (n * self.centres - total) / (1 + n)
        mean = total / n.clamp_min(1)
        present, new = n > 0, ~self.seen.unsqueeze(1)
        self.centres.copy_(torch.where(present, torch.where(new, mean, moved), self.centres))
        self.seen |= present.squeeze(1)

    def _flat(self, features: Tensor) -> Tensor:
        f = features.flatten(1).float() if features.dtype in (torch.float16, torch.bfloat16) else features.flatten(1)
        if f.shape[1] != self.centres.shape[1]:
            raise ValueError(f"features have {f.shape[1]} values, the centres {self.centres.shape[1]}")
        return f

    def extra_repr(self) -> str:
        (classes, features), spread = self.centres.shape, self.log_variance is not None
        return f"{classes}, {features}, strength={self.strength:g}, spread={spread}, rate={self.rate:g}"
