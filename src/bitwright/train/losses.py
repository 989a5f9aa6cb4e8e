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
