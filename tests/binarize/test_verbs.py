"""Verbs over a model: progress, regulariser, clipping, data initialisation, stages."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import (
    REGULARIZERS,
    WEIGHTS,
    ActivationBinarizer,
    ActivationCode,
    BinaryModule,
    LayerShape,
    Part,
    Progress,
    Regularizer,
    SignWeight,
    UnknownNameError,
    WeightBinarizer,
    after_step,
    before_step,
    bsign,
    clip_latent_,
    get_method,
    initialize_from_data,
    needs_epoch,
    regularization,
    set_progress,
    set_stage,
)
from bitwright.nn import BinaryConv2d, BinaryConvTranspose2d, BinaryLinear, NotPackableError, RSign, binarize_


class Decay(WeightBinarizer):
    """A weight binarizer with everything optional: a regulariser, a schedule that reads the latent weight, a range."""

    latent_range = (-0.5, 0.25)

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        self.register_buffer("strength", torch.tensor(0.0))
        self.seen: list[tuple[Progress, tuple[int, ...]]] = []

    def forward(self, latent: Tensor) -> Tensor:
        return bsign(latent.detach()) + latent - latent.detach()

    def on_progress(self, progress: Progress, latent: Tensor | None = None) -> None:
        assert latent is not None
        self.seen.append((progress, tuple(latent.shape)))
        self.strength.fill_(progress.step / progress.steps)

    def regularization(self, latent: Tensor | None = None) -> Tensor | None:
        assert latent is not None
        return self.strength * latent.square().sum()


class Learned(ActivationBinarizer):
    """An activation whose threshold starts at the mean of the first batch."""

    needs_data = True

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        self.threshold = nn.Parameter(torch.zeros(1))

    def initialize_from(self, x: Tensor) -> None:
        self.threshold.fill_(x.mean())

    def forward(self, x: Tensor) -> Tensor:
        return bsign((x - self.threshold).detach()) + 0 * (x - self.threshold)

    def codes(self) -> tuple[ActivationCode, ...]:
        return (ActivationCode(self.threshold.detach(), -1.0),)


def model_with(layer: BinaryLinear | BinaryConv2d) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), layer)


def with_decay() -> BinaryLinear:
    layer = BinaryLinear(6, 4)
    layer.weight_binarizer = Decay(layer.shape)
    return layer


def test_progress_reaches_parts_once_with_the_latent_weight() -> None:
    layer = with_decay()
    model = nn.ModuleList([layer, layer, nn.Sequential(layer)])
    set_progress(model, epoch=3, epochs=10, step=30, steps=100)
    assert layer.weight_binarizer.seen == [(Progress(3, 10, 30, 100), (4, 6))]
    for bad in (
        {"epoch": 11, "epochs": 10},
        {"epoch": -1, "epochs": 10},
        {"epoch": 0, "epochs": 1, "step": 5, "steps": 2},
    ):
        with pytest.raises(ValueError, match="need 0 <="):
            set_progress(model, **bad)


def test_needs_epoch() -> None:
    assert needs_epoch(BinaryLinear(6, 4, method="irnet"))
    assert not needs_epoch(BinaryLinear(6, 4, method="bnn"))


def test_regularization_is_the_differentiable_sum() -> None:
    first, second = with_decay(), with_decay()
    model = nn.ModuleList([first, first, second])
    assert regularization(BinaryLinear(3, 3)) is None
    set_progress(model, epoch=0, epochs=1, step=1, steps=2)
    total = regularization(model)
    assert total is not None
    torch.testing.assert_close(total, 0.5 * (first.weight.square().sum() + second.weight.square().sum()))
    total.backward()
    torch.testing.assert_close(first.weight.grad, first.weight.detach())


def test_clip_latent_uses_each_methods_range() -> None:
    layer, free = with_decay(), BinaryLinear(6, 4, method="reactnet")
    bnn = BinaryLinear(6, 4, method="bnn")
    for module in (layer, free, bnn):
        nn.init.uniform_(module.weight, -3, 3)
    before = free.weight.detach().clone()
    clip_latent_(nn.ModuleList([layer, free, bnn]))
    assert [f(layer.weight).item() for f in (torch.min, torch.max)] == [-0.5, 0.25]
    assert [f(bnn.weight).item() for f in (torch.min, torch.max)] == [-1, 1]
    assert torch.equal(free.weight, before)


def test_initialize_from_data_sets_parameters_and_nothing_else() -> None:
    torch.manual_seed(0)
    layer = BinaryLinear(6, 4)
    layer.activation = Learned(layer.shape)
    model = model_with(layer).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = copy.deepcopy(model.state_dict())
    x = torch.randn(32, 6) + 1
    random = torch.get_rng_state()
    assert initialize_from_data(model, x) == ["3.activation"]
    assert torch.equal(torch.get_rng_state(), random)
    assert not model.training
    after = model.state_dict()
    assert [k for k in before if not torch.equal(before[k], after[k])] == ["3.activation.threshold"]
    assert any(p is layer.activation.threshold for g in optimizer.param_groups for p in g["params"])
    assert initialize_from_data(BinaryLinear(2, 2), torch.ones(1, 2)) == []


def test_initialize_from_data_says_what_was_not_reached() -> None:
    used, unused = BinaryLinear(6, 4), BinaryLinear(6, 4)
    used.activation, unused.activation = Learned(used.shape), Learned(unused.shape)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.unused = used, unused

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    with pytest.raises(RuntimeError, match=r"never reached unused\.activation"):
        initialize_from_data(Net(), torch.ones(2, 6))


@pytest.mark.parametrize("method", ["bnn", "reactnet", "irnet", "dorefa"])
def test_stages(method: str) -> None:
    torch.manual_seed(0)
    layer = BinaryConv2d(3, 4, 3, padding=1, method=method)
    set_progress(layer, epoch=0, epochs=2)
    x = torch.randn(2, 3, 5, 5)
    low = 0.0 if method == "dorefa" else -1.0
    for mode in (True, False):
        layer.train(mode)
        set_stage(layer, "float")
        torch.testing.assert_close(layer(x), torch.conv2d(x.clamp(low, 1), layer.weight, padding=1))
        set_stage(layer, "activations")
        levels = torch.where(x >= (0.50000003 if low == 0 else 0), 1.0, low)
        torch.testing.assert_close(layer(x), torch.conv2d(levels, layer.weight, padding=1))
    with pytest.raises(NotPackableError, match="stage 'activations'"):
        layer.binary_spec()
    set_stage(layer, "full")
    torch.testing.assert_close(layer(x), torch.conv2d(levels, layer.binary, padding=1))
    assert layer.binary_spec().activation is not None


def test_stage_is_saved() -> None:
    net = nn.Sequential(BinaryLinear(4, 4), RSign(4), BinaryLinear(4, 4))
    set_stage(net, "activations")
    other = nn.Sequential(BinaryLinear(4, 4), RSign(4), BinaryLinear(4, 4))
    other.load_state_dict(net.state_dict(), strict=True)
    assert [m.stage for m in other] == ["activations"] * 3
    assert copy.deepcopy(other)[0].stage == "activations"
    with pytest.raises(ValueError, match="unknown stage 'half'"):
        set_stage(net, "half")
    with pytest.raises(ValueError, match="no binary layer"):
        set_stage(nn.Linear(2, 2), "full")
    state = net.state_dict()
    state["0.stage_code"] = torch.tensor(7, dtype=torch.uint8)
    with pytest.raises(ValueError, match="stage_code 7"):
        other.load_state_dict(state)


def test_part_that_asks_for_data_must_take_it() -> None:
    class Forgetful(Part):
        needs_data = True

    with pytest.raises(NotImplementedError, match="Forgetful"):
        Forgetful().initialize_from(torch.zeros(1))


# ---------------------------------------------------------------- hooks around the step, regularisers, inner shapes
class Statistics(SignWeight):
    """Counts gradients, changes gradient and latent weight."""

    def __init__(self, shape: LayerShape) -> None:
        super().__init__(shape)
        self.register_buffer("seen", torch.zeros(shape.filter_shape))

    def on_gradient(self, latent: Tensor, gradient: Tensor) -> Tensor:
        assert latent.shape == gradient.shape == self.seen.shape
        self.seen += gradient
        return 2 * gradient

    def on_step(self, latent: Tensor) -> Tensor:
        return latent + 1


@pytest.mark.parametrize("transposed", [False, True])
def test_parts_change_gradient_and_latent_weight(transposed: bool) -> None:
    torch.manual_seed(0)
    layer = BinaryConvTranspose2d(4, 6, 3, groups=2) if transposed else BinaryConv2d(4, 6, 3, groups=2)
    layer.weight_binarizer = Statistics(layer.shape)
    before_step(layer)  # no gradient yet: nothing happens
    layer(torch.randn(2, 4, 6, 6)).square().sum().backward()
    assert layer.weight.grad is not None
    gradient, weight = layer.weight.grad.clone(), layer.weight.detach().clone()
    before_step(layer)
    torch.testing.assert_close(layer.weight.grad, 2 * gradient)
    torch.testing.assert_close(layer.weight_binarizer.seen, layer._to_filters(gradient))
    after_step(layer)
    torch.testing.assert_close(layer.weight.detach(), weight + 1)


class Pull(Regularizer):
    """Pulls latent weights to ±strength, in the stage with binary weights only."""

    def __init__(self, shape: LayerShape, strength: float = 1.0) -> None:
        super().__init__(shape)
        self.strength = strength

    def loss(self, layer: BinaryModule) -> Tensor | None:
        if layer.stage != "full":
            return None
        return (layer.latent_filters().abs() - self.strength).square().sum()


def test_regularizers_cross_with_any_method() -> None:
    REGULARIZERS.register("pull")(Pull)
    try:
        layer = BinaryLinear(6, 4, method="bnn", regularizer={"kind": "pull", "strength": 0.5})
        plain = BinaryLinear(6, 4, method="bnn", regularizer="pull")
        assert plain.regularizer.strength == 1.0
        term = regularization(nn.ModuleList([layer, BinaryLinear(6, 4)]))
        assert term is not None
        torch.testing.assert_close(term, (layer.weight.abs() - 0.5).square().sum())
        set_stage(layer, "activations")
        assert regularization(layer) is None
        with pytest.raises(ValueError, match="Pull is not part of a binary layer"):
            regularization(nn.Sequential(Pull(layer.shape)))
        with pytest.raises(UnknownNameError, match="strenght"):
            get_method("bnn", regularizer={"kind": "pull", "strenght": 1})
    finally:
        del REGULARIZERS._items["pull"]


class Experts(WeightBinarizer):
    """Two weights; the sign of a sample's first number chooses."""

    planes = 0
    per_sample = True

    def latent_shape(self) -> tuple[int, ...]:
        return (2, *self.shape.filter_shape)

    def real(self, latent: Tensor) -> Tensor:
        return latent[0]

    def sample_weights(self, latent: Tensor, x: Tensor) -> Tensor:
        chosen = (x.flatten(1)[:, 0] >= 0).long()
        return bsign(latent.detach())[chosen] + (latent - latent.detach())[chosen]


