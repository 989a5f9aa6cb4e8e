"""What the LightningModule does in a step: losses, schedules, stages, clipping, statistics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from bitwright import binarize, optim, train
from bitwright.nn import BinaryLayer
from bitwright.train.bits import layer_bits
from bitwright.train.schedule import lr_factor

Fit = Callable[..., Any]


def test_distribution_loss_vector() -> None:
    student = torch.tensor([[2.0, 0, -1], [0.5, 0.5, 0]], requires_grad=True)
    teacher = torch.tensor([[1.0, 1, 0], [0, 2, -2]], requires_grad=True)
    loss = train.distribution_loss(student, teacher)
    assert loss.item() == pytest.approx(1.223265, abs=1e-6)
    loss.backward()
    assert teacher.grad is None
    assert torch.allclose(student.grad, (student.softmax(1) - teacher.softmax(1)).detach() / 2, atol=1e-6)


def test_distribution_loss_of_single_samples_is_the_divergence_and_the_entropy() -> None:
    student, teacher = torch.tensor([[2.0, 0, -1], [0.5, 0.5, 0]]), torch.tensor([[1.0, 1, 0], [0, 2, -2]])
    values = [train.distribution_loss(s[None], t[None]).item() for s, t in zip(student, teacher, strict=True)]
    assert values == pytest.approx([1.480571, 0.965958], abs=1e-6)
    p = teacher.softmax(1)
    entropy = -(p * p.log()).sum(1).mean().item()
    assert entropy == pytest.approx(0.729207, abs=1e-6)
    assert train.distribution_loss(student, teacher).item() - entropy == pytest.approx(0.494057, abs=1e-6)


def test_squared_hinge_loss() -> None:
    y = torch.tensor([[0.3, -2, 0.5]], dtype=torch.float64, requires_grad=True)
    loss = train.squared_hinge_loss(y, torch.tensor([0]))
    assert loss.item() == pytest.approx(0.913333, abs=1e-6)
    loss.backward()
    # -2 t max(0, 1 - t y) / 3
    assert y.grad is not None
    assert y.grad[0].tolist() == pytest.approx([-1.4 / 3, 0, 1.0])
    assert train.squared_hinge_loss(torch.tensor([[3.0, -1], [-1, 1]]), torch.tensor([0, 1])).item() == 0


def test_squared_hinge_in_a_recipe(fit: Fit) -> None:
    model, trainer = fit("hinge", 4, label_loss="squared_hinge")
    _, first = fit("one_epoch", 1, label_loss="squared_hinge")
    losses = [float(t.callback_metrics["train_loss"]) for t in (first, trainer)]
    assert losses[1] < 0.8 * losses[0]
    x, y = torch.randn(4, 1, 8, 8), torch.randint(0, 10, (4,))
    model.eval()
    logits = model(x)
    torch.testing.assert_close(model.loss(x, logits, y), train.squared_hinge_loss(logits, y))
    assert model.recipe()["model"]["label_loss"] == "squared_hinge"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"name": "constant"}, [1, 1, 1, 1, 1]),
        ({"name": "linear"}, [1, 0.75, 0.5, 0.25, 0]),
        ({"name": "linear", "final": 0.2}, [1, 0.8, 0.6, 0.4, 0.2]),
        ({"name": "cosine"}, [1, 0.853553, 0.5, 0.146447, 0]),
        ({"name": "step", "milestones": [1, 3], "gamma": 0.5}, [1, 0.5, 0.5, 0.25, 0.25]),
        ({"name": "linear", "warmup_epochs": 2, "warmup_start": 0.1}, [0.1, 0.55, 1, 0.5, 0]),
    ],
)
def test_lr_factor(config: dict[str, Any], expected: list[float]) -> None:
    schedule = train.ScheduleConfig(**config)
    assert [lr_factor(schedule, e, 4) for e in range(5)] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (train.ScheduleConfig, {"name": "cosin"}, "unknown schedule 'cosin'; known: constant, cosine"),
        (train.ScheduleConfig, {"name": "step"}, "needs milestones"),
        (train.ScheduleConfig, {"warmup_epochs": -1}, "-1"),
        (train.OptimizerConfig, {"name": "lion"}, "unknown optimizer 'lion'; known: adam, adamw, sgd"),
        (train.OptimizerConfig, {"lr": 0.0}, "positive, got 0.0"),
        (train.OptimizerConfig, {"lr": float("nan")}, "positive, got nan"),
        (train.OptimizerConfig, {"clip_norm": -1.0}, ">= 0, got -1.0"),
        (train.TeacherConfig, {"checkpoint": "x", "kd_weight": 0.0}, "not both 0"),
    ],
)
def test_configuration_errors(kind: type, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"network": "mpl"}, "unknown network 'mpl'. Did you mean 'mlp'"),
        ({"method": "irnte"}, "irnte"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"label_loss": "hinge"}, "label_loss 'hinge'"),
        ({"label_loss": "squared_hinge", "label_smoothing": 0.1}, "label_smoothing 0.1"),
        ({"stage": "half"}, "unknown stage 'half'"),
        ({"method": None, "stage": "activations"}, "no stages"),
        ({"method": None, "method_options": {"x": 1}}, "method is null"),
        ({"epochs": 0}, "at least 1"),
    ],
)
def test_classifier_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train.Classifier(**{"network": "mlp", "network_arguments": {"hidden": [8, 8]}, **arguments})


def test_parameter_groups_cover_everything_once() -> None:
    model = train.Classifier("binarycnn_s", method="reactnet", network_arguments={"widths": [8, 16]})
    groups = optim.parameter_groups(model.network, weight_decay=0.1, binary_weight_decay=0.01)
    assert [(g["name"], g["weight_decay"]) for g in groups] == [("binary", 0.01), ("other", 0.1), ("vectors", 0.0)]
    ids = [id(p) for g in groups for p in g["params"]]
    assert sorted(ids) == sorted(id(p) for p in model.network.parameters())
    assert {id(p) for p in groups[0]["params"]} == {
        id(m.weight) for m in model.network.modules() if isinstance(m, BinaryLayer)
    }
    assert all(p.ndim == 1 for p in groups[2]["params"])
    assert optim.parameter_groups(model.network, weight_decay=0.1, decay_vectors=True)[2]["weight_decay"] == 0.1
    with pytest.raises(ValueError, match="-1"):
        optim.parameter_groups(model.network, weight_decay=-1)


def test_methods_see_the_gradients_of_every_step(fit: Fit) -> None:
    """LAB keeps the mean square of its gradients: zero before training, positive after."""
    model = fit("run", 1, method="lab", epochs=1)[0]
    layers = [m for m in model.network.modules() if isinstance(m, BinaryLayer)]
    assert layers
    for layer in layers:
        assert float(layer.weight_binarizer.second_moment.mean()) > 0
        assert float(layer.weight.detach().abs().max()) <= 1


class Watch(Callback):
    """Records what the parts were told, the learning rates, and the latent range after every step."""

    def __init__(self) -> None:
        self.progress: list[Any] = []
        self.lr: list[float] = []
        self.largest = 0.0

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:
        part = next(m for m in pl_module.network.modules() if isinstance(m, binarize.Part))
        part.on_progress = lambda progress, latent=None: self.progress.append(progress)

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.lr.append(trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        latent = [m.weight.abs().max().item() for m in pl_module.network.modules() if isinstance(m, BinaryLayer)]
        self.largest = max(self.largest, *latent)


def test_schedules_and_clipping_reach_every_step(fit: Fit) -> None:
    watch = Watch()
    fit("run", 2, method="bnn", epochs=2, optimizer=train.OptimizerConfig(lr=0.3), trainer={"callbacks": [watch]})
    assert [p.step for p in watch.progress] == list(range(20))
    assert [p.epoch for p in watch.progress] == [0] * 10 + [1] * 10
    assert {(p.epochs, p.steps) for p in watch.progress} == {(2, 20)}
    assert watch.largest == 1.0, "latent weights of bnn are clipped to [-1, 1] after every step"
    expected = [0.3 * lr_factor(train.ScheduleConfig(), step / 10, 2) for step in range(20)]
    assert watch.lr == pytest.approx(expected)


def test_two_stages(fit: Fit, tmp_path: Path) -> None:
    first, _ = fit("one", 1, method="reactnet", stage="activations")
    layers = [m for m in first.network.modules() if isinstance(m, BinaryLayer)]
    assert {m.stage for m in layers} == {"activations"}
    path = tmp_path / "one" / "last.ckpt"
    second = train.Classifier(
        "mlp",
        method="reactnet",
        image_size=8,
        network_arguments={"hidden": [32, 32], "dropout": 0.2},
        init_from=str(path),
    )
    again = [m for m in second.network.modules() if isinstance(m, BinaryLayer)]
    assert {m.stage for m in again} == {"full"}
    for a, b in zip(layers, again, strict=True):
        assert torch.equal(a.weight, b.weight)
    # and a run that is resumed stays in its stage
    network, _ = train.load_checkpoint(path)
    assert {m.stage for m in network.modules() if isinstance(m, BinaryLayer)} == {"activations"}


def test_teacher_is_frozen_and_stays_out_of_the_checkpoint(fit: Fit, tmp_path: Path) -> None:
    fit("teacher", 1, method=None)
    path = tmp_path / "teacher" / "last.ckpt"
    teacher = train.TeacherConfig(str(path), kd_weight=0.9, label_weight=0.1)
    student, _ = fit("student", 1, teacher=teacher)
    network, _ = train.load_checkpoint(path)
    frozen = student._teacher[0]
    assert not frozen.training
    for a, b in zip(frozen.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(k.startswith("network.") for k in student.state_dict())
    x, y = torch.randn(6, 1, 8, 8), torch.arange(6)
    logits = student.eval()(x)
    expected = 0.9 * train.distribution_loss(logits, network(x)) + 0.1 * torch.nn.functional.cross_entropy(logits, y)
    assert torch.allclose(student.loss(x, logits, y), expected)


class FlipSome(Callback):
    """Negates the first half of each binary layer's weights in epoch 1 only."""

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.current_epoch == 1:
            with torch.no_grad():
                for layer in pl_module.network.modules():
                    if isinstance(layer, BinaryLayer):
                        flat = layer.weight.view(-1)
                        flat[: len(flat) // 2] *= -1


def test_flip_ratio_and_dead_share(fit: Fit) -> None:
    seen: list[tuple[float, float]] = []

    class Read(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            metrics = trainer.callback_metrics
            seen.append((float(metrics["flip_ratio"]), float(metrics["dead_share"])))

    tiny = train.OptimizerConfig(name="sgd", lr=1e-12, momentum=0.0)  # nothing moves by itself
    callbacks = [FlipSome(), train.BitStatistics(), Read()]
    model, trainer = fit("run", 3, method="bnn", optimizer=tiny, trainer={"callbacks": callbacks})
    assert seen == [(0.0, 1.0), (0.5, 0.5), (0.0, 0.5)]
    assert float(trainer.callback_metrics["flip/features.5"]) == 0.0
    assert float(trainer.callback_metrics["dead/features.5"]) == 0.5
    bits = layer_bits(model)
    assert {k: len(v) for k, v in bits.items()} == {"network.features.5": 1024}


def test_evaluate_against_hand_count() -> None:
    class Constant(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    logits = torch.eye(7)[[0, 1, 2, 2]]
    labels = torch.tensor([0, 1, 3, 2])
    result = train.evaluate(
        Constant(), [(logits[:3].view(3, 7, 1, 1), labels[:3]), (logits[3:].view(1, 7, 1, 1), labels[3:])]
    )
    assert (result.images, result.top1, result.top5) == (4, 0.75, 1.0)
    assert result.per_class[:4] == (1.0, 1.0, 1.0, 0.0)
    assert result.loss == pytest.approx(torch.nn.functional.cross_entropy(logits, labels).item())
    with pytest.raises(ValueError, match="no images"):
        train.evaluate(Constant(), [])
