"""torch.compile without graph breaks, and two processes with gradients in step."""

from __future__ import annotations

import copy
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from bitwright.binarize import (
    after_step,
    before_step,
    initialize_from_data,
    list_methods,
    method_info,
    set_progress,
    set_stage,
)
from bitwright.nn import BinaryConv2d, BinaryGRU, BinaryLinear, BinaryLSTM, BinaryRNN, RPReLU, RSign

METHODS = [info.name for info in list_methods() if not {"conv", "linear"} & set(info.refuses)]


def network(method: str) -> nn.Module:
    torch.manual_seed(0)
    sized = {"output_size": (6, 6)} if "output size" in method_info(method).requires else {}
    pad = 1 if method_info(method).activation_bits == "1" else 0
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        BinaryConv2d(8, 8, 3, padding=1, groups=2, method=method, **sized),  # type: ignore[arg-type]
        nn.BatchNorm2d(8),
        RPReLU(8),
        RSign(8),
        BinaryConv2d(8, 4, 3, padding=1, pad_value=pad, method=method, **sized),  # type: ignore[arg-type]
        nn.Flatten(),
        BinaryLinear(4 * 36, 5, method=method),
    )
    set_progress(net, epoch=0, epochs=4)
    initialize_from_data(net, torch.randn(4, 3, 6, 6))
    return net


@pytest.fixture(autouse=True)
def _fresh_compiler() -> None:
    torch.compiler.reset()


# tracing takes seconds a method; four that differ in their parts stand for the others in the fast run
TRACED = [
    m if m in ("bnn", "irnet", "reactnet", "dorefa") else pytest.param(m, marks=pytest.mark.slow) for m in METHODS
]


@pytest.mark.parametrize("method", TRACED)
def test_compiled_without_graph_breaks(method: str) -> None:
    net = network(method)
    compiled = torch.compile(copy.deepcopy(net), backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 3, 6, 6)
    results = []
    for model in (net, compiled):
        torch.manual_seed(1)  # for methods that draw numbers
        y = model(x)
        y.square().sum().backward()
        results.append((y.detach(), [p.grad for p in model.parameters()]))
    assert torch.equal(results[0][0], results[1][0])
    for eager, other in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(eager, other)
    net.eval()
    compiled.eval()
    with torch.no_grad():
        assert torch.equal(net(x), compiled(x))


def test_schedule_and_stage_reach_compiled_code() -> None:
    net = network("irnet")
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    x = torch.randn(2, 3, 6, 6)

    def weight_gradient(model: nn.Module) -> Tensor:
        net.zero_grad()
        model(x).sum().backward()
        return net[2].weight.grad.clone()  # type: ignore[union-attr]

    first = weight_gradient(compiled)
    set_progress(net, epoch=3, epochs=4)
    second = weight_gradient(compiled)
    assert not torch.allclose(first, second)
    torch.testing.assert_close(second, weight_gradient(net))
    set_stage(net, "activations")
    torch.testing.assert_close(compiled(x), net(x))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.skipif(" " in torch.__file__, reason="inductor does not quote torch's own path, and it has a space here")
@pytest.mark.parametrize("method", ["irnet", "reactnet"])
def test_inductor(method: str) -> None:
    """One layer on random inputs: fused kernels round differently, and behind another layer a bit could flip."""
    torch.manual_seed(0)
    layer = BinaryConv2d(8, 6, 3, padding=1, groups=2, bias=True, method=method)
    set_progress(layer, epoch=1, epochs=4)
    compiled = torch.compile(copy.deepcopy(layer), fullgraph=True)
    x = torch.randn(2, 8, 6, 6)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    outputs = [model(z) for model, z in zip((layer, compiled), inputs, strict=True)]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-5)
    for y in outputs:
        y.square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-4)
    for p, q in zip(layer.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-4)
    layer.eval()
    compiled.eval()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), compiled(x), rtol=1e-6, atol=1e-6)


def train(model: nn.Module, batches: list[Tensor]) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for x in batches:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        before_step(model)
        optimizer.step()
        after_step(model)


