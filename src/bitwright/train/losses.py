"""Losses for distillation."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def distribution_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Cross-entropy with the teacher's softmax: `-mean_n sum_c softmax(teacher)_nc log softmax(student)_nc`.

    No temperature and no factor: ReActNet (Liu et al. 2020), equation 9; code read. It is the KL divergence plus the
    teacher's entropy, which does not depend on the student.

    Args:
        student, teacher: logits [N, C]; no gradient flows to the teacher.

    Returns:
        A scalar.
    """
    return -(F.softmax(teacher.detach(), dim=1) * F.log_softmax(student, dim=1)).sum(dim=1).mean()


def embedding_loss(student: Tensor, teacher: Tensor, temperature: float = 0.2) -> Tensor:
    """`distribution_loss` of embeddings, each normalised to length 1 and divided by `temperature`: distillation without
    labels. S2-BNN (Shen et al. 2021), code read; no factor for the temperature.

    Args:
        student, teacher: embeddings [N, D]; no gradient flows to the teacher.
        temperature: above 0.

    Returns:
        A scalar.

    Raises:
        ValueError: a temperature that is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    z_s, z_t = F.normalize(student, dim=1), F.normalize(teacher, dim=1)
    return distribution_loss(z_s / temperature, z_t / temperature)


def squared_hinge_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """`mean max(0, 1 - t y)^2` over samples and classes, t = 1 for the label's class and -1 for the others.

    BinaryConnect, BNN and LAB train with it (code read), behind a batch norm of the last layer's outputs.

    Args:
        logits: `[N, C]`.
        labels: int64 `[N]`.

    Returns:
        A scalar.
    """
    targets = 2 * F.one_hot(labels, logits.shape[1]).to(logits.dtype) - 1
    return (1 - targets * logits).clamp_min(0).square().mean()
