"""The typed parts of a recipe: plain dataclasses, seen as YAML and options, stored in checkpoints by their fields."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class OptimizerConfig:
    """The optimizer.

    Attributes:
        name: adam, adamw or sgd.
        lr: learning rate at the top of the schedule.
        weight_decay: of float weights (matrices and filters).
        binary_weight_decay: of the latent weights of binary layers.
        decay_vectors: whether biases, batch norm, scales and shifts get `weight_decay` too.
        binary_lr_factor: the latent weights' learning rate is `lr` times this.
        betas, eps: of adam and adamw.
        momentum, nesterov: of sgd.
        clip_norm: gradients are scaled to this norm at most; 0 is off.
    """

    name: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-3
    weight_decay: float = 0.0
    binary_weight_decay: float = 0.0
    decay_vectors: bool = False
    binary_lr_factor: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.9
    nesterov: bool = False
    clip_norm: float = 0.0

    def __post_init__(self) -> None:
        if self.name not in ("adam", "adamw", "sgd"):
            raise ValueError(f"unknown optimizer {self.name!r}; known: adam, adamw, sgd")
        if not (math.isfinite(self.lr) and self.lr > 0 and self.binary_lr_factor > 0):
            raise ValueError(f"lr and binary_lr_factor must be positive, got {self.lr} and {self.binary_lr_factor}")
        if self.clip_norm < 0:
            raise ValueError(f"clip_norm must be >= 0, got {self.clip_norm}")


@dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves over the run.

    Attributes:
        name: constant, cosine (half a period), linear (straight to the end), or step.
        interval: "step" moves it after every optimizer step, "epoch" after every epoch, as most papers do.
        warmup_epochs: it first rises linearly from `warmup_start` times lr; the schedule proper covers what is left.
        warmup_start: share of lr at the very start.
        final: share of lr at the end (cosine and linear).
        milestones: epochs at which step multiplies by `gamma`.
        gamma: factor of step.
    """

    name: Literal["constant", "cosine", "linear", "step"] = "cosine"
    interval: Literal["step", "epoch"] = "step"
    warmup_epochs: float = 0.0
    warmup_start: float = 0.0
    final: float = 0.0
    milestones: Sequence[float] = field(default_factory=tuple)
    gamma: float = 0.1

    def __post_init__(self) -> None:
        if self.name not in ("constant", "cosine", "linear", "step"):
            raise ValueError(f"unknown schedule {self.name!r}; known: constant, cosine, linear, step")
        if self.interval not in ("step", "epoch"):
            raise ValueError(f"unknown schedule interval {self.interval!r}; known: step, epoch")
        if self.name == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones: the epochs at which the learning rate falls")
        if self.warmup_epochs < 0 or not 0 <= self.warmup_start <= 1 or not 0 <= self.final <= 1:
            raise ValueError(
                "warmup_epochs must be >= 0, warmup_start and final between 0 and 1; "
                f"got {self.warmup_epochs}, {self.warmup_start}, {self.final}"
            )


@dataclass(frozen=True)
class TeacherConfig:
    """A frozen network that the student imitates: loss = kd_weight * distribution loss + label_weight * cross-entropy.

    Attributes:
        checkpoint: written by `bitwright train`; the teacher is rebuilt from it alone.
        kd_weight: of the distribution loss (cross-entropy with the teacher's softmax, ReActNet section 4.3).
        label_weight: of the cross-entropy with the labels; the authors use 0.
    """

    checkpoint: str
    kd_weight: float = 1.0
    label_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.kd_weight < 0 or self.label_weight < 0 or self.kd_weight + self.label_weight == 0:
            raise ValueError(
                f"kd_weight and label_weight must be >= 0 and not both 0, got {self.kd_weight} and {self.label_weight}"
            )


@dataclass(frozen=True)
class CentresConfig:
    """A loss that pulls the classifier's input to the centre of its class, see `bitwright.train.ClassCentres`.

    Attributes:
        strength: of the loss, which is a sum over the batch.
        spread: True: with learned variances (BONN); False: the plain center loss (MCN).
        rate: how fast the centres follow.
        from_epoch: until this epoch only the centres are formed; BONN uses the loss in fine-tuning.
    """

    strength: float = 1e-3
    spread: bool = True
    rate: float = 0.5
    from_epoch: int = 0

    def __post_init__(self) -> None:
        if self.strength < 0 or not 0 < self.rate <= 1 or self.from_epoch < 0:
            raise ValueError(
                f"need strength >= 0, 0 < rate <= 1 and from_epoch >= 0, got {self.strength}, {self.rate} and "
                f"{self.from_epoch}"
            )
