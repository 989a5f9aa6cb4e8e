"""Augmentation of whole batches: uint8 in, uint8 out, every random number from one generator."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """What is done to training images. The defaults do nothing.

    Attributes:
        crop_padding: pad each side with this many black pixels, then cut a random window of the original size.
        horizontal_flip: mirror half of the images.
        erase: side of a square set to black at a random place of every image (Cutout, DeVries & Taylor 2017:
            its centre is uniform over the image, so that part of it may lie outside); 0 is off.
    """

    crop_padding: int = 0
    horizontal_flip: bool = False
    erase: int = 0

    def __post_init__(self) -> None:
        if self.crop_padding < 0 or self.erase < 0:
            raise ValueError(f"crop_padding and erase must be >= 0 pixels, got {self.crop_padding}, {self.erase}")

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augments a batch.

        Args:
            images: uint8 [N, C, H, W].
            generator: CPU generator; the result depends on nothing else.
        """
        if self.crop_padding:
            images = random_crop(images, self.crop_padding, generator)
        if self.horizontal_flip:
            flip = torch.rand(len(images), generator=generator) < 0.5
            images = torch.where(flip[:, None, None, None], images.flip(3), images)
        if self.erase:
            images = random_erase(images, self.erase, generator)
        return images


def random_crop(images: Tensor, padding: int, generator: torch.Generator) -> Tensor:
    """Shifts each image of [N, C, H, W] by up to `padding` pixels in both directions, filling with 0."""
    batch, _, height, width = images.shape
    padded = F.pad(images, (padding, padding, padding, padding))
    offsets = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator)
    # A view with all windows: [N, C, rows, columns, H, W]; indexing it copies only the chosen ones.
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(batch), :, offsets[0], offsets[1]]


def random_erase(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Sets a square of `side` pixels around a uniformly drawn centre to 0 in each image of [N, C, H, W]."""
    batch, _, height, width = images.shape
    top = torch.randint(0, height, (batch, 1), generator=generator) - side // 2
    left = torch.randint(0, width, (batch, 1), generator=generator) - side // 2
    rows, columns = torch.arange(height), torch.arange(width)
    in_rows = (rows >= top) & (rows < top + side)
    in_columns = (columns >= left) & (columns < left + side)
    square = in_rows[:, None, :, None] & in_columns[:, None, None, :]
    return images.masked_fill(square, 0)
