"""ReActNet: what is special, and the published and recomputed numbers."""

from __future__ import annotations

import numpy as np
from tests.binarize.against import close, differentiate, weight_part

from bitwright.binarize import (
    get_method,
    method_options,
)


def test_reactnet_vector() -> None:
    value, grad = differentiate(
        weight_part("reactnet", 1, 4), np.array([[0.5, -1.5, 0.25, 0.75]]), np.array([[1.0, 2, 3, 4]])
    )
    close(value, [[0.75, -0.75, 0.75, 0.75]])
    close(grad, [[1, 0, 3, 4]])


def test_lcrbnn_is_irnet_with_the_code_schedule() -> None:
    assert method_options("lcrbnn") == {"t_min": 0.001, "t_max": 10.0}
    assert get_method("lcrbnn").parts == get_method("irnet", t_min=0.001).parts
