"""Batches from tensors in memory. Everything random about epoch e follows from (seed, e), so a resumed run sees what an
uninterrupted one would have seen."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from bitwright.data.augment import Augment

Batch = tuple[Tensor, Tensor]


def stream_seed(*words: int) -> int:
    """A 63-bit seed from integers; different words give independent streams (numpy's SeedSequence)."""
    return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))


def _rank_and_world() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class Normalize:
    """uint8 [N, C, H, W] to float32: (x / max_value - mean) / std per channel."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...], max_value: int) -> None:
        self._scale = torch.tensor([1.0 / (max_value * s) for s in std]).view(1, -1, 1, 1)
        self._shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)]).view(1, -1, 1, 1)

    def __call__(self, images: Tensor) -> Tensor:
        return images.float().mul_(self._scale).add_(self._shift)


class TrainLoader:
    """Shuffled, augmented training batches.

    Epoch e visits a permutation drawn from (seed, e); batch b of it is augmented with numbers drawn from (seed, e, b,
    rank). The last, smaller batch is left out (batch norm dislikes it) unless it is the only one. In a distributed run
    each process takes its slice of every batch: `batch_size` is per process.

    Lightning calls `set_epoch` through `sampler`, and saves and restores `state_dict` so that a run resumed inside an
    epoch goes on with the next batch.
    """

    def __init__(
        self, images: Tensor, labels: Tensor, batch_size: int, normalize: Normalize, augment: Augment, seed: int
    ) -> None:
        if len(images) == 0:
            raise ValueError("there are no training images")
        self._images = images
        self._labels = labels
        self._batch_size = batch_size
        self._normalize = normalize
        self._augment = augment
        self._seed = seed
        self._epoch = 0
        self._given = 0  # batches of this epoch given so far
        self._resume_at = 0  # first batch of the next iteration: not 0 only after load_state_dict

    @property
    def sampler(self) -> TrainLoader:
        """Where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch that the next iteration gives."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._given = self._resume_at = 0

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self._epoch, "batch": self._given}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._epoch = int(state["epoch"])
        self._given = self._resume_at = int(state["batch"])

    def __len__(self) -> int:
        _, world = _rank_and_world()
        return max(1, len(self._images) // (self._batch_size * world))

    def __iter__(self) -> Iterator[Batch]:
        rank, world = _rank_and_world()
        generator = torch.Generator().manual_seed(stream_seed(self._seed, self._epoch))
        order = torch.randperm(len(self._images), generator=generator)
        start, self._resume_at = self._resume_at, 0
        for batch in range(start, len(self)):
            first = (batch * world + rank) * self._batch_size
            index = order[first : first + self._batch_size]
            generator.manual_seed(stream_seed(self._seed, self._epoch, batch, rank))
            images = self._augment(self._images[index], generator)
            self._given = batch + 1
            yield self._normalize(images), self._labels[index]


class EvalLoader:
    """Images in order, normalised, all of them exactly once, over all processes too.

    Every process gets the same number of batches, of nearly equal size and at most `batch_size`.
    """

    def __init__(self, images: Tensor, labels: Tensor, batch_size: int, normalize: Normalize) -> None:
        self._images = images
        self._labels = labels
        self._batch_size = batch_size
        self._normalize = normalize

    def __len__(self) -> int:
        _, world = _rank_and_world()
        largest = -(-len(self._images) // world)
        return -(-largest // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        rank, world = _rank_and_world()
        mine = torch.arange(rank, len(self._images), world)
        for index in torch.tensor_split(mine, max(1, len(self))):
            yield self._normalize(self._images[index]), self._labels[index]
