"""The learning rate as a function of the position in the run: a pure function, so that resuming cannot change it."""

from __future__ import annotations

import math

from bitwright.train.config import ScheduleConfig


def lr_factor(config: ScheduleConfig, epoch: float, epochs: float) -> float:
    """Share of the learning rate in force after `epoch` epochs (may be a fraction) of a run of `epochs`."""
    if epoch < config.warmup_epochs:
        return config.warmup_start + (1 - config.warmup_start) * epoch / config.warmup_epochs
    if config.name == "constant":
        return 1.0
    if config.name == "step":
        return config.gamma ** sum(epoch >= milestone for milestone in config.milestones)
    rest = max(epochs - config.warmup_epochs, 1e-12)
    t = min((epoch - config.warmup_epochs) / rest, 1.0)
    shape = 0.5 * (1 + math.cos(math.pi * t)) if config.name == "cosine" else 1 - t
    return config.final + (1 - config.final) * shape
