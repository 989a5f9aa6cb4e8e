"""What every building block of a method may do besides its forward pass: follow a schedule, add a loss, start from
data.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

STAGES = ("float", "activations", "full")


@dataclass(frozen=True)
class Progress:
    """Where training is. `epoch` counts from 0 to `epochs - 1`, `step` (optimizer steps of the whole run) from 0 to
    `steps - 1`.
    """

    epoch: int
    epochs: int
    step: int
    steps: int

    def __post_init__(self) -> None:
        if self.epochs < 1 or not 0 <= self.epoch <= self.epochs:
            raise ValueError(f"need 0 <= epoch <= epochs and epochs >= 1, got epoch={self.epoch}, epochs={self.epochs}")
        if self.steps < 1 or not 0 <= self.step <= self.steps:
            raise ValueError(f"need 0 <= step <= steps and steps >= 1, got step={self.step}, steps={self.steps}")


@dataclass(frozen=True)
class LayerShape:
    """Facts about a layer, known when it is built; binarizers size their parameters by it.

    Binarizers see a weight in *filter form*: `[out_channels, in_channels / groups, *kernel_size]`, whatever the layer
    (linear: no kernel axes; embedding: one row of the table is one filter; transposed convolution: rearranged).
    """

    kind: str  # "conv", "conv_transpose", "linear", "embedding"
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...] = ()
    groups: int = 1
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    pads_begin: tuple[int, ...] = ()
    pads_end: tuple[int, ...] = ()
    pad_value: float = 0.0
    pad_mode: str = "constant"  # or "replicate"
    output_size: tuple[int, ...] | None = None  # only for methods whose parameters depend on it

    @property
    def filter_shape(self) -> tuple[int, ...]:
        """Shape of the weight in filter form."""
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def with_outputs(self, out_channels: int) -> LayerShape:
        """The same layer with another number of output channels."""
        return replace(self, out_channels=out_channels)

    @property
    def fan_in(self) -> int:
        """Weights of one filter, n."""
        return self.in_channels // self.groups * math.prod(self.kernel_size)

    @property
    def channel_dim(self) -> int:
        """Channel axis of the layer's input: 1 for maps, -1 for vectors."""
        return 1 if self.kind in ("conv", "conv_transpose") else -1

    def per_channel(self, values: Tensor) -> Tensor:
        """`values` `[C]` (or `[1]`) reshaped to broadcast against the layer's input or output."""
        return values.view(-1, *(1,) * len(self.kernel_size)) if self.channel_dim == 1 else values


class Part(nn.Module):
    """Base of estimators, binarizers, output rules and regularisers. All parameters and buffers are made in
    `__init__`, never later.

    `latent` below is the latent weight of the layer that the part belongs to, in filter form (or in the shape that the
    weight binarizer's `latent_shape` chose), without gradient unless said otherwise; None for a part that stands alone.
    """

    needs_data = False
    """True: `initialize_from_data` gives this part the first batch that reaches it."""
    needs_epoch = False
    """True: the part follows a schedule, so the training loop has to call `set_progress`."""

    def on_progress(self, progress: Progress, latent: Tensor | None = None) -> None:
        """Called by `set_progress`."""

    def on_latent(self, latent: Tensor) -> None:
        """Called whenever the latent weight (filter form) was set anew: at construction and when `binarize_` copies
        weights.
        """

    def regularization(self, latent: Tensor | None = None) -> Tensor | None:
        """A scalar to add to the loss, or None. `latent` carries gradient here."""
        return None

    def on_gradient(self, latent: Tensor, gradient: Tensor) -> Tensor | None:
        """Called by `before_step`, between backward and the optimizer's step, with the latent weight's gradient.

        Returns:
            The gradient to use instead, or None to leave it.
        """
        return None

    def on_step(self, latent: Tensor) -> Tensor | None:
        """Called by `after_step`, after the optimizer's step.

        Returns:
            The latent weight to use instead, or None to leave it.
        """
        return None

    def parameter_options(self) -> Mapping[str, Mapping[str, float]]:
        """What the authors train differently: own parameter's name, or "latent" for the layer's latent weight -> a
        mapping with "lr_factor" and / or "weight_decay".
        """
        return {}

    def initialize_from(self, x: Tensor) -> None:
        """Sets parameter values from the first batch `x` that reaches this part (only if `needs_data`)."""
        raise NotImplementedError(f"{type(self).__name__} says needs_data but has no initialize_from")


class Staged(nn.Module):
    """A module that knows the training stage: "float" (nothing binary), "activations" (weights real) or "full".

    The stage is saved in the state_dict (buffer `stage_code`), so a resumed run continues in the stage it was in.
    """

    stage_code: Tensor

    def _init_stage(self) -> None:
        self.register_buffer("stage_code", torch.tensor(STAGES.index("full"), dtype=torch.uint8))
        # a Python copy of the buffer: reading the tensor in forward would cost a device sync and break torch.compile's
        # graph
        self._stage = "full"

    @property
    def stage(self) -> str:
        return self._stage

    def set_stage(self, stage: str) -> None:
        """Raises ValueError for a stage that does not exist."""
        if stage not in STAGES:
            raise ValueError(f"unknown stage {stage!r}; stages are {', '.join(STAGES)}")
        self._stage = stage
        self.stage_code.fill_(STAGES.index(stage))

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if not self.stage_code.is_meta:
            code = int(self.stage_code)
            if code >= len(STAGES):
                raise ValueError(
                    f"the checkpoint has stage_code {code}; known codes are 0..{len(STAGES) - 1} ({STAGES})"
                )
            self._stage = STAGES[code]
