"""The registry of weight initialisations: they fill the latent weight (filter form) in place."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from bitwright.binarize.part import LayerShape
from bitwright.binarize.registry import Registry

Init = Callable[[Tensor, LayerShape], None]
INITS: Registry[Init] = Registry("weight initialisation")
