"""Losses on class centres: against float64 numpy written from the formulas, in a recipe, over two processes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from numpy.typing import NDArray

from bitwright.train import CentresConfig, ClassCentres, load_checkpoint
from bitwright.train.classifier import classifier_of

Fit = Callable[..., Any]
Array = NDArray[np.float64]


def reference(f: Array, y: Array, c: Array, log_var: Array | None, theta: float) -> tuple[float, Array, Array]:
    """(loss, its gradient to the features, to the log variances), sample by sample."""
    total, to_f, to_v = 0.0, np.zeros_like(f), np.zeros_like(c)
    for i, label in enumerate(y):
        d = f[i] - c[label]
        total += (d**2).sum()
        to_f[i] = theta * d
        if log_var is not None:
            s2 = np.exp(log_var[label])
            total += (d**2 / s2 + np.log(s2)).sum()
            to_f[i] += theta * d / s2
            to_v[label] += theta / 2 * (1 - d**2 / s2)
    return theta / 2 * total, to_f, to_v


def moved(f: Array, y: Array, c: Array, rate: float) -> Array:
    """Equation 4 of the center loss, class by class."""
    c = c.copy()
    for label in range(len(c)):
        own = f[y == label]
        c[label] -= rate * (c[label] - own).sum(0) / (1 + len(own))
    return c


@pytest.mark.parametrize("spread", [False, True])
def test_loss_gradients_and_update(spread: bool) -> None:
    rng = np.random.default_rng(3)
    loss = ClassCentres(4, 5, strength=0.3, spread=spread, rate=0.7).double()
    c, v = rng.normal(size=(4, 5)), rng.normal(0, 0.5, (4, 5))
    loss.centres.copy_(torch.from_numpy(c))
    loss.seen.fill_(True)
    if loss.log_variance is not None:
        with torch.no_grad():
            loss.log_variance.copy_(torch.from_numpy(v))
    f, y = rng.normal(size=(9, 5)), rng.integers(0, 3, 9)  # nobody is of class 3
    features = torch.from_numpy(f).requires_grad_()
    value = loss(features, torch.from_numpy(y))
    value.backward()
    wanted, to_f, to_v = reference(f, y, c, v if spread else None, 0.3)
    assert value.item() == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(features.grad, to_f, rtol=1e-12)  # type: ignore[arg-type]
    if loss.log_variance is not None:
        np.testing.assert_allclose(loss.log_variance.grad, to_v, rtol=1e-12, atol=1e-15)  # type: ignore[arg-type]
    loss.update(features, torch.from_numpy(y))
    np.testing.assert_allclose(loss.centres, moved(f, y, c, 0.7), rtol=1e-12)


def test_first_features_of_a_class_are_its_centre() -> None:
    loss = ClassCentres(3, 2, strength=1.0, spread=False)
    f, y = torch.tensor([[1.0, 2], [3, 4], [5, 6]]), torch.tensor([0, 0, 2])
    assert loss(f, y).item() == 0
    loss.update(f, y)
    assert loss.centres.tolist() == [[2, 3], [0, 0], [5, 6]]
    assert loss.seen.tolist() == [True, False, True]
    assert loss(f, y).item() == pytest.approx((1 + 1 + 1 + 1) / 2)
    assert loss(torch.zeros(1, 2), torch.tensor([1])).item() == 0


def test_errors() -> None:
    with pytest.raises(ValueError, match="3 values, the centres 2"):
        ClassCentres(3, 2)(torch.zeros(1, 3), torch.tensor([0]))
    with pytest.raises(ValueError, match="rate=0"):
        ClassCentres(3, 2, rate=0)
    with pytest.raises(ValueError, match="from_epoch"):
        CentresConfig(from_epoch=-1)
    with pytest.raises(ValueError, match="no dense layer with 11 outputs"):
        classifier_of(torch.nn.Linear(4, 10), 11)


def spread_of(path: Path) -> float:
    """Distance of features to their class's mean over the distance of the means, on the training data."""
    from bitwright import data

    network = load_checkpoint(path)[0].eval()
    module = data.create("digits", batch_size=500, val_size=144)
    module.setup("fit")
    x, y = next(iter(module.val_dataloader()))
    kept: list[torch.Tensor] = []
    last = [m for m in network.modules() if hasattr(m, "weight") and m.weight.dim() == 2][-1]
    last.register_forward_pre_hook(lambda _, args: kept.append(args[0]))
    with torch.no_grad():
        network(x)
    f = kept[0]
    means = torch.stack([f[y == k].mean(0) for k in range(10)])
    return float((f - means[y]).norm(dim=1).mean() / (means - means.mean(0)).norm(dim=1).mean())


def test_in_a_recipe(fit: Fit, tmp_path: Path) -> None:
    fit("plain", 4)
    model, trainer = fit("centres", 4, centres=CentresConfig(strength=3e-3, spread=False))
    assert model.centres is not None
    assert bool(model.centres.seen.all())
    # the loss does what it is for: features gather around their class
    assert spread_of(tmp_path / "centres/last.ckpt") < 0.9 * spread_of(tmp_path / "plain/last.ckpt")
    assert "centres" in trainer.model.recipe()["model"]


def test_from_epoch_and_resume(fit: Fit, tmp_path: Path) -> None:
    config = CentresConfig(strength=1e-3, from_epoch=2)
    first, _ = fit("first", 2, centres=config)
    assert bool((first.centres.log_variance == 0).all())  # type: ignore[union-attr]
    resumed, _ = fit("second", 4, ckpt=tmp_path / "first/last.ckpt", centres=config)
    whole, _ = fit("whole", 4, centres=config)
    assert bool((whole.centres.log_variance != 0).any())  # type: ignore[union-attr]
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def _worker(rank: int, port: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    loss = ClassCentres(3, 2)
    torch.manual_seed(0)
    for _ in range(2):
        f, y = torch.randn(8, 2), torch.randint(0, 3, (8,))
        loss.update(f[4 * rank : 4 * rank + 4], y[4 * rank : 4 * rank + 4])
    torch.save(loss.centres, Path(folder) / f"{rank}.pt")


def test_two_processes_have_the_centres_of_the_whole_batch(tmp_path: Path) -> None:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_worker, args=(port, str(tmp_path)), nprocs=2)
    one = ClassCentres(3, 2)
    torch.manual_seed(0)
    for _ in range(2):
        one.update(torch.randn(8, 2), torch.randint(0, 3, (8,)))
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), one.centres)
