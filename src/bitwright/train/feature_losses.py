"""Losses on feature maps of a student and its teacher, stage by stage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ATTENTION_FORMS = ("distance", "square", "mean_square", "max")


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], form: str = "distance") -> Tensor:
    """How much the places that the two networks attend to differ, averaged over stages and samples.

    A stage's map is `q = sum over channels of F^2`, flattened and divided by its length; so the loss does not change
    when a network's features are scaled. Real-to-Binary, ICLR 2020 (secondary); DIR-Net, IJCV 2023 (reconstruction).

    Args:
        student, teacher: feature maps `[N, C, *spatial]` of the stages; channels may differ, positions may not. No
            gradient flows to the teacher.
        form: with q of both networks: "distance" `|q_s - q_t|`; "square", its square (DIR-Net); "mean_square", the
            square over the number of positions (expert binary networks); "max", Larq Zoo's: maps divided by their
            maximum instead of their length, then the mean square.

    Returns:
        A scalar.

    Raises:
        ValueError: no or unequally many stages, maps of different size, or an unknown form.
    """
    if form not in ATTENTION_FORMS:
        raise ValueError(f"form must be one of {', '.join(ATTENTION_FORMS)}, got {form!r}")
    _check(student, teacher)
    terms = []
    for s, t in zip(student, teacher, strict=True):
        if s.shape[2:] != t.shape[2:]:
            raise ValueError(f"stages differ in size: student {tuple(s.shape)}, teacher {tuple(t.shape)}")
        difference = _attention(s, form) - _attention(t.detach(), form)
        if form == "distance":
            # the norm's gradient at 0 is 0
            terms.append(torch.linalg.vector_norm(difference, dim=1).mean())
        elif form == "square":
            terms.append(difference.square().sum(1).mean())
        else:
            terms.append(difference.square().mean())
    return torch.stack(terms).mean()


def _attention(features: Tensor, form: str) -> Tensor:
    squares = features.float().square().sum(1).flatten(1)
    if form == "max":
        return squares / squares.amax(1, keepdim=True).clamp_min(1e-12)
    return F.normalize(squares, dim=1)


class LipschitzRetention(nn.Module):
    """LCR-BNN's loss: the spectral norm between consecutive stages shall be that of the real network.

    For consecutive stages, `RM = F_i F_(i+1)^T / HW` (the larger map average-pooled to the smaller), and
    `sigma = sqrt(|RM RM^T 1|)`, one step of the power method from the vector of ones. ECCV 2022; repository
    42Shawn/LCR_BNN (code read).

    Args:
        stages: how many feature maps, 4.
        weight: alpha, 8.
        batch_size: the loss is divided by it, whatever the size of a batch.
        normalized: start the power method from a vector of length 1, so that sigma is no overestimate.
    """

    def __init__(self, stages: int = 4, weight: float = 8.0, batch_size: int = 128, normalized: bool = False) -> None:
        super().__init__()
        if stages < 2 or batch_size < 1:
            raise ValueError(f"need stages >= 2 and batch_size >= 1, got stages={stages}, batch_size={batch_size}")
        self.weight, self.batch_size, self.normalized = float(weight), int(batch_size), bool(normalized)
        self.gamma = nn.Parameter(torch.ones(stages))

    def spectral_norm(self, first: Tensor, second: Tensor) -> Tensor:
        """sigma of two consecutive stages `[N, C, *spatial]`, `[N]`."""
        if first.shape[2:] != second.shape[2:]:
            small = min(first.shape[2:], second.shape[2:], key=lambda size: size.numel())
            first, second = _pooled(first, small), _pooled(second, small)
        a, b = first.float().flatten(2), second.float().flatten(2)
        relation = a @ b.mT / a.shape[2]
        start = torch.ones(relation.shape[1], 1, device=relation.device)
        if self.normalized:
            start = start / relation.shape[1] ** 0.5
        step = relation @ (relation.mT @ start)
        return torch.linalg.vector_norm(step, dim=(1, 2)).sqrt()

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """The scalar to add to the task's loss; no gradient flows to the teacher.

        Raises:
            ValueError: another number of stages than the module was made for.
        """
        _check(student, teacher)
        if len(student) != self.gamma.numel():
            raise ValueError(f"the loss was made for {self.gamma.numel()} stages, got {len(student)}")
        scaled = [features * gamma for features, gamma in zip(student, self.gamma, strict=True)]
        pairs = len(scaled) - 1
        total = student[0].new_zeros((), dtype=torch.float32)
        for i in range(pairs):
            with torch.no_grad():
                target = self.spectral_norm(teacher[i], teacher[i + 1])
            difference = self.spectral_norm(scaled[i], scaled[i + 1]) - target
            total = total + difference.square().mean() / 2 ** (pairs - i)
        return self.weight / self.batch_size / 1e4 * total


def _pooled(x: Tensor, size: torch.Size) -> Tensor:
    """`x` averaged to the positions `size`."""
    if x.shape[2:] == size:
        return x
    pool: Any = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[len(size) - 1]
    pooled: Tensor = pool(x, list(size))
    return pooled


def _check(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> None:
    if not student or len(student) != len(teacher):
        raise ValueError(
            f"student and teacher need equally many stages, at least one; got {len(student)}, {len(teacher)}"
        )
