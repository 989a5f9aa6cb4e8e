"""Binary LSTM, GRU and RNN: against torch, against loops in numpy, and the invariants for every method."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitwright.binarize import (
    MethodInfo,
    UnknownNameError,
    after_step,
    before_step,
    initialize_from_data,
    list_methods,
    set_progress,
    set_stage,
)
from bitwright.export import freeze, latent_layers
from bitwright.nn import (
    BinaryGRU,
    BinaryGRUCell,
    BinaryLayer,
    BinaryLSTM,
    BinaryLSTMCell,
    BinaryRNN,
    BinaryRNNCell,
    StepNorm,
    binarize_,
    summary,
)

KINDS: dict[str, tuple[type[Any], type[Any], type[Any], int]] = {
    "lstm": (BinaryLSTM, BinaryLSTMCell, nn.LSTM, 4),
    "gru": (BinaryGRU, BinaryGRUCell, nn.GRU, 3),
    "rnn": (BinaryRNN, BinaryRNNCell, nn.RNN, 1),
}
INFOS = {info.name: info for info in list_methods()}


def supported(info: MethodInfo) -> bool:
    return not {"linear", "recurrent"} & set(info.refuses)


METHODS = [name for name, info in INFOS.items() if supported(info)]
CASES = [(method, kind) for method in METHODS for kind in KINDS]


def stir(module: nn.Module) -> nn.Module:
    """In the middle of its training: biases, norms and learned parts away from their starting values."""
    with torch.no_grad():
        for m in module.modules():
            if isinstance(m, BinaryLayer):
                if m.bias is not None:
                    m.bias.normal_()
                for part in (m.activation, m.output):
                    for parameter in () if part is None else part.parameters():
                        parameter.add_(0.3 * torch.rand_like(parameter))
            if isinstance(m, StepNorm):
                m.weight.uniform_(0.2, 0.6)
                m.running_mean.normal_()
                m.running_var.uniform_(0.5, 2)
                if m.bias is not None:
                    m.bias.normal_()
    return module


def build(method: str, kind: str, **options: Any) -> tuple[Any, Tensor]:
    torch.manual_seed(1)
    layer = KINDS[kind][0](
        6, 8, **{"num_layers": 2, "bidirectional": True, "batch_first": True, **options}, method=method
    )
    x = torch.randn(5, 4, 6)
    set_progress(layer, epoch=1, epochs=3)
    initialize_from_data(layer, x)
    return stir(layer), x


@pytest.fixture(params=CASES, ids=lambda c: "-".join(c))
def case(request: pytest.FixtureRequest) -> tuple[Any, Tensor]:
    return build(*request.param)


def leave_out(layer: Any, *what: str) -> None:
    for name in what:
        if reason := INFOS[layer.cells[0].hidden.method_name].departs.get(name):
            pytest.skip(reason)


def evaluate(layer: nn.Module, *args: Any) -> Any:
    layer.eval()
    with torch.no_grad():
        return layer(*args)


def flat(result: Any) -> list[Tensor]:
    return [t for t in torch.utils._pytree.tree_leaves(result) if isinstance(t, Tensor)]


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(x, y) for x, y in zip(flat(a), flat(b), strict=True))


# ------------------------------------------------------------ against torch and numpy


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_with_real_weights_it_is_torchs_layer(kind: str, state: bool, bias: bool) -> None:
    """Stage "float" of a method without activations computes the float layer, whose parameters it takes over."""
    make, _, reference, gates = KINDS[kind]
    torch.manual_seed(0)
    for batch_first, bidirectional in ((True, True), (False, False)):
        theirs = reference(6, 5, 2, bias=bias, batch_first=batch_first, bidirectional=bidirectional)
        net = binarize_(nn.ModuleDict({"rnn": theirs}), "bwn", weight={"center": "none"})
        ours = net["rnn"]
        assert type(ours) is make
        assert {id(p) for p in ours.parameters()} == {id(p) for p in theirs.parameters()}
        set_stage(ours, "float")
        x = torch.randn(3, 4, 6) if batch_first else torch.randn(4, 3, 6)
        shape = (2 * ours.directions, 3, 5)
        h: Any = None
        if state:
            h = (torch.randn(shape), torch.randn(shape)) if gates == 4 else torch.randn(shape)
        for got, wanted in zip(flat(ours(x, h)), flat(theirs(x, h)), strict=True):
            torch.testing.assert_close(got, wanted)
        alone, h1 = x[0] if batch_first else x[:, 0], None
        for got, wanted in zip(flat(ours(alone, h1)), flat(theirs(alone, h1)), strict=True):
            torch.testing.assert_close(got, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_convert_too(kind: str) -> None:
    cell = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}[kind](6, 5)
    net = binarize_(nn.ModuleDict({"cell": cell}), "xnornet")
    assert type(net["cell"]) is KINDS[kind][1]
    assert net["cell"].hidden.weight is cell.weight_hh
    assert [row.action for row in net.binarize_report.rows] == ["binary"]


def sigmoid(v: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-v))


def reference(cell: Any, kind: str, x: np.ndarray, h: Any) -> list[np.ndarray]:
    """Every step of one cell in float64: signs, products, gates, written from the equations."""

    def product(layer: Any, v: np.ndarray) -> np.ndarray:
        return np.where(v >= 0, 1.0, -1.0) @ np.asarray(layer.binary, dtype=np.float64).T

    b_x, b_h = (np.asarray(m.bias.detach(), dtype=np.float64) for m in (cell.input, cell.hidden))
    size, outputs = cell.hidden_size, []
    c = np.zeros((x.shape[0], size)) if h is None else (h[1] if kind == "lstm" else None)
    state = h[0] if kind == "lstm" and h is not None else h
    for t in range(x.shape[1]):
        zx = product(cell.input, x[:, t]) + b_x
        zh = (0 if state is None else product(cell.hidden, state)) + b_h + np.zeros_like(zx)
        if kind == "lstm":
            i, f, g, o = np.split(zx + zh, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            state = sigmoid(o) * np.tanh(c)
        elif kind == "gru":
            (rx, ux, nx), (rh, uh, nh) = np.split(zx, 3, axis=1), np.split(zh, 3, axis=1)
            u, n = sigmoid(ux + uh), np.tanh(nx + sigmoid(rx + rh) * nh)
            state = (1 - u) * n + (0 if state is None else u * state)
        else:
            state = np.tanh(zx + zh)
        outputs.append(state)
    return outputs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_values_by_the_equations(kind: str, given: bool, training: bool) -> None:
    layer, x = build("xnornet", kind, num_layers=1, bidirectional=False)
    shape = (1, 5, 8)
    h: Any = None
    if given:
        h = (torch.randn(shape), torch.randn(shape)) if kind == "lstm" else torch.randn(shape)
    arrays = None if h is None else tuple(np.float64(s[0]) for s in h) if kind == "lstm" else np.float64(h[0])
    wanted = reference(layer.cells[0], kind, np.float64(x), arrays)
    layer.train(training)
    with torch.no_grad():
        y, last = layer(x, h)
    np.testing.assert_allclose(y.numpy(), np.stack(wanted, axis=1), rtol=1e-4, atol=1e-5)
    assert torch.equal(flat(last)[0][0], y[:, -1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["none", "batch"])
def test_a_sequence_is_its_cells_steps(kind: str, norm: str) -> None:
    layer, x = build("reactnet", kind, num_layers=1, bidirectional=False, norm=norm, norm_steps=3)
    y, last = evaluate(layer, x)
    cell, state = layer.cells[0], None
    for t in range(x.shape[1]):
        state = evaluate(cell, x[:, t], state, t)
        # the batch norm kernel adds in another order where its input is a slice of a sequence
        torch.testing.assert_close(flat(state)[0], y[:, t], rtol=0 if norm == "none" else 1e-5, atol=1e-6)
    for a, b in zip(flat(state), flat(last), strict=True):
        torch.testing.assert_close(a.unsqueeze(0), b, rtol=1e-5, atol=1e-6)
    row = evaluate(cell, x[0, 0])
    assert torch.equal(flat(row)[0], flat(evaluate(cell, x[:1, 0]))[0][0])


def test_reverse_direction_runs_backwards() -> None:
    layer, x = build("xnornet", "lstm", num_layers=1)
    y, (h, _) = evaluate(layer, x)
    forward = BinaryLSTM(6, 5, batch_first=True, method="xnornet")
    forward.cells[0] = layer.cells[1]
    turned, _ = evaluate(forward, x.flip(1))
    assert torch.equal(y[..., 8:], turned.flip(1))
    assert torch.equal(h[1], y[:, 0, 8:])


# ------------------------------------------------------------ invariants


@pytest.mark.parametrize(("method", "kind"), [(n, k) for n, i in INFOS.items() if not supported(i) for k in KINDS])
def test_what_makes_no_sense_is_refused_with_the_reason(method: str, kind: str) -> None:
    with pytest.raises(ValueError, match=f"method '{method}' has no recurrent layers") as error:
        KINDS[kind][0](6, 5, method=method)
    reasons = INFOS[method].refuses
    assert reasons.get("recurrent", reasons.get("linear", "")) in str(error.value)


def test_eval_equals_train(case: tuple[Any, Tensor]) -> None:
    layer, x = case
    leave_out(layer, "train equals eval")
    with torch.no_grad():
        train = layer.train()(x)
    for a, b in zip(flat(evaluate(layer, x)), flat(train), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_eval_is_exact_under_autocast_and_frozen(case: tuple[Any, Tensor]) -> None:
    layer, x = case
    layer.eval()
    exact = evaluate(layer, x)
    cells_exact = all(m.is_exact for m in layer.modules() if isinstance(m, BinaryLayer))
    if not cells_exact:
        pytest.skip("eval mode of this method is not made of bit planes")
    if layer.cells[0].hidden.activation is not None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert same(evaluate(layer, x), exact)
    assert same(layer(x), exact)
    frozen = freeze(layer)
    assert not list(latent_layers(frozen))
    assert same(evaluate(frozen, x), exact)


def test_every_parameter_gets_a_gradient(case: tuple[Any, Tensor]) -> None:
    layer, x = case
    leave_out(layer, "latent gradient")
    layer.train()
    # {0,1} activations read states above a threshold only: open gates, and batches until there are some
    with torch.no_grad():
        for m in layer.modules():
            if isinstance(m, BinaryLayer):
                m.bias.add_(1)
    for example in (x, 8 * x, *torch.randn(6, 64, 4, 6)):
        y, _ = layer(example)
        y.backward(torch.randn_like(y))
    for name, parameter in layer.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            if name.endswith((".weight", ".bias")):
                assert parameter.grad.abs().sum() > 0, name


def test_nothing_is_created_late_and_steps_stay_finite(case: tuple[Any, Tensor]) -> None:
    layer, x = case
    before = {k: id(v) for k, v in [*layer.named_parameters(), *layer.named_buffers()]}
    keys = list(layer.state_dict())
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.01, momentum=0.9)
    for step in range(3):
        set_progress(layer, epoch=0, epochs=1, step=step, steps=3)
        y, _ = layer.train()(x)
        optimizer.zero_grad()
        if y.requires_grad:
            y.square().mean().backward()
        before_step(layer)
        optimizer.step()
        after_step(layer)
    evaluate(layer, x)
    assert {k: id(v) for k, v in [*layer.named_parameters(), *layer.named_buffers()]} == before
    assert list(layer.state_dict()) == keys
    for name, value in layer.state_dict().items():
        assert torch.isfinite(value.float()).all(), name


def test_reload_copy_and_pickle_keep_the_result(case: tuple[Any, Tensor]) -> None:
    layer, x = case
    expected = evaluate(layer, x)
    assert same(evaluate(copy.deepcopy(layer), x), expected)
    assert same(evaluate(pickle.loads(pickle.dumps(layer)), x), expected)
    buffer = io.BytesIO()
    torch.save(layer.state_dict(), buffer)
    buffer.seek(0)
    fresh = copy.deepcopy(layer)
    fresh.reset_parameters()
    set_progress(fresh, epoch=0, epochs=3)
    fresh.load_state_dict(torch.load(buffer, weights_only=True), strict=True)
    assert same(evaluate(fresh, x), expected)


def test_training_under_autocast(case: tuple[Any, Tensor]) -> None:
    layer, x = case
    leave_out(layer, "latent gradient")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, _ = layer.train()(x)
    y.float().square().sum().backward()
    for m in layer.modules():
        if isinstance(m, BinaryLayer) and m.weight.requires_grad:
            assert m.weight.grad is not None
            assert torch.isfinite(m.weight.grad).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes(method: str, dtype: torch.dtype) -> None:
    layer, x = build(method, "lstm")
    layer, x = layer.to(dtype), x.to(dtype)
    y, _ = layer(x)
    assert y.dtype == dtype
    y.sum().backward()
    assert evaluate(layer, x)[0].dtype == dtype


TRACED = [
    m if m in ("bnn", "irnet", "reactnet", "dorefa") else pytest.param(m, marks=pytest.mark.slow) for m in METHODS
]


@pytest.mark.parametrize("method", TRACED)
def test_compiled_without_graph_breaks(method: str) -> None:
    layer, x = build(method, "lstm", num_layers=1)
    torch.compiler.reset()
    compiled = torch.compile(copy.deepcopy(layer), backend="aot_eager", fullgraph=True)
    results = []
    for model in (layer, compiled):
        torch.manual_seed(1)
        y, _ = model(x)
        y.square().sum().backward()
        results.append((y.detach(), [p.grad for p in model.parameters()]))
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(a, b)
    assert same(evaluate(layer, x), evaluate(compiled, x))


# ------------------------------------------------------------ norms, costs, errors


@pytest.mark.parametrize("kind", KINDS)
def test_norm_per_step(kind: str) -> None:
    """Every step has statistics of its own up to `norm_steps`; they follow the batches in training."""
    layer, x = build("bnn", kind, num_layers=1, bidirectional=False, norm="batch", norm_steps=3)
    cell = layer.cells[0]
    norms = [cell.norm_input, cell.norm_hidden] + ([cell.norm_cell] if kind == "lstm" else [])
    assert cell.input.bias is None
    assert (cell.norm_cell is None) == (kind != "lstm")
    before = [n.running_mean.clone() for n in norms]
    y, _ = layer.train()(x)
    y.square().sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    changed = [(n.running_mean != b).any(1).tolist() for n, b in zip(norms, before, strict=True)]
    # the first step has no hidden product, so nothing to normalize
    assert changed == [[True] * 3, [False, True, True]] + ([[True] * 3] if kind == "lstm" else [])
    z = cell.input(x[:, 0])
    wanted = (z - z.mean(0)) / (z.var(0, unbiased=False) + 1e-5).sqrt() * cell.norm_input.weight + cell.norm_input.bias
    torch.testing.assert_close(cell.norm_input(z, 0), wanted, rtol=1e-4, atol=1e-4)
    frozen = freeze(layer)
    assert same(evaluate(frozen, x), evaluate(layer, x))


def test_the_forget_gate_starts_open() -> None:
    for norm in ("none", "batch"):
        cell = BinaryLSTMCell(3, 4, norm=norm)
        term = cell.hidden.bias if norm == "none" else cell.norm_hidden.bias
        assert term.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
        with torch.no_grad():
            term.normal_()
        cell.reset_parameters()
        assert term.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
    assert BinaryLSTMCell(3, 4, bias=False).hidden.bias is None


def test_weights_are_binarized_once_a_sequence() -> None:
    for training in (True, False):
        layer, x = build("xnornet", "gru", num_layers=1, bidirectional=False)
        layer.train(training)
        binarizer = layer.cells[0].hidden.weight_binarizer
        with mock.patch.object(binarizer, "normalize", wraps=binarizer.normalize) as binarized, torch.no_grad():
            layer(x)
        assert binarized.call_count == 1


def test_summary_counts_bits_and_products() -> None:
    layer = BinaryLSTM(64, 32, batch_first=True, method="xnornet")
    s = summary(layer, (2, 5, 64))
    assert s.binary_params == 4 * 32 * (64 + 32)
    # the first step has no hidden product
    assert s.binary_macs == 2 * 4 * 32 * (5 * 64 + 4 * 32)
    assert s.uncounted == []
    frozen = freeze(layer)
    assert s.bytes == sum(b.numel() * b.element_size() for b in frozen.buffers())


def test_input_method_is_the_first_layers() -> None:
    layer = BinaryGRU(6, 5, 2, method="bnn", input_method="bwn")
    assert layer.cells[0].input.activation is None
    assert layer.cells[0].hidden.activation is not None
    assert layer.cells[1].input.activation is not None


def test_errors_say_what_to_do() -> None:
    layer = BinaryLSTM(6, 5, batch_first=True)
    packed = nn.utils.rnn.pack_padded_sequence(torch.randn(2, 4, 6), [4, 2], batch_first=True)
    with pytest.raises(TypeError, match="pad_packed_sequence"):
        layer(packed)
    with pytest.raises(ValueError, match="sequences of 6 features, got shape"):
        layer(torch.randn(2, 4, 7))
    with pytest.raises(ValueError, match="without steps"):
        layer(torch.randn(2, 0, 6))
    with pytest.raises(TypeError, match="a pair"):
        layer(torch.randn(2, 4, 6), torch.zeros(1, 2, 5))
    with pytest.raises(ValueError, match=r"hx of BinaryLSTM must have shape \(1, 2, 5\)"):
        layer(torch.randn(2, 4, 6), (torch.zeros(1, 3, 5), torch.zeros(1, 3, 5)))
    with pytest.raises(ValueError, match="sizes must be positive"):
        BinaryGRUCell(0, 5)
    with pytest.raises(ValueError, match="num_layers must be at least 1, got 0"):
        BinaryGRU(3, 5, 0)
    with pytest.raises(ValueError, match=r"dropout is a probability.*1\.5"):
        BinaryGRU(3, 5, dropout=1.5)
    with pytest.raises(UnknownNameError, match="norm of a recurrent layer"):
        BinaryGRU(3, 5, norm="layer")
    with pytest.raises(ValueError, match="norm_steps must be at least 1, got 0"):
        BinaryGRU(3, 5, norm="batch", norm_steps=0)
    with pytest.raises(ValueError, match="their signs are all"):
        BinaryRNN(3, 5, nonlinearity="relu")
    BinaryRNN(3, 5, nonlinearity="relu", method="dorefa")
    with pytest.raises(ValueError, match="proj_size=2"):
        binarize_(nn.ModuleDict({"rnn": nn.LSTM(3, 5, proj_size=2)}))
    with pytest.raises(ValueError, match="takes \\[N, 6\\]"):
        layer.cells[0](torch.randn(2, 4, 6))


def test_conversion_keeps_the_head_and_takes_the_recurrent_layer() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(11, 6)
            self.lstm = nn.LSTM(6, 8, 2, batch_first=True, dropout=0.5, bidirectional=True)
            self.head = nn.Linear(16, 3)

        def forward(self, ids: Tensor) -> Tensor:
            self.lstm.flatten_parameters()
            return self.head(self.lstm(self.table(ids))[0])

    net = binarize_(Tagger(), "reactnet")
    assert net.binarize_report.binary == ["lstm"]
    assert net.binarize_report.kept == ["table", "head"]
    assert net.lstm.dropout == 0.5
    assert net(torch.randint(0, 11, (2, 4))).shape == (2, 4, 3)


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_learns_to_remember(kind: str) -> None:
    """The label is the sign of the first step's feature, three steps ago: only the hidden product can carry it."""
    torch.manual_seed(0)
    layer = KINDS[kind][0](4, 64, batch_first=True, method="bnn", norm="batch")
    head = nn.Linear(64, 2)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=1e-2)
    x = torch.randn(256, 4, 4)
    target = (x[:, 0, 0] > 0).long()
    for _ in range(100):
        loss = nn.functional.cross_entropy(head(layer(x)[0][:, -1]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        after_step(layer)
    with torch.no_grad():
        accuracy = (head(layer(x)[0][:, -1]).argmax(1) == target).float().mean()
    assert accuracy > 0.9
