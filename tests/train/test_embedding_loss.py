"""S2-BNN's loss."""

from __future__ import annotations

import pytest
import torch

from bitwright import train


def test_vector_and_floor() -> None:
    student = torch.tensor([[1.0, 2, 2], [0, 3, 4]], dtype=torch.float64, requires_grad=True)
    teacher = torch.tensor([[2.0, 2, 1], [0, 4, 3]], dtype=torch.float64)
    assert train.embedding_loss(student, teacher).item() == pytest.approx(1.322814, abs=1e-6)
    assert train.embedding_loss(7 * teacher, teacher).item() == pytest.approx(0.786002, abs=1e-6)
    train.embedding_loss(student, teacher).backward()
    # a change of length alone changes nothing
    assert student.grad is not None
    assert float((student.grad * student.detach()).sum(1).abs().max()) < 1e-12
    with pytest.raises(ValueError, match="temperature"):
        train.embedding_loss(student, teacher, temperature=0.0)
