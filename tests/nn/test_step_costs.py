"""What a training step must not do: copy weights."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bitwright.binarize import set_progress
from bitwright.nn import BinaryConv2d, BinaryLayer, BinaryLinear

COPIES = ("aten::copy_", "aten::clone", "aten::contiguous")
LAYERS: dict[str, tuple[Callable[..., BinaryLayer], tuple[int, ...]]] = {
    # sizes that no activation has
    "conv": (lambda **k: BinaryConv2d(24, 40, 3, padding=1, **k), (2, 24, 6, 6)),
    "linear": (lambda **k: BinaryLinear(56, 40, **k), (3, 56)),
}


def copies(layer: BinaryLayer, x: Tensor) -> list[str]:
    """Copies of tensors of the weight's size in a forward and a backward pass."""
    layer(x).sum().backward()  # the gradient's buffer is made here
    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as record:
        layer(x).sum().backward()
    size = layer.weight.numel()
    return [
        event.name
        for event in record.events()
        if event.name in COPIES and event.input_shapes and torch.Size(event.input_shapes[0]).numel() == size
    ]


@pytest.mark.parametrize("method", ["bnn", "bireal", "reactnet", "xnornet", "dorefa", "irnet", "bwn"])
@pytest.mark.parametrize("kind", LAYERS)
def test_a_step_copies_no_weight(method: str, kind: str) -> None:
    make, shape = LAYERS[kind]
    layer = make(method=method)
    set_progress(layer, epoch=0, epochs=2)
    x = torch.randn(shape, requires_grad=True)
    assert copies(layer, x) == []


@pytest.mark.parametrize("kind", LAYERS)
def test_a_copy_would_be_seen(kind: str) -> None:
    make, shape = LAYERS[kind]
    layer = make(method="bnn")
    original = layer.weight_binarizer.forward
    with mock.patch.object(layer.weight_binarizer, "forward", lambda w: original(w).clone()):
        assert "aten::clone" in copies(layer, torch.randn(shape, requires_grad=True))
