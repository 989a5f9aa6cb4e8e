"""XNOR-Net++'s learned scales that also depend on the position in the output map."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS
from bitwright.binarize.registry import UnknownNameError

FORMS = ("full", "map", "axes")
STARTS = ("mean_abs", "ones")


@OUTPUTS.register("position_scale")
class PositionScale(OutputRule):
    """`y * Gamma`, Gamma `[O, *size]` learned; its size is part of the model, so the input size is fixed.

    Args:
        shape: the layer's shape; `output_size` must be set.
        form: "full": one factor per output element (case 2); "map": `alpha_o beta_p`, p the position (case 3); "axes":
            `alpha_o beta_h gamma_w` (case 4).
        start: "mean_abs": alpha_o is the mean absolute latent weight of the filter, whenever that is set anew, and the
            other factors 1; or "ones".

    Raises:
        ValueError: a layer without positions, or without `output_size`.
    """

    def __init__(self, shape: LayerShape, form: str = "axes", start: str = "mean_abs") -> None:
        super().__init__(shape)
        if form not in FORMS:
            raise UnknownNameError("form of a position scale", form, FORMS)
        if start not in STARTS:
            raise UnknownNameError("start of a position scale", start, STARTS)
        if not shape.kernel_size:
            raise ValueError(f"a {shape.kind} layer has no positions to scale; use one factor per channel (case 1)")
        if shape.output_size is None:
            raise ValueError(
                "scales per position need to know the size of the output map: give the layer output_size=(...), or use "
                "one factor per channel (case 1)"
            )
        self.form, self.start, self.size = form, start, shape.output_size
        channels = (shape.out_channels,)
        sizes: dict[str, list[tuple[int, ...]]] = {
            "full": [channels + self.size],
            "map": [channels, self.size],
            "axes": [channels, *((s,) for s in self.size)],
        }
        self.factors = nn.ParameterList([nn.Parameter(torch.ones(s)) for s in sizes[form]])

    @torch.no_grad()
    def on_latent(self, latent: Tensor) -> None:
        if self.start == "mean_abs":
            mean = latent.detach().abs().flatten(1).mean(1)
            first = self.factors[0]
            first.copy_(mean.view(-1, *(1,) * (first.dim() - 1)).expand_as(first))

    def gamma(self) -> Tensor:
        """`[O, *size]`."""
        first = self.factors[0]
        if self.form == "full":
            return first
        dims = len(self.size)
        result = first.view(-1, *(1,) * dims)
        if self.form == "map":
            return result * self.factors[1]
        for axis, factor in enumerate(list(self.factors)[1:]):
            result = result * factor.view(-1, *(1,) * (dims - 1 - axis))
        return result

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        if tuple(y.shape[2:]) != tuple(self.size):
            raise ValueError(
                f"the layer was built for output_size={tuple(self.size)}, its output is {tuple(y.shape[2:])}; scales "
                "per position fix the size of the input"
            )
        return y * self.gamma().to(y.dtype)

    def extra_repr(self) -> str:
        return f"form={self.form}, size={tuple(self.size)}, start={self.start}"
