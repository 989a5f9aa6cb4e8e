"""The operators as torch sees them: registration, shape functions, devices, errors, the switch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bitwright.export import (
    PackedOperatorError,
    freeze,
    native,
    pack_layer,
    reference_ops,
    reference_ops_enabled,
    use_reference_ops,
)
from bitwright.nn import BinaryConv2d, BinaryConvTranspose2d, BinaryEmbedding, BinaryLinear

from .oracles import scramble


def conv_args(**change: Any) -> list[Any]:
    args = {
        "x": torch.randn(2, 6, 5, 5),
        "weight": torch.randint(0, 8, (4, 9, 4), dtype=torch.uint8) * torch.tensor([1, 0, 0, 0], dtype=torch.uint8),
        "threshold": torch.randn(6),
        "scale": torch.randn(4),
        "bias": torch.randn(4),
        "kernel": [3, 3],
        "stride": [1, 2],
        "dilation": [1, 1],
        "pads": [1, 0, 1, 2],
        "groups": 2,
        "channels": 3,
        "low": -1.0,
        "pad_mode": "constant",
        "pad_value": 1.0,
    }
    return list({**args, **change}.values())


def test_torch_accepts_the_registrations(kernels: str) -> None:
    """opcheck compares the schema, the shape function and the kernel."""
    tests = ("test_schema", "test_faketensor", "test_autograd_registration")
    torch.library.opcheck(torch.ops.bitwright.binary_conv.default, conv_args(), test_utils=tests)
    for layer, x in (
        (BinaryConvTranspose2d(6, 4, 3, 2, 1, 1, 2), torch.randn(2, 6, 4, 4)),
        (BinaryLinear(7, 3), torch.randn(2, 5, 7)),
    ):
        packed = pack_layer(layer)
        rest = [list(v) if isinstance(v, tuple) else v for v in packed.attrs.to_dict().values()]
        args = [x, packed.weight, packed.threshold, packed.scale, packed.bias, *rest]
        op = torch.ops.bitwright.binary_linear if x.ndim == 3 else torch.ops.bitwright.binary_conv_transpose
        torch.library.opcheck(op.default, args, test_utils=tests)
    table = pack_layer(BinaryEmbedding(9, 7))
    args = [torch.tensor([[1, 8]]), table.weight, table.scale, 7]
    torch.library.opcheck(torch.ops.bitwright.binary_embedding.default, args, test_utils=tests)
    args = [torch.zeros(4, 9, 4, dtype=torch.uint8), [4, 3, 3, 3]]
    torch.library.opcheck(torch.ops.bitwright.unpack_weight.default, args, test_utils=tests)


def test_reference_and_native_operators_are_equal() -> None:
    pytest.importorskip("bitwright.runtime.functional", reason="the native engine is not built")
    with use_reference_ops():
        wanted = torch.ops.bitwright.binary_conv(*conv_args(x=torch.ones(2, 6, 5, 5)))
        args = conv_args()
        wanted = torch.ops.bitwright.binary_conv(*args)
    with use_reference_ops(False):
        assert torch.equal(torch.ops.bitwright.binary_conv(*args), wanted)


def test_strided_inputs(kernels: str) -> None:
    packed = pack_layer(BinaryConv2d(6, 4, 3, padding=1))
    x = torch.randn(2, 6, 8, 8)
    for view in (x.to(memory_format=torch.channels_last), x[:, :, ::2, 1:], x.transpose(2, 3)):
        y = packed(view)
        assert y.is_contiguous()
        assert torch.equal(y, packed(view.contiguous()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": torch.randn(2, 5, 5, 5)}, r"x must have shape \[N, 6\] and 2 spatial dimensions, got \[2, 5, 5, 5\]"),
        ({"x": torch.randn(6, 5, 5)}, "x must have shape"),
        ({"x": torch.randn(2, 6, 5, 5).double()}, "x must be float32, got torch.float64"),
        ({"weight": torch.zeros(4, 9, 8, dtype=torch.uint8)}, r"uint8 \[4, 9, 4\], got torch.uint8 \[4, 9, 8\]"),
        ({"weight": torch.zeros(4, 9, 4)}, "weight must be packed bits"),
        ({"weight": torch.zeros(3, 9, 4, dtype=torch.uint8)}, "3 output channels cannot be split into 2 groups"),
        ({"threshold": torch.zeros(3)}, r"threshold must have shape \[6\] or \[1\], got \[3\]"),
        ({"threshold": torch.zeros(6).half()}, "threshold must be float32"),
        ({"scale": torch.zeros(1)}, r"scale must have shape \[4\]"),
        ({"bias": torch.zeros(6)}, r"bias must have shape \[4\]"),
        ({"low": 0.5}, "low must be -1"),
        ({"low": 0.0, "pad_value": -1.0}, "pad_value must be one of"),
        ({"kernel": [3, 3, 3]}, "strides must be 3 integers"),
        ({"x": torch.randn(2, 6, 1, 1), "pads": [0, 0, 0, 0]}, "does not fit into the input"),
    ],
)
def test_wrong_operands_are_named(kernels: str, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        torch.ops.bitwright.binary_conv(*conv_args(**change))


def test_wrong_linear_and_embedding_operands_are_named() -> None:
    linear, table = pack_layer(BinaryLinear(7, 3)), pack_layer(BinaryEmbedding(9, 7))
    with pytest.raises(PackedOperatorError, match=r"BinaryLinear: x must have shape \[..., 7\], got \[2, 8\]"):
        linear(torch.zeros(2, 8))
    with pytest.raises(PackedOperatorError, match=r"ids must be int64, got torch.float32"):
        table(torch.zeros(2))
    with pytest.raises(PackedOperatorError, match="scale must be float32"):
        torch.ops.bitwright.binary_embedding(torch.zeros(1, dtype=torch.int64), table.weight, torch.zeros(2), 7)
    with pytest.raises(PackedOperatorError, match="UnpackWeight: weight must be packed bits"):
        torch.ops.bitwright.unpack_weight(table.weight, [9, 40])


def test_there_is_no_gradient() -> None:
    x = torch.randn(2, 7, requires_grad=True)
    with use_reference_ops():
        y = pack_layer(BinaryLinear(7, 3))(x)
        with pytest.raises((RuntimeError, NotImplementedError)):
            y.sum().backward()


def test_torch_compile_keeps_the_operator(kernels: str) -> None:
    layer = BinaryConv2d(3, 4, 3, method="reactnet").eval()
    scramble(layer)
    packed = freeze(torch.nn.Sequential(layer, torch.nn.ReLU()))
    x = torch.randn(2, 3, 6, 6)
    compiled = torch.compile(packed, backend="eager", fullgraph=True)
    assert torch.equal(compiled(x), packed(x))


def test_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BITWRIGHT_REFERENCE_OPS", raising=False)
    assert not reference_ops_enabled()
    with use_reference_ops():
        assert reference_ops_enabled()
        with use_reference_ops(False):
            assert not reference_ops_enabled()
        assert reference_ops_enabled()
    monkeypatch.setenv("BITWRIGHT_REFERENCE_OPS", "1")
    assert reference_ops_enabled()
    with use_reference_ops(False):
        assert not reference_ops_enabled()
    monkeypatch.setenv("BITWRIGHT_REFERENCE_OPS", "yes")
    with pytest.raises(ValueError, match="BITWRIGHT_REFERENCE_OPS must be 0 or 1, got 'yes'"):
        reference_ops_enabled()


def test_each_side_of_the_switch_is_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """No silent fallback: with a broken native engine the operator raises, and only the switch runs the reference."""

    def missing() -> None:
        raise ImportError("packed operators on the CPU need bitwright's native engine")

    monkeypatch.setattr(native, "_native", lambda _: missing())
    packed = pack_layer(BinaryLinear(7, 3))
    with use_reference_ops(False), pytest.raises(ImportError, match="need bitwright's native engine"):
        packed(torch.zeros(2, 7))
    with use_reference_ops():
        packed(torch.zeros(2, 7))
    monkeypatch.setattr(reference_ops, "binary_linear", missing)
    with use_reference_ops(), pytest.raises(TypeError):
        packed(torch.zeros(2, 7))


def test_the_import_error_says_how_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "bitwright.runtime.functional", None)
    with use_reference_ops(False), pytest.raises(ImportError, match=r"pip install \."):
        pack_layer(BinaryLinear(7, 3))(torch.zeros(2, 7))
