"""`bitwright train` and `bitwright evaluate` as a user calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from bitwright import data, models, train
from bitwright.train.cli import evaluate_main, train_main

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
RECIPE = """
seed_everything: 3
model:
  network: mlp
  method: bnn
  network_arguments: {hidden: [32, 32]}
  optimizer: {name: adam, lr: 1.0e-2}
data:
  class_path: bitwright.data.Digits
  init_args: {batch_size: 128, val_size: 144}
trainer:
  max_epochs: 2
  accelerator: cpu
  enable_progress_bar: false
  enable_model_summary: false
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "tiny.yaml"
    path.write_text(RECIPE)
    return path


def test_train_then_evaluate(recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_main(["--config", str(recipe)]) == 0
    run = tmp_path / "runs" / "tiny"
    assert {p.name for p in run.iterdir()} == {"last.ckpt", "best.ckpt", "config.yaml", "csv", "tensorboard"}
    text = (run / "csv" / "version_0" / "metrics.csv").read_text()
    for column in ("flip_ratio", "dead_share", "valid_acc", "valid_acc5", "train_loss"):
        assert column in text.splitlines()[0]
    assert list((run / "tensorboard" / "version_0").glob("events*"))
    capsys.readouterr()
    assert evaluate_main(["--ckpt_path", str(run / "last.ckpt"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["images"], result["split"], result["network"], result["method"]) == (360, "test", "mlp", "bnn")
    assert result["data"] == data.facts("digits").title
    network, _ = train.load_checkpoint(run / "last.ckpt")
    images, labels = (module := data.create("digits")).split("test")
    with torch.no_grad():
        expected = (network(module.normalize(images)).argmax(1) == labels).double().mean().item()
    assert result["top1"] == expected
    assert evaluate_main(["--ckpt_path", str(run / "last.ckpt"), "--config", str(recipe), "--split", "val"]) == 0
    table = capsys.readouterr().out
    assert "144" in table
    assert "top-1" in table


def test_overrides_resume_and_folders(recipe: Path, tmp_path: Path) -> None:
    short = ["--config", str(recipe), "--model.epochs", "3"]
    assert train_main([*short, "--trainer.max_epochs", "1", "--model.optimizer.lr", "3e-3", "--run-dir", "a"]) == 0
    stored = train.read_checkpoint(tmp_path / "a" / "last.ckpt")["bitwright"]
    assert stored["model"]["optimizer"]["lr"] == 3e-3
    assert stored["seed"] == 3
    assert stored["data"]["arguments"]["seed"] == 3
    with pytest.raises(ValueError, match=r"already holds a run.*--ckpt_path.*--overwrite"):
        train_main([*short, "--run-dir", "a"])
    # without a recipe: the run's own settings, in its own folder
    assert train_main(["--ckpt_path", "a/last.ckpt", "--trainer.max_epochs", "3"]) == 0
    assert train_main([*short, "--trainer.max_epochs", "3", "--model.optimizer.lr", "3e-3", "--run-dir", "b"]) == 0
    a, b = (train.read_checkpoint(tmp_path / name / "last.ckpt") for name in ("a", "b"))
    assert a["epoch"] == b["epoch"] == 2
    assert all(torch.equal(a["state_dict"][k], b["state_dict"][k]) for k in b["state_dict"])
    assert train_main([*short, "--trainer.max_epochs", "1", "--run-dir", "a", "--overwrite", "true"]) == 0
    assert train.read_checkpoint(tmp_path / "a" / "last.ckpt")["epoch"] == 0
    for expected in ("tiny", "tiny-2"):
        train_main([*short, "--trainer.max_epochs", "1"])
        assert (tmp_path / "runs" / expected / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.optimizer.lrr", "1"], "lrr"),
        (["--trainer.max_epoch", "1"], "max_epoch"),
        (["--model.optimizer.lr", "fast"], "fast"),
        (["--model.optimizer.name", "lion"], "lion"),
        (["--data.class_path", "os.system"], "os.system"),
        (["--data.batch_sizes", "3"], "batch_sizes"),
        (["--config", "missing.yaml"], "missing.yaml"),
        (["--seed_everything", "true"], "seed_everything must be a number"),
    ],
)
def test_argument_errors_name_the_key(
    recipe: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        train_main(["--config", str(recipe), *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


def test_recipe_with_unknown_key(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe.write_text(RECIPE.replace("method: bnn", "methode: bnn"))
    with pytest.raises(SystemExit):
        train_main(["--config", str(recipe)])
    assert "methode" in capsys.readouterr().err


def test_value_errors(recipe: Path, tmp_path: Path) -> None:
    config = ["--config", str(recipe)]
    with pytest.raises(ValueError, match="unknown network 'mpl'"):
        train_main([*config, "--model.network", "mpl"])
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at nothing\.ckpt"):
        train_main([*config, "--ckpt_path", "nothing.ckpt"])
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        evaluate_main(["--ckpt_path", "nothing.ckpt"])
    with pytest.raises(SystemExit):
        evaluate_main([])
    assert not (tmp_path / "runs").exists(), "a run that cannot start leaves nothing behind"


def test_evaluating_on_other_data_must_fit(recipe: Path, tmp_path: Path) -> None:
    train_main(["--config", str(recipe), "--run-dir", "a", "--trainer.max_epochs", "1"])
    other = tmp_path / "other.yaml"
    other.write_text("data: {class_path: bitwright.data.Cifar10}")
    with pytest.raises(train.CheckpointError, match="takes 1 channels and knows 10 classes; cifar10 has 3 and 10"):
        evaluate_main(["--ckpt_path", "a/last.ckpt", "--config", str(other)])
    other.write_text("data: {class_path: os.system}")
    with pytest.raises(data.UnknownDatasetError, match="'system'; known"):
        evaluate_main(["--ckpt_path", "a/last.ckpt", "--config", str(other)])


def test_data_root_option_reaches_the_data(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no network")))
    fashion = RECIPE.replace("bitwright.data.Digits", "bitwright.data.Fashion")
    recipe.write_text(fashion)
    for form in (["--data-root", str(tmp_path / "here")], [f"--data_root={tmp_path / 'here'}"]):
        with pytest.raises(data.DataError, match="here"):
            train_main([*form, "--config", str(recipe)])


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_recipe_parses_and_builds_its_network(path: Path) -> None:
    assert path.read_text().startswith("#"), "a recipe says what it is in its head comment"
    content = yaml.safe_load(path.read_text())
    section = content["data"]
    name = section["class_path"].rpartition(".")[2].lower()
    augment = data.Augment(**section["init_args"].pop("augment", {}))
    module = data.create(name, augment=augment, **section["init_args"])
    model = content["model"]
    arguments = dict(model)
    for key, kind in (("optimizer", train.OptimizerConfig), ("schedule", train.ScheduleConfig)):
        if key in arguments:
            arguments[key] = kind(**arguments[key])
    classifier = train.Classifier(
        **arguments, num_classes=module.num_classes, in_channels=module.in_channels, image_size=module.image_size
    )
    assert model["network"] in models.list_models()
    with torch.no_grad():
        assert classifier.eval()(torch.randn(1, *module.facts.shape)).shape == (1, 10)


@pytest.mark.slow
def test_two_processes_gloo(recipe: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_ADDR": "127.0.0.1"}
    command = [sys.executable, "-m", "bitwright", "train", "--config", str(recipe), "--run-dir", "ddp"]
    command += ["--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.max_epochs", "6"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    checkpoint = train.read_checkpoint(tmp_path / "ddp" / "last.ckpt")
    assert checkpoint["epoch"] == 5
    assert checkpoint["global_step"] == 6 * (1293 // 256), "each process takes half of every batch"
    network, _ = train.load_checkpoint(tmp_path / "ddp" / "last.ckpt")
    assert train.evaluate(network, data.create("digits").test_dataloader()).top1 > 0.5
    statistics = checkpoint["callbacks"]["BitStatistics"]
    assert statistics["last"].keys() == {"network.features.4"}
