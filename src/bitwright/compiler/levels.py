"""The levels of an activation of several bits, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def levels(x: Array, bits: int) -> Array:
    """rint, cut to 0 ... 2^bits - 1, NaN as 0, as bool or uint8."""
    cut = np.clip(np.rint(np.nan_to_num(x, nan=0.0)), 0, (1 << bits) - 1)
    return cut.astype(np.bool_ if bits == 1 else np.uint8)
