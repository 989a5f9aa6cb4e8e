"""CI-BCNN's interacted bit counts: channels that know more correct others by a step function."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS
from bitwright.binarize.sign import at_least_float32

if TYPE_CHECKING:
    from bitwright.binarize.verbs import BinaryModule


@OUTPUTS.register("interaction")
class Interaction(OutputRule):
    """`p_s + sum over edges t -> s of delta_ts(p_t)` on the sums p of ±1; all edges read the uncorrected p.

    `delta(p) = ((1 - |K|) / 2 + k) sign(K) ceil(unit N)` where p lies in the k-th of |K| equal intervals of [-N, N],
    open on the left; N the weights of a filter. The gradient passes to p_s unchanged and not to p_t. The influences K
    are in the buffer `influence` `[to, from]`, 0 without an edge.

    Args:
        shape: the layer's shape.
        edges: (from, to, K) with odd |K| >= 3, or "mine": from the first batch given to `initialize_from_data`.
        unit: U_0.
        steps: K_0; |K| is at most `2 steps + 1`.
        density: mined edges, as a share of all pairs.
    """

    influence: Tensor

    def __init__(
        self,
        shape: LayerShape,
        edges: Sequence[Sequence[int]] | str = "mine",
        unit: float = 0.01,
        steps: int = 2,
        density: float = 0.1,
    ) -> None:
        super().__init__(shape)
        if not 0 < unit <= 1 or not (isinstance(steps, int) and steps >= 1) or not 0 <= density <= 1:
            raise ValueError(
                f"need 0 < unit <= 1, steps >= 1 and 0 <= density <= 1, got unit={unit}, steps={steps}, "
                f"density={density}"
            )
        if isinstance(edges, str) and edges != "mine":
            raise ValueError(f"edges must be 'mine' or a list of (from, to, K), got {edges!r}")
        self.unit, self.steps, self.density = float(unit), steps, float(density)
        # 0.01 * 300 is a little above 3
        self.step = math.ceil(round(self.unit * shape.fan_in, 9))
        self.needs_data = isinstance(edges, str)
        self.register_buffer("influence", torch.zeros(shape.out_channels, shape.out_channels))
        if not isinstance(edges, str):
            self.set_edges(edges)

    @torch.no_grad()
    def set_edges(self, edges: Sequence[Sequence[int]]) -> None:
        """Replaces all edges. Raises ValueError for one that cannot be."""
        values = torch.zeros_like(self.influence)
        for source, target, influence in edges:
            if not (0 <= source < len(values) and 0 <= target < len(values)) or source == target:
                raise ValueError(f"edge ({source}, {target}) does not join two of {len(values)} channels")
            if influence % 2 == 0 or not 3 <= abs(influence) <= 2 * self.steps + 1:
                raise ValueError(
                    f"edge ({source}, {target}): influence {influence}; |K| must be odd, from 3 to {2 * self.steps + 1}"
                )
            values[target, source] = influence
        self.influence.copy_(values)

    def degree(self, weight: float) -> int:
        """`sign(w) (2 ceil(steps |w|) + 1)` for w in [-1, 1]; 0 for 0."""
        return int(math.copysign(2 * math.ceil(self.steps * abs(weight)) + 1, weight)) if weight else 0

    @torch.no_grad()
    def initialize_from_result(self, y: Tensor, x: Tensor, layer: BinaryModule) -> None:
        """Mines edges (ours): the pairs of the highest correlation, from the larger mean |p| to the smaller."""
        channels = self.shape.out_channels
        p = y.detach().float().movedim(self.shape.channel_dim, 0).reshape(channels, -1)
        p = p[:, torch.arange(p.shape[1]) % max(1, p.shape[1] // 65536) == 0] if p.shape[1] > 131072 else p
        centred = p - p.mean(1, keepdim=True)
        norm = centred.norm(dim=1, keepdim=True).clamp_min(1e-12)
        correlation = (centred / norm) @ (centred / norm).T
        strength = p.abs().mean(1)
        # ties go to the lower channel, so that a pair has one edge at most
        order = torch.argsort(torch.argsort(strength, descending=True, stable=True))
        allowed = order.unsqueeze(0) < order.unsqueeze(1)
        score = torch.where(allowed, correlation.abs(), torch.zeros_like(correlation))
        count = min(int(self.density * channels * channels), int(allowed.sum()))
        found = score.flatten().topk(count).indices if count else torch.empty(0, dtype=torch.long)
        self.influence.zero_()
        for place in found.tolist():
            target, source = divmod(place, channels)
            self.influence[target, source] = self.degree(max(-1.0, min(1.0, float(correlation[target, source]))))

    def correction(self, p: Tensor) -> Tensor:
        """What is added to p."""
        n = self.shape.fan_in
        total = torch.zeros_like(p)
        for size in range(3, 2 * self.steps + 2, 2):
            k = (torch.ceil((p + n) * size / (2 * n)) - 1).clamp(0, size - 1)
            level = (k + (1 - size) / 2) * self.step
            edges = (self.influence == size).to(p.dtype) - (self.influence == -size).to(p.dtype)
            if self.shape.channel_dim != 1:
                total = total + F.linear(level, edges)
                continue
            dims = len(self.shape.kernel_size)
            conv = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
            total = total + conv(level, edges.view(*edges.shape, *(1,) * dims))
        return total

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        p = at_least_float32(y)
        return (p + self.correction(p.detach())).to(y.dtype)

    def extra_repr(self) -> str:
        return f"unit={self.unit:g}, steps={self.steps}"
