"""EBNN's weights: several filter banks, of which each sample of a batch uses one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize.codes import NotPackableError, WeightCode
from bitwright.binarize.inits.base import Init
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import WEIGHTS
from bitwright.binarize.precision import no_autocast
from bitwright.binarize.sign import at_least_float32, bsign, replace_value
from bitwright.binarize.weights.base import WeightBinarizer


class _Choose(torch.autograd.Function):
    """`sum_e gate[n, e] experts[e]`; the gradient of gate[n, e] is `<g[n], experts[e]>` for every expert."""

    @staticmethod
    def forward(ctx: Any, experts: Tensor, gate: Tensor) -> Tensor:
        ctx.save_for_backward(experts, gate)
        with no_autocast(experts):
            return (gate @ experts.flatten(1)).view(-1, *experts.shape[1:])

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor]:
        experts, gate = ctx.saved_tensors
        g = grads[0].flatten(1)
        with no_autocast(experts):
            return (gate.T @ g).view_as(experts), g @ experts.flatten(1).T


@WEIGHTS.register("experts")
class ExpertWeight(WeightBinarizer):
    """`bsign(W_e)` of the expert e whose gate `sigmoid(V mean(x) + c)` is the largest for the sample.

    The latent weight is `[N, *filter]`. With g the gradient of a sample's weight: its expert gets `g 1{|W_e| < 1}`, the
    gate of every expert f gets `<g 1{|W_e| < 1}, W_f>`, then sigmoid's derivative. Code read.

    Args:
        shape: the layer's shape.
        experts: N.
        sum_ties: experts with equal gates are added, as in the authors' code; False: the first.
    """

    per_sample = True
    chooses = True
    planes = 0
    adopts = False

    def __init__(self, shape: LayerShape, experts: int = 4, sum_ties: bool = False) -> None:
        super().__init__(shape)
        if not (isinstance(experts, int) and experts >= 1):
            raise ValueError(f"experts must be a positive integer, got {experts!r}")
        self.experts, self.sum_ties = experts, bool(sum_ties)
        self.gate = nn.Linear(shape.in_channels, experts)

    def latent_shape(self) -> tuple[int, ...]:
        return (self.experts, *self.shape.filter_shape)

    @torch.no_grad()
    def initialize(self, latent: Tensor, init: Init) -> None:
        for expert in latent:
            init(expert, self.shape)

    def latent_from(self, filters: Tensor) -> Tensor:
        """The float weight becomes every expert (the authors' second stage)."""
        return filters.expand(self.latent_shape()).clone()

    def logits(self, x: Tensor) -> Tensor:
        """`[samples, N]`: `V mean(x) + c`."""
        z = at_least_float32(x)
        mean = tuple(range(2, z.dim())) if self.shape.channel_dim == 1 else tuple(range(1, z.dim() - 1))
        z = z.mean(mean) if mean else z
        with no_autocast(z):
            return F.linear(z, self.gate.weight.to(z.dtype), self.gate.bias.to(z.dtype))

    def choose(self, x: Tensor) -> Tensor:
        """`[samples, N]`: 1 for the chosen expert, else 0, with sigmoid's gradient."""
        z = self.logits(x)
        gate = torch.sigmoid(z)
        return self.winner(gate) if self.sum_ties else self.winner(gate, z)

    def chosen(self, x: Tensor) -> Tensor:
        return self.logits(x).argmax(1)

    def codes(self, latent: Tensor) -> tuple[WeightCode, ...]:
        """Every expert's signs, with scale 1."""
        if self.sum_ties and self.experts > 1:
            raise NotPackableError(
                "sum_ties=True adds the experts with equal gates, which chooses none of them; use sum_ties=False"
            )
        w = at_least_float32(latent)
        return tuple(WeightCode(expert >= 0, w.new_ones(len(expert))) for expert in w)

    def winner(self, gate: Tensor, logits: Tensor | None = None) -> Tensor:
        """One for the largest of every row; the gradient passes unchanged. With `logits` these decide: their order
        is the gates', also where sigmoid rounds to 1, which every runtime does elsewhere.
        """
        with torch.no_grad():
            if self.sum_ties:
                hot = (gate == gate.amax(1, keepdim=True)).to(gate.dtype)
            else:
                hot = F.one_hot((gate if logits is None else logits).argmax(1), gate.shape[1]).to(gate.dtype)
        return replace_value(gate, hot, torch.ones((), dtype=gate.dtype, device=gate.device))

    def sample_weights(self, latent: Tensor, x: Tensor) -> Tensor:
        w = at_least_float32(latent)
        chosen: Tensor = _Choose.apply(w, self.choose(x).to(w.dtype))
        value = bsign(chosen.detach())
        return replace_value(chosen, value, (chosen.detach().abs() < 1).to(w.dtype))

    def forward(self, latent: Tensor) -> Tensor:
        """The first expert: what `binary` shows."""
        w = at_least_float32(latent[0])
        return replace_value(w, bsign(w.detach()), (w.detach().abs() < 1).to(w.dtype))

    def real(self, latent: Tensor) -> Tensor:
        """The first expert: the authors' first stage."""
        return latent[0]

    def extra_repr(self) -> str:
        return f"experts={self.experts}, sum_ties={self.sum_ties}"
