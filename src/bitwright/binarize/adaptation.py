"""The noise adaptation module of FDA-BNN."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.part import Part, Progress


class NoiseAdaptation(Part):
    """`alpha (FC2(relu(FC1(x))) + 0.1 sin x)` on the last axis, alpha from `strength` to 0 over the epochs.

    alpha(e) = strength/2 (1 + cos(pi (e+1) / E)): 0 in the last epoch, so that what is left is the sign alone.
    FDA-BNN, NeurIPS 2021, section 3.2; schedule and sizes from BiBench's code.

    Args:
        width: d, the last axis.
        strength: alpha before the first epoch.
        reduction: FC1 has d / reduction outputs (d / 4 where d < reduction), at least one.
    """

    needs_epoch = True
    alpha: Tensor

    def __init__(self, width: int, strength: float = 0.1, reduction: int = 64) -> None:
        super().__init__()
        if width < 1 or reduction < 1 or not strength >= 0:
            raise ValueError(
                f"need width >= 1, reduction >= 1, strength >= 0; got width={width}, reduction={reduction}, "
                f"strength={strength}"
            )
        self.strength = float(strength)
        hidden = max(1, width // (reduction if width >= reduction else 4))
        self.fc1 = nn.Parameter(torch.empty(hidden, width))
        self.fc2 = nn.Parameter(torch.empty(width, hidden))
        nn.init.normal_(self.fc1, 0, 1 / math.sqrt(width))
        nn.init.normal_(self.fc2, 0, 1 / math.sqrt(hidden))
        self.register_buffer("alpha", torch.tensor(self.strength))

    def on_progress(self, progress: Progress, latent: Tensor | None = None) -> None:
        position = min((progress.epoch + 1) / progress.epochs, 1.0)
        self.alpha.fill_(self.strength / 2 * (1 + math.cos(math.pi * position)))

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(F.relu(F.linear(x, self.fc1.to(x.dtype))), self.fc2.to(x.dtype))
        return self.alpha.to(x.dtype) * (y + 0.1 * torch.sin(x))

    def extra_repr(self) -> str:
        return f"{self.fc1.shape[1]} -> {self.fc1.shape[0]} -> {self.fc2.shape[0]}, strength={self.strength}"
