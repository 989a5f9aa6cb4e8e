"""Accuracy of a network on a split: the plain loop, without a trainer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Evaluation:
    """Accuracies are shares of 1.

    Attributes:
        images: number of images.
        top1, top5: share of images whose label has the largest, or one of the five largest logits.
        loss: mean cross-entropy.
        per_class: top-1 share of each class; NaN where there is no image.
    """

    images: int
    top1: float
    top5: float
    loss: float
    per_class: tuple[float, ...]


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Evaluation:
    """Runs a classifier in eval mode over batches (float images [N, C, H, W], int64 labels [N]).

    Raises:
        ValueError: there are no images.
    """
    was_training = network.training
    network.eval()
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    logits, labels = [], []
    try:
        for x, y in batches:
            logits.append(network(x.to(device)).float().cpu())
            labels.append(y)
    finally:
        network.train(was_training)
    if not logits or not sum(len(y) for y in labels):
        raise ValueError("there are no images to evaluate on")
    scores, truth = torch.cat(logits), torch.cat(labels)
    right = scores.argmax(1) == truth
    top = scores.topk(min(5, scores.shape[1]), dim=1).indices
    per_class = [right[truth == c].double().mean().item() for c in range(scores.shape[1])]
    return Evaluation(
        images=len(truth),
        top1=right.double().mean().item(),
        top5=(top == truth[:, None]).any(1).double().mean().item(),
        loss=F.cross_entropy(scores.double(), truth).item(),
        per_class=tuple(per_class),
    )
