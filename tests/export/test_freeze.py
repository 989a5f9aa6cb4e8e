from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import set_stage
from bitwright.export import (
    FrozenModelError,
    NotPackableError,
    PackedConv,
    PackedLayer,
    PackedLinear,
    WeightOnlyConv,
    freeze,
    latent_layers,
)
from bitwright.nn import BinaryConv2d, BinaryLayer, BinaryLinear

from .networks import Zoo, image_net, zoo


def test_a_network_computes_the_same_bit_for_bit(kernels: str) -> None:
    net = image_net()
    packed = freeze(net)
    x = torch.randn(3, 3, 12, 12)
    with torch.no_grad():
        assert torch.equal(packed(x), net(x))


def test_every_layer_of_the_zoo_computes_the_same(kernels: str) -> None:
    net = zoo()
    packed = freeze(net)
    with torch.no_grad():
        for got, wanted in zip(packed(*Zoo.example(3)), net(*Zoo.example(3)), strict=True):
            assert torch.equal(got, wanted)


def test_hierarchy_names_and_other_modules_stay() -> None:
    net = image_net()
    before = {name: type(module) for name, module in net.named_modules(remove_duplicate=False)}
    packed = freeze(net)
    after = dict(packed.named_modules(remove_duplicate=False))
    binary = {name for name, kind in before.items() if issubclass(kind, BinaryLayer)}
    assert binary == {"block1.conv", "block2.conv", "again.conv", "hidden"}
    for name, kind in before.items():
        if name in binary:
            assert isinstance(after[name], PackedConv | PackedLinear)
        elif not any(name.startswith(f"{path}.") for path in binary):
            assert type(after[name]) is kind
    assert not any(module.training for module in packed.modules())
    assert not list(latent_layers(packed))
    assert torch.equal(packed.stem.weight, net.stem.weight)
    assert packed.stem.weight is not net.stem.weight


def test_the_model_itself_is_left_alone() -> None:
    net = image_net().train()
    freeze(net)
    assert isinstance(net.hidden, BinaryLinear)
    assert net.training
    assert net.hidden.training


def test_inplace_changes_the_model() -> None:
    net = image_net()
    bn = net.bn
    assert freeze(net, inplace=True) is net
    assert net.bn is bn
    assert isinstance(net.hidden, PackedLinear)
    assert net.again is net.block2


class Twice(nn.Module):
    """One layer under two names of one module."""

    def __init__(self) -> None:
        super().__init__()
        self.first = BinaryLinear(8, 8)
        self.second = self.first
        self.items = nn.ModuleList([self.first, BinaryLinear(8, 8)])

    def forward(self, x: Tensor) -> Tensor:
        return self.items[1](self.second(self.first(x)))


@pytest.mark.parametrize("inplace", [False, True])
def test_shared_modules_stay_shared(inplace: bool) -> None:
    packed = freeze(Twice(), inplace=inplace)
    assert isinstance(packed.first, PackedLinear)
    assert packed.first is packed.second is packed.items[0]
    assert packed.items[1] is not packed.first
    again = freeze(image_net(), inplace=inplace)
    assert again.again is again.block2
    assert again.again.conv is again.block2.conv


def test_a_binary_layer_itself_can_be_frozen(kernels: str) -> None:
    layer = BinaryConv2d(3, 4, 3, method="reactnet").eval()
    packed = freeze(layer)
    assert isinstance(packed, PackedConv)
    x = torch.randn(1, 3, 5, 5)
    assert torch.equal(packed(x), layer(x))


def test_a_float_model_is_only_set_to_eval() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout())
    packed = freeze(net)
    assert not packed.training
    assert net.training
    assert torch.equal(packed[0].weight, net[0].weight)


@pytest.mark.parametrize("inplace", [False, True])
def test_errors_name_every_layer_and_change_nothing(inplace: bool) -> None:
    net = nn.Sequential(
        nn.Sequential(BinaryLinear(8, 8), BinaryLinear(8, 8, method="xnornet", weight="real")),
        BinaryLinear(8, 4, method="dorefa", w_bits=32),
    )
    with pytest.raises(NotPackableError) as error:
        freeze(net, inplace=inplace)
    message = str(error.value)
    assert "0.1 (BinaryLinear): method xnornet" in message
    assert "1 (BinaryLinear): method dorefa" in message
    assert "0.0" not in message
    assert all(isinstance(layer, BinaryLinear) for layer in [net[0][0], net[0][1], net[1]])


def test_an_early_training_stage_cannot_be_frozen() -> None:
    net = nn.Sequential(BinaryLinear(8, 8))
    set_stage(net, "activations")
    with pytest.raises(NotPackableError, match=r"0 \(BinaryLinear\): the layer is in stage 'activations'"):
        freeze(net)


def test_frozen_models_do_not_train() -> None:
    packed = freeze(image_net())
    with pytest.raises(FrozenModelError, match="is frozen: bits cannot train"):
        packed.train()
    packed.eval()
    packed.train(False)
    assert not list(freeze(BinaryLinear(3, 3)).parameters())


def test_state_dict_deepcopy_and_device_moves(kernels: str) -> None:
    net = image_net()
    packed, other = freeze(net), freeze(type(net)())
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(other(x), packed(x))
    other.load_state_dict(packed.state_dict())
    assert torch.equal(other(x), packed(x))
    assert torch.equal(copy.deepcopy(packed).to("cpu")(x), packed(x))
    assert packed.state_dict()["hidden.weight"].dtype == torch.uint8
    assert set(packed.hidden.state_dict()) == {"weight", "threshold", "scale", "bias"}


def test_meta_device_gives_shapes() -> None:
    packed = freeze(zoo()).to("meta")
    shapes = [tuple(y.shape) for y in packed(*[x.to("meta") for x in Zoo.example(3)])]
    assert shapes == [tuple(y.shape) for y in zoo()(*Zoo.example(3))]


def test_size_is_one_bit_a_weight() -> None:
    layer = freeze(BinaryConv2d(64, 32, 3))
    assert isinstance(layer, PackedLayer)
    assert layer.weight.nbytes == 64 * 32 * 9 // 8
    assert layer.packed_bytes == layer.weight.nbytes + 4 * (1 + 32 + 32)


def test_repr_says_what_it_is() -> None:
    layer = freeze(BinaryConv2d(64, 32, 3, 2, 1, groups=2, pad_value=1))
    assert repr(layer) == (
        "PackedConv(64, 32, kernel=(3, 3), stride=(2, 2), dilation=(1, 1), groups=2, pads=(1, 1, 1, 1) (+1), "
        "1-bit weights, ±1 inputs, 1412 bytes)"
    ).replace("dilation=(1, 1), ", "")
    assert "{0,1} inputs" in repr(freeze(BinaryLinear(3, 2, method="dorefa")))
    only = freeze(BinaryConv2d(3, 2, 1, activation=None))
    assert isinstance(only, WeightOnlyConv)
    assert "real inputs" in repr(only)


def test_half_precision_inputs_are_widened_exactly(kernels: str) -> None:
    packed = freeze(BinaryLinear(40, 4, method="reactnet"))
    x = torch.randn(5, 40).to(torch.bfloat16)
    assert torch.equal(packed(x), packed(x.float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(packed(x.float()), packed(x.float()))
        y = packed(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, packed(x))
