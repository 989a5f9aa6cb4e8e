"""A learned combination of a bank of codes (DBF)."""

from __future__ import annotations

import math

import torch

from bitwright.binarize.outputs.mix import Mix
from bitwright.binarize.ovsf import code_count
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import OUTPUTS


@OUTPUTS.register("code_mix")
class CodeMix(Mix):
    """`sum_j V[o, j] y_j` over the J = `share` L codes of each group; V starts so that the combined filters have the
    variance of torch's own (ours).

    Args:
        shape: the layer's shape.
        share: part of the codes that is kept.
    """

    def __init__(self, shape: LayerShape, share: float = 0.5) -> None:
        count, _ = code_count(shape.fan_in, float(share))
        super().__init__(shape, channels=count * shape.groups, relu=False)
        with torch.no_grad():
            self.weight.div_(math.sqrt(shape.fan_in))
