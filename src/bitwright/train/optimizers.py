"""Optimizers from their configuration."""

from __future__ import annotations

import torch
from torch import nn

from bitwright.optim import parameter_groups
from bitwright.train.config import OptimizerConfig


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> torch.optim.Optimizer:
    """An optimizer over the model's trainable parameters, latent weights in a group of their own."""
    groups = parameter_groups(
        model,
        weight_decay=config.weight_decay,
        binary_weight_decay=config.binary_weight_decay,
        decay_vectors=config.decay_vectors,
    )
    for group in groups:
        own = group.pop("lr_factor") * (config.binary_lr_factor if group["name"] == "binary" else 1.0)
        group["lr"] = config.lr * own
    if config.name == "sgd":
        return torch.optim.SGD(groups, lr=config.lr, momentum=config.momentum, nesterov=config.nesterov)
    kind = torch.optim.AdamW if config.name == "adamw" else torch.optim.Adam
    betas = (float(config.betas[0]), float(config.betas[1]))
    return kind(groups, lr=config.lr, betas=betas, eps=config.eps)
