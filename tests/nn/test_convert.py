"""binarize_: which layers it takes, what it keeps of them, and what it says."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bitwright.binarize import UnknownNameError
from bitwright.nn import (
    BinaryConv2d,
    BinaryConvTranspose2d,
    BinaryEmbedding,
    BinaryLinear,
    NonNegativeInputWarning,
    UnmatchedPatternError,
    binarize_,
    binarize_plan,
)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)) if stride > 1 else None
        )

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + identity)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 1, 1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.layer1 = Block(8, 8, 1)
        self.layer2 = Block(8, 16, 2)
        self.gate = nn.Sequential(nn.Linear(16, 4), nn.ReLU(), nn.Linear(4, 16), nn.Sigmoid())
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer2(self.layer1(self.pool(self.relu(self.conv1(x))))).mean((2, 3))
        return self.fc(y * self.gate(y))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def test_default_rule(net: Net) -> None:
    assert binarize_(net, "reactnet") is net
    report = net.binarize_report
    assert report.binary == ["layer1.conv1", "layer1.conv2", "layer2.conv1", "layer2.conv2", "gate.0", "gate.2"]
    assert report.kept == ["conv1", "layer2.downsample.0", "fc"]
    reasons = {row.name: row.reason for row in report.rows}
    assert reasons["conv1"] == "first layer"
    assert reasons["fc"] == "last layer"
    assert reasons["layer2.downsample.0"] == "1x1 convolution of a shortcut"
    assert isinstance(net.layer1.conv1, BinaryConv2d)
    assert net(torch.randn(2, 3, 16, 16)).shape == (2, 10)


def test_relus_before_binary_layers_are_replaced(net: Net) -> None:
    net.gate[0].eval()
    binarize_(net, "bnn", skip=["gate"])
    # layer2.relu is called twice, and its first call feeds layer2.conv2
    assert net.binarize_report.replaced == ["relu", "layer1.relu", "layer2.relu"]
    assert isinstance(net.layer1.relu, nn.Hardtanh)
    assert isinstance(net.gate[1], nn.ReLU)  # in front of a float layer: untouched


def test_every_relu_that_feeds_a_sign_is_found(net: Net) -> None:
    report = binarize_plan(net, "bnn")
    # layer2.relu feeds the gate through mean()
    assert report.replaced == ["relu", "layer1.relu", "layer2.relu", "gate.1"]
    assert binarize_plan(net, "dorefa").replaced == []  # {0,1} activations: a ReLU is fine
    assert binarize_plan(net, "bnn", activation=None).replaced == []  # weights only


def test_prelu_rule(net: Net) -> None:
    binarize_(net, "bnn", activation_rule="prelu", skip=["gate"])
    assert isinstance(net.layer1.relu, nn.PReLU)
    assert net.binarize_report.rows[-1].method == "prelu"


def test_kept_relu_warns(net: Net) -> None:
    with pytest.warns(NonNegativeInputWarning, match=r"layer1\.conv1: relu feeds it"):
        binarize_(net, "bnn", activation_rule="keep", skip=["gate"])
    assert isinstance(net.relu, nn.ReLU)
    assert "warning: layer1.conv1" in str(net.binarize_report)


def test_functional_relu_warns() -> None:
    class Functional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.c(self.b(F.relu(self.a(x))))

    with pytest.warns(NonNegativeInputWarning, match="b: relu feeds it"):
        binarize_(Functional(), "bnn")


def test_model_that_cannot_be_traced_replaces_all_relus() -> None:
    class Branchy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.relu, self.b, self.c = nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            y = self.relu(self.a(x))
            return self.c(self.b(y)) if y.sum() > 0 else y

    model = Branchy()
    binarize_(model, "bnn")
    assert isinstance(model.relu, nn.Hardtanh)


def test_negative_inputs_do_not_warn() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 4), nn.Linear(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        binarize_(model, "bnn", activation_rule="keep")


def test_same_parameters_stay(net: Net) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    weight, bias = net.gate[0].weight, net.gate[0].bias
    binarize_(net, "bnn")
    assert net.gate[0].weight is weight
    assert net.gate[0].bias is bias
    ids = {id(p) for g in optimizer.param_groups for p in g["params"]}
    assert all(id(p) in ids for p in net.parameters())


def test_output_is_that_of_the_binarized_weights(net: Net) -> None:
    """The converted network equals the float one whose weights and inputs are binarized by hand."""
    reference = copy.deepcopy(net)
    binarize_(net, "bnn", skip=["gate", "layer2"], activation_rule="hardtanh")
    for block in (reference.layer1,):
        for conv in (block.conv1, block.conv2):
            with torch.no_grad():
                conv.weight.copy_(torch.where(conv.weight >= 0, 1.0, -1.0))
            conv.register_forward_pre_hook(lambda m, a: (torch.where(a[0] >= 0, 1.0, -1.0),))
    reference.relu, reference.layer1.relu = nn.Hardtanh(), nn.Hardtanh()
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(net.eval()(x), reference.eval()(x))


def test_geometry_is_kept() -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=2, padding_mode="replicate"),
        nn.ConvTranspose2d(6, 4, 3, 2, 1, 1, groups=2, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
        nn.Conv2d(4, 4, 3),
    )
    x = torch.randn(1, 4, 12, 12)
    expected = [m.weight.shape for m in model]
    shape = model(x).shape
    binarize_(model, "bnn")
    assert isinstance(model[1], BinaryConv2d)
    assert isinstance(model[2], BinaryConvTranspose2d)
    assert (model[1].stride, model[1].dilation, model[1].groups, model[1].pad_mode) == ((2, 1), (1, 2), 2, "replicate")
    assert model[3].bias is None
    assert [m.weight.shape for m in model] == expected
    assert model(x).shape == shape


def test_skip_by_name_pattern_and_type(net: Net) -> None:
    report = binarize_plan(net, "bnn", skip=["layer1", "*.conv2", nn.Linear])
    assert report.binary == ["layer2.conv1"]
    assert {r.name: r.reason for r in report.rows}["layer1.conv1"] == "skip 'layer1'"


def test_first_last_and_pointwise_options(net: Net) -> None:
    assert binarize_plan(net, "bnn", first_last="binarize", pointwise="binarize").kept == []
    assert binarize_plan(net, "bnn", first_last="skip_first").kept == ["conv1", "layer2.downsample.0"]
    assert binarize_plan(net, "bnn", first_last="skip_last").kept == ["layer2.downsample.0", "fc"]


def test_rules(net: Net) -> None:
    net.table = nn.Embedding(5, 4)
    report = binarize_plan(
        net,
        "bnn",
        rules={"layer1.*": "reactnet", "conv1": {"method": "irnet", "t_min": 0.01}, "gate": "float", "table": "bnn"},
    )
    methods = {row.name: row.method for row in report.rows if row.action == "binary"}
    assert methods["layer1.conv1"] == "reactnet"
    assert methods["conv1"] == "irnet(t_min=0.01)"
    assert methods["layer2.conv1"] == "bnn"
    assert methods["table"] == "bnn"
    assert "gate.0" not in methods
    binarize_(net, "bnn", rules={"table": "bnn"})
    assert isinstance(net.table, BinaryEmbedding)


def test_shared_module_and_tied_weights() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
            self.a = nn.Linear(4, 4)
            self.again = self.a
            self.tied = nn.Linear(4, 4)
            self.tied.weight = self.a.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.tied(self.again(self.a(self.first(x)))))

    model = Tied()
    binarize_(model, "bnn", rules={"again": "reactnet", "last": "float"}, first_last="skip_first")
    assert isinstance(model.a, BinaryLinear)
    assert model.a is model.again
    assert model.a.method == "reactnet"
    assert model.tied.weight is model.a.weight


def test_subclasses_and_attention_are_left_alone() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Linear(4, 4))
    binarize_(model, "bnn")
    reasons = {row.name: row.reason for row in model.binarize_report.rows}
    assert reasons["1.self_attn.out_proj"] == "a subclass of a torch layer"
    assert isinstance(model[1].linear1, BinaryLinear)
    model.train()(torch.randn(2, 3, 4)).sum().backward()


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"skip": ["layer9"]}, UnmatchedPatternError, "'layer9'.*did you mean.*'layer1'"),
        ({"skip": [nn.LSTM]}, UnmatchedPatternError, "type LSTM matches nothing"),
        ({"rules": {"head": "bnn"}}, UnmatchedPatternError, "rules: 'head'"),
        ({"skip": "fc"}, TypeError, r"skip=\['fc'\]"),
        ({"first_last": "keep"}, UnknownNameError, "first_last"),
        ({"pointwise": "no"}, UnknownNameError, "pointwise"),
        ({"activation_rule": "gelu"}, UnknownNameError, "activation_rule"),
        ({"method": "irnett"}, UnknownNameError, "Did you mean 'irnet'"),
        ({"rules": {"fc": {"t_min": 1}}}, ValueError, "needs 'method'"),
        ({"rules": {"fc": 3}}, TypeError, "must map to"),
        ({"skip": [nn.Conv2d, nn.Linear]}, ValueError, "nothing to convert"),
    ],
)
def test_errors_leave_the_model_alone(net: Net, kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    before = repr(net)
    with pytest.raises(error, match=message):
        binarize_(net, **kwargs)
    assert repr(net) == before


def test_what_cannot_be_converted_is_refused() -> None:
    def model(layer: nn.Module) -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 4, 3), layer, nn.Conv2d(4, 4, 3))

    with pytest.raises(ValueError, match="padding_mode='circular'"):
        binarize_(model(nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")))
    hooked = nn.Conv2d(4, 4, 3)
    hooked.register_forward_pre_hook(lambda m, a: None)
    with pytest.raises(ValueError, match="1 has forward or backward hooks"):
        binarize_(model(hooked))
    with pytest.raises(ValueError, match="single layer"):
        binarize_(nn.Linear(3, 3))
    with pytest.raises(ValueError, match="nothing to convert"):
        binarize_(nn.Sequential(nn.ReLU()))


def test_irnet_on_a_filter_of_one_weight_leaves_the_model_alone() -> None:
    net = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 1, groups=4), nn.Conv2d(4, 4, 3))
    before = repr(net)
    with pytest.raises(ValueError, match=r"2: .*single weight"):
        binarize_(net, "irnet")
    assert repr(net) == before


def test_converted_model_can_be_copied_saved_and_trained(net: Net) -> None:
    binarize_(net, "irnet")
    other = pickle.loads(pickle.dumps(copy.deepcopy(net)))
    other.load_state_dict(net.state_dict(), strict=True)
    x = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(net.eval()(x), other.eval()(x))
    assert "layer1.conv1" in str(other.binarize_report)


def test_mode_dtype_and_frozen_parameters_are_kept(net: Net) -> None:
    net.double().eval()
    net.layer1.conv1.weight.requires_grad_(False)
    binarize_(net, "bnn")
    assert net.layer1.conv1.weight.dtype == torch.float64
    assert not net.layer1.conv1.training
    assert not net.layer1.conv1.weight.requires_grad
