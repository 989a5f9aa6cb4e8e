"""Computing in the tensors' own precision under autocast."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor


def no_autocast(x: Tensor) -> AbstractContextManager[Any]:
    """Switches autocast off for the device of `x`: bits that come from products must not depend on it."""
    kind = x.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()
