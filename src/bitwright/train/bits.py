"""How the binary weights move: flip ratio and dead-weight share of every layer, logged after each epoch.

Definitions, per layer, on the bits that inference would use (`weight_binarizer.codes`), all bit planes together:

- *flip ratio*: share of the layer's bits that differ from the bits one epoch earlier. Flips that were undone within the
  epoch are not seen.
- *dead-weight share*: share of the layer's bits that have been the same at every epoch end since training began (a
  resumed run continues the count).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from bitwright.binarize import BinaryModule


def layer_bits(model: nn.Module) -> dict[str, Tensor]:
    """The bits of every binary layer whose weights are bit planes: {path: bool [bits of the layer]}, on the CPU."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, BinaryModule) and module.weight_binarizer.planes:
            with torch.no_grad():
                codes = module.weight_binarizer.codes(module.latent_filters())
            found[name] = torch.cat([code.bits.reshape(-1) for code in codes]).cpu()
    return found


class BitStatistics(Callback):
    """Logs `flip/<layer>`, `dead/<layer>` and their means over all bits, `flip_ratio` and `dead_share`, every epoch.

    Args:
        per_layer: log each layer's figures too, not only the means.
    """

    def __init__(self, per_layer: bool = True) -> None:
        self.per_layer = per_layer
        self._last: dict[str, Tensor] = {}
        self._flipped: dict[str, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        bits = layer_bits(pl_module)
        if {k: len(v) for k, v in bits.items()} != {k: len(v) for k, v in self._last.items()}:
            self._last = bits
            self._flipped = {name: torch.zeros_like(b) for name, b in bits.items()}

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        now = layer_bits(pl_module)
        if not now:
            return
        flips = dead = total = 0
        values: dict[str, float] = {}
        for name, bits in now.items():
            changed = bits != self._last[name]
            self._flipped[name] |= changed
            flipped, alive, number = int(changed.sum()), int(self._flipped[name].sum()), len(bits)
            flips, dead, total = flips + flipped, dead + number - alive, total + number
            if self.per_layer:
                short = name.removeprefix("network.")
                values[f"flip/{short}"] = flipped / number
                values[f"dead/{short}"] = 1 - alive / number
        self._last = now
        values["flip_ratio"], values["dead_share"] = flips / total, dead / total
        # Every process holds the same weights, so every process has the same figures.
        pl_module.log_dict(values, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        def packed(masks: dict[str, Tensor]) -> dict[str, Any]:
            return {name: [len(m), torch.from_numpy(np.packbits(m.numpy()))] for name, m in masks.items()}

        return {"last": packed(self._last), "flipped": packed(self._flipped)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        def unpacked(masks: dict[str, Any]) -> dict[str, Tensor]:
            return {
                name: torch.from_numpy(np.unpackbits(data.numpy(), count=count).astype(bool))
                for name, (count, data) in masks.items()
            }

        self._last, self._flipped = unpacked(state_dict["last"]), unpacked(state_dict["flipped"])
