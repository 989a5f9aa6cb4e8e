"""Every registered network with every method: generated from the registries."""

from __future__ import annotations

import pytest
import torch

from bitwright import binarize, models
from bitwright.models.units import SubsampleShortcut
from bitwright.nn import BinaryLayer, RPReLU

# Smaller versions of networks that are too large for a quick forward and backward pass; the counts are asserted at
# full size below.
SMALL = {
    "mlp": {"hidden": (64, 48)},
    "lenet": {"width": 16, "hidden": 32},
    "resnet18": {"stem": "cifar"},
    "resnet34": {"stem": "cifar"},
}
DEEP = {"resnet34", "resnet110"}
# In every network; the others, which differ inside a layer only, in one small network.
METHODS = [None, "bnn", "dorefa", "irnet", "reactnet", "xnornet"]
OTHERS = sorted({info.name for info in binarize.list_methods()} - set(METHODS))


def build(name: str, method: str | None) -> tuple[torch.nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    channels, *size = models.model_info(name).input_size
    if size[0] > 32:
        size = [32, 32]
    net = models.create(name, num_classes=7, in_channels=channels, method=method, **SMALL.get(name, {}))
    return net, torch.randn(2, channels, *size)


CASES = [
    pytest.param(name, method, marks=[pytest.mark.slow] if name in DEEP else [])
    for name in models.list_models()
    for method in [*METHODS, *(OTHERS if name == "binarycnn_s" else [])]
]


@pytest.mark.parametrize(("name", "method"), CASES)
def test_forward_backward_round_trip(name: str, method: str | None) -> None:
    net, x = build(name, method)
    binarize.initialize_from_data(net, x)
    binarize.set_progress(net, epoch=0, epochs=2, step=0, steps=2)
    net.train()
    y = net(x)
    assert y.shape == (2, 7)
    assert torch.isfinite(y).all()
    y.square().mean().backward()
    for key, parameter in net.named_parameters():
        if not parameter.requires_grad:  # fixed filters
            continue
        assert parameter.grad is not None, f"{key} is not in the graph"
        assert torch.isfinite(parameter.grad).all(), key
    latent = [m.weight for m in net.modules() if isinstance(m, BinaryLayer)]
    assert bool(latent) == (method is not None)
    assert all(bool(w.grad.any()) for w in latent if w.requires_grad and w.grad is not None)

    net.eval()
    with torch.no_grad():
        expected = net(x)
    other, _ = build(name, method)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    other.load_state_dict(net.state_dict(), strict=True)
    with torch.no_grad():
        assert torch.equal(other.eval()(x), expected)


@pytest.mark.parametrize(("name", "count"), [(n, c) for n in models.list_models() for c in models.model_info(n).counts])
def test_parameter_counts(name: str, count: models.Count) -> None:
    with torch.device("meta"):  # no memory, no initialisation
        net = models.create(name, **count.arguments)
    assert sum(p.numel() for p in net.parameters() if p.requires_grad) == count.parameters
    assert sum(m.weight.numel() for m in net.modules() if isinstance(m, BinaryLayer)) == count.binary


@pytest.mark.parametrize("name", models.list_models())
def test_first_and_last_layers_and_shortcuts_are_float(name: str) -> None:
    net, _ = build(name, "bnn")
    layers = [m for m in net.modules() if hasattr(m, "weight") and m.weight.ndim > 1]
    assert not isinstance(layers[0], BinaryLayer)
    assert not isinstance(layers[-1], BinaryLayer)
    for module in net.modules():
        inside = getattr(module, "shortcut", None)
        assert inside is None or not any(isinstance(m, BinaryLayer) for m in inside.modules())


def test_facts_are_complete() -> None:
    for name in models.list_models():
        info = models.model_info(name)
        assert info.name == name
        assert info.summary
        assert info.paper
        assert info.provenance
        assert {"num_classes", "in_channels", "method"} <= set(info.arguments)


def test_option_a_subsamples_and_adds_zero_channels_on_both_sides() -> None:
    x = torch.randn(2, 4, 5, 6)
    y = SubsampleShortcut(4, 8, 2)(x)
    assert y.shape == (2, 8, 3, 3)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 6:].any()


def test_binary_unit_with_zero_norm_is_the_identity() -> None:
    unit = models.create("resnet20", method="bireal").stages[0][0][0]
    torch.nn.init.zeros_(unit.norm.weight)
    x = torch.randn(2, 16, 8, 8)
    assert torch.equal(unit(x), x)


def test_reactnet_blocks_have_shifted_activations_and_one_shortcut_per_convolution() -> None:
    net = models.create("resnet18", stem="cifar", method="reactnet")
    assert sum(isinstance(m, RPReLU) for m in net.modules()) == 16
    assert sum(isinstance(m, BinaryLayer) for m in net.modules()) == 16


def test_method_options_reach_every_layer() -> None:
    method = binarize.get_method("irnet", activation=None)
    net = models.create("resnet20", method=method)
    layers = [m for m in net.modules() if isinstance(m, BinaryLayer)]
    assert len(layers) == 18
    assert all(layer.activation is None for layer in layers)


def test_errors_name_the_value_and_what_would_be_right() -> None:
    with pytest.raises(models.UnknownModelError, match=r"'resnet19'.*Did you mean 'resnet1.*vgg_small"):
        models.create("resnet19")
    with pytest.raises(TypeError, match=r"does not take widht; it takes: .*width"):
        models.create("resnet20", widht=16)
    with pytest.raises(ValueError, match=r"nosuch.*reactnet"):
        models.create("resnet20", method="nosuch")
    with pytest.raises(ValueError, match=r"unknown stem 'tiny'; known: cifar, imagenet"):
        models.create("resnet18", stem="tiny")
    with pytest.raises(ValueError, match=r"unknown shortcut 'C'"):
        models.create("resnet18", shortcut="C")
    with pytest.raises(ValueError, match="num_classes"):
        models.create("resnet20", num_classes=0)
    with pytest.raises(ValueError, match="at least 8x8"):
        models.create("vgg_small", image_size=4)
    with pytest.raises(ValueError, match="multiple of groups"):
        models.create("groupnet", width=30, groups=4)


def test_float_is_another_word_for_no_method() -> None:
    a, b = models.create("resnet20", method="float"), models.create("resnet20", method=None)
    assert str(a) == str(b)
