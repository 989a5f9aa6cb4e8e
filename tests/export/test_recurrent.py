"""Recurrent layers from PyTorch to the engine: unrolled for the length of the example, the same numbers everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import bitwright as bw
from bitwright.binarize import initialize_from_data, set_progress
from bitwright.compiler import UnsupportedModelError
from bitwright.export import OnnxExportError, freeze, to_onnx
from bitwright.nn import BinaryGRU, BinaryLayer, BinaryLSTM, BinaryRNN, StepNorm
from bitwright.runtime import Session

KINDS: dict[str, type[Any]] = {"lstm": BinaryLSTM, "gru": BinaryGRU, "rnn": BinaryRNN}
STEPS = 4


class Reader(nn.Module):
    """A recurrent layer and a head on all outputs, on the last one, or on the last state of the last layer."""

    def __init__(self, kind: str, reads: str, **options: Any) -> None:
        super().__init__()
        self.rnn = KINDS[kind](6, 9, batch_first=True, **options)
        self.reads = reads
        self.head = nn.Linear(9 * self.rnn.directions, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, state = self.rnn(x)
        h = state[0] if isinstance(state, tuple) else state
        return self.head({"all": y, "last": y[:, -1], "state": h[-1]}[self.reads])


def trained(net: nn.Module, x: Tensor) -> nn.Module:
    """With parameters and statistics that are not at their starting values, in eval mode."""
    set_progress(net, epoch=1, epochs=3)
    initialize_from_data(net, x)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, BinaryLayer) and m.bias is not None:
                m.bias.normal_()
            if isinstance(m, StepNorm):
                m.running_mean.normal_()
                m.running_var.uniform_(0.5, 2)
                m.weight.uniform_(0.2, 0.6)
    return net.eval()


def travel(net: nn.Module, x: Tensor, folder: Path) -> None:
    """Eval mode = frozen bit for bit; onnxruntime and the engine agree to 1e-5, with other batch sizes too."""
    frozen = freeze(net)
    file = str(folder / "m.onnx")
    with torch.no_grad():
        assert torch.equal(frozen(x), net(x))
        to_onnx(frozen, x[:2], file)
        wanted = net(x).numpy()
    (got,) = onnxruntime.InferenceSession(file).run(None, {"input": x.numpy()})
    np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=2e-6)
    bw.compiler.compile(file, str(folder / "m.bwm"), native_only=True)
    session = Session(str(folder / "m.bwm"))
    for batch in (x, x[:1]):
        np.testing.assert_allclose(session.run(batch.numpy()), wanted[: len(batch)], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("reads", "options"),
    [
        ("all", {"num_layers": 2}),
        ("all", {"bidirectional": True, "norm": "batch", "norm_steps": 3}),
        ("last", {"num_layers": 2, "norm": "batch", "bias": False}),
        ("last", {"bidirectional": True, "num_layers": 2}),
        ("state", {"num_layers": 2}),
    ],
    ids=["all-deep", "all-both-norm", "last-norm", "last-both", "state"],
)
def test_from_torch_to_the_engine(kind: str, reads: str, options: dict[str, Any], tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(5, STEPS, 6)
    travel(trained(Reader(kind, reads, method="xnornet", **options), x), x, tmp_path)


@pytest.mark.parametrize("method", ["bnn", "reactnet", "dorefa", "abcnet", "adabin", "lsq", "bwn", "irnet"])
def test_methods_of_every_form(method: str, tmp_path: Path) -> None:
    """±1, shifted, {0,1}, several planes, offsets, levels, real inputs: whatever a linear layer can be."""
    torch.manual_seed(0)
    x = torch.randn(5, STEPS, 6)
    travel(trained(Reader("lstm", "all", method=method, norm="batch"), x), x, tmp_path)


def test_the_graph_has_bits_for_all_steps_at_once_and_for_each_hidden_step(tmp_path: Path) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, STEPS, 6)
    file = str(tmp_path / "m.onnx")
    to_onnx(freeze(trained(Reader("lstm", "state", method="xnornet"), x)), x, file)
    graph = onnx.load(file).graph
    products = [n for n in graph.node if n.op_type == "BinaryLinear"]
    assert len(products) == 1 + STEPS - 1
    assert len({n.input[1] for n in products}) == 2  # each weight is stored once
    bw.compiler.compile(file, str(tmp_path / "m.bwm"), native_only=True)
    found = bw.compiler.inspect(str(tmp_path / "m.bwm"))
    assert sum(layer.kind == "BConv" for layer in found.layers) == STEPS
    # weights, not steps: 4 gates of 9 rows of a word each, twice
    assert found.bytes_by_kind["binary weights"] == 2 * 4 * 9 * 4


def test_states_as_inputs_and_outputs(tmp_path: Path) -> None:
    """One step with its state outside, for streams: the model is compiled once and called for every step."""

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = BinaryLSTM(6, 9, batch_first=True, method="xnornet").cells[0]

        def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            after: tuple[Tensor, Tensor] = self.cell(x, (h, c))
            return after

    torch.manual_seed(0)
    net, x = Step().eval(), torch.randn(STEPS, 2, 6)
    with torch.no_grad():
        net.cell.hidden.bias.normal_()
    h, c = torch.randn(2, 9), torch.randn(2, 9)
    to_onnx(freeze(net), (x[0], h, c), tmp_path / "m.onnx", input_names=["x", "h", "c"], output_names=["h1", "c1"])
    bw.compiler.compile(str(tmp_path / "m.onnx"), str(tmp_path / "m.bwm"), native_only=True)
    session = Session(str(tmp_path / "m.bwm"))
    state: Any = (h.numpy(), c.numpy())
    for row in x:
        with torch.no_grad():
            h, c = net(row, h, c)
        state = session.run(row.numpy(), *state)
        np.testing.assert_allclose(state[0], h.numpy(), rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(state[1], c.numpy(), rtol=1e-5, atol=2e-6)


def test_time_first_is_refused_with_advice(tmp_path: Path) -> None:
    net = freeze(BinaryLSTM(6, 9, method="xnornet").eval())
    with pytest.raises(OnnxExportError, match="batch_first=True"):
        to_onnx(net, torch.randn(STEPS, 2, 6), tmp_path / "m.onnx")


def test_states_of_all_layers_as_outputs_are_named_by_the_compiler(tmp_path: Path) -> None:
    """torch.nn's states have the batch in the middle: onnxruntime runs that, the engine says what to return."""

    class All(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = BinaryGRU(6, 9, 2, batch_first=True, method="xnornet")

        def forward(self, x: Tensor) -> Tensor:
            states: Tensor = self.rnn(x)[1]
            return states

    x = torch.randn(2, STEPS, 6)
    to_onnx(freeze(All().eval()), x, tmp_path / "m.onnx")
    with pytest.raises(UnsupportedModelError, match="before the batch"):
        bw.compiler.compile(str(tmp_path / "m.onnx"), str(tmp_path / "m.bwm"), native_only=True)
