from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from bitwright.export import use_reference_ops


def _native_reason() -> str:
    try:
        import bitwright.runtime.functional  # noqa: F401
    except ImportError as error:
        return f"the native engine is not built: {error}"
    return ""


NATIVE_REASON = _native_reason()


@pytest.fixture(
    params=["reference", pytest.param("native", marks=pytest.mark.skipif(bool(NATIVE_REASON), reason=NATIVE_REASON))]
)
def kernels(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test with this fixture runs on the reference operators and on the native engine."""
    with use_reference_ops(request.param == "reference"):
        yield request.param


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