def flat_network(method: str) -> nn.Module:
    """Without batch norm, so that two half batches have the gradient of the whole one."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 16), BinaryLinear(16, 16, method=method), BinaryLinear(16, 4, method=method))
    set_progress(net, epoch=2, epochs=4)
    return net


RECURRENT = {"lstm": BinaryLSTM, "gru": BinaryGRU, "rnn": BinaryRNN}


class Sequences(nn.Module):
    """Two recurrent layers of two directions over `[N, T, 6]`, without anything that a batch's size changes."""

    def __init__(self, kind: str, method: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = RECURRENT[kind](6, 8, num_layers=2, batch_first=True, bidirectional=True, method=method)
        self.head = BinaryLinear(16, 4, method=method)
        set_progress(self, epoch=2, epochs=4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layers(x)[0][:, -1])


def sequences() -> list[Tensor]:
    torch.manual_seed(5)
    return [torch.randn(8, 5, 6) for _ in range(4)]


def _recurrent_worker(rank: int, port: int, method: str, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    for kind in RECURRENT:
        model = nn.parallel.DistributedDataParallel(Sequences(kind, method))
        train(model, [x[4 * rank : 4 * rank + 4] for x in sequences()])
        gradients = {name: p.grad for name, p in model.module.named_parameters()}
        torch.save((model.module.state_dict(), gradients), Path(folder) / f"{kind}{rank}.pt")
    torch.distributed.destroy_process_group()


def _worker(rank: int, port: int, method: str, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    model = nn.parallel.DistributedDataParallel(flat_network(method))
    torch.manual_seed(5)
    batches = [torch.randn(8, 6) for _ in range(4)]
    train(model, [x[4 * rank : 4 * rank + 4] for x in batches])
    torch.save(model.module.state_dict(), Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def one_process() -> Iterator[None]:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
@pytest.mark.parametrize("method", METHODS)
def test_distributed_training_is_the_same(method: str, one_process: None) -> None:
    """Every parameter takes part in the gradient exchange, and all hooks work behind the wrapper."""
    plain = network(method)
    wrapped = nn.parallel.DistributedDataParallel(copy.deepcopy(plain))
    batches = [torch.randn(2, 3, 6, 6) for _ in range(3)]
    torch.manual_seed(1)
    train(plain, batches)
    torch.manual_seed(1)
    train(wrapped, batches)
    for name, value in plain.state_dict().items():
        assert torch.equal(wrapped.module.state_dict()[name], value), name


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
@pytest.mark.parametrize("kind", RECURRENT)
@pytest.mark.parametrize("method", ["bnn", "irnet", "reactnet"])
def test_distributed_training_of_recurrent_layers(kind: str, method: str, one_process: None) -> None:
    """A cell's weight is used at every step of a sequence; its gradient is exchanged once."""
    plain = Sequences(kind, method)
    wrapped = nn.parallel.DistributedDataParallel(copy.deepcopy(plain))
    for model in (plain, wrapped):
        train(model, sequences())
    for name, value in plain.state_dict().items():
        assert torch.equal(wrapped.module.state_dict()[name], value), name


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_two_processes_train_recurrent_layers_as_one(tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_recurrent_worker, args=(port, "irnet", str(tmp_path)), nprocs=2)
    for kind in RECURRENT:
        results = [torch.load(tmp_path / f"{kind}{rank}.pt", weights_only=True) for rank in range(2)]
        (first, gradients), (second, others) = results
        single = Sequences(kind, "irnet")
        before = copy.deepcopy(single.state_dict())
        train(single, sequences())
        for name, p in single.named_parameters():
            assert torch.equal(gradients[name], others[name]), (kind, name)
            torch.testing.assert_close(gradients[name], p.grad, rtol=1e-3, atol=1e-5, msg=f"{kind} {name}")
        for name, value in single.state_dict().items():
            assert torch.equal(first[name], second[name]), (kind, name)
            torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5, msg=f"{kind} {name}")
        assert any(not torch.equal(before[n], first[n]) for n in before)


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_worker, args=(port, "irnet", str(tmp_path)), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    single = flat_network("irnet")
    before = copy.deepcopy(single.state_dict())
    torch.manual_seed(5)
    train(single, [torch.randn(8, 6) for _ in range(4)])
    for name, value in single.state_dict().items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert any(not torch.equal(before[n], first[n]) for n in before)