@pytest.mark.parametrize("kind", ["conv", "grouped", "linear", "tokens"])
def test_weights_of_their_own_for_every_sample(kind: str) -> None:
    torch.manual_seed(0)
    WEIGHTS.register("experts of the test")(Experts)
    try:
        options = {"method": "bnn", "weight": "experts of the test"}
        sizes = {"linear": (5, 4), "tokens": (5, 3, 4)}
        x = torch.randn(sizes.get(kind, (5, 4, 6, 6)))
        layer: BinaryConv2d | BinaryLinear
        if kind in ("conv", "grouped"):
            layer = BinaryConv2d(4, 6, 3, 2, 1, groups=2 if kind == "grouped" else 1, bias=True, **options)
        else:
            layer = BinaryLinear(4, 6, bias=True, **options)
        assert layer.weight.shape[0] == 2
        together = layer(x)
        for i in range(5):
            torch.testing.assert_close(layer(x[i : i + 1])[0], together[i])
            w = bsign(layer.weight.detach())[int(x[i].flatten()[0] >= 0)]
            a = bsign(x[i : i + 1])
            y = torch.conv2d(a, w, None, 2, 1, 1, layer.groups) if x.dim() == 4 else a @ w.T
            torch.testing.assert_close(together[i : i + 1], y)
        together.square().sum().backward()
        assert layer.weight.grad.abs().flatten(1).sum(1).gt(0).all()  # type: ignore[union-attr]
        with pytest.raises(NotPackableError, match="cannot be expressed by bits"):
            layer.binary_terms()
        table = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4))
        with pytest.raises(ValueError, match=r"1: Experts has a latent weight of shape \(2, 4, 4\)"):
            binarize_(table, **options)
    finally:
        del WEIGHTS._items["experts of the test"]


def test_a_transposed_layer_has_no_weights_per_sample() -> None:
    WEIGHTS.register("experts of the test")(Experts)
    try:
        layer = BinaryConvTranspose2d(4, 6, 3, method="bnn", weight="experts of the test")
        with pytest.raises(ValueError, match="chooses weights for every sample"):
            layer(torch.randn(1, 4, 3, 3))
    finally:
        del WEIGHTS._items["experts of the test"]
