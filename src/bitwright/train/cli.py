"""`bitwright train` and `bitwright evaluate`."""

from __future__ import annotations

import argparse
import dataclasses
import json as json_module
import logging
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentParser
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from bitwright import data
from bitwright.train.bits import BitStatistics
from bitwright.train.checkpoint import CheckpointError, load_checkpoint, read_checkpoint
from bitwright.train.classifier import Classifier
from bitwright.train.evaluate import Evaluation, evaluate
from bitwright.train.rundir import BEST, CONFIG, LAST, choose_run_dir

TRAIN_EXAMPLE = """examples:
  bitwright train --config recipes/digits_cnn.yaml
  bitwright train --config recipes/digits_cnn.yaml --trainer.max_epochs 3 --model.optimizer.lr 1e-3 --data.batch_size 32
  bitwright train --ckpt_path runs/digits_cnn/last.ckpt                   # continue a run with its own settings

A run writes last.ckpt, best.ckpt (if images are held out for validation), config.yaml, csv/ and tensorboard/."""

EVALUATE_EXAMPLE = """examples:
  bitwright evaluate --ckpt_path runs/digits_cnn/last.ckpt
  bitwright evaluate --ckpt_path runs/digits_cnn/best.ckpt --split val --json"""


class RecipeCLI(LightningCLI):
    """Lightning's command line over `Classifier` and the data sets, with our folder layout and callbacks."""

    def __init__(self, args: Sequence[str]) -> None:
        self.run_dir = Path()
        super().__init__(
            Classifier,
            data.ImageData,
            subclass_mode_data=True,
            save_config_callback=None,
            seed_everything_default=0,
            parser_kwargs={
                "prog": "bitwright train",
                "usage": "bitwright train --config RECIPE.yaml [--KEY VALUE ...]",  # the generated one fills a page
                "allow_abbrev": False,
                "description": "Train a network from a recipe: a YAML file whose every key is also an option.",
                "epilog": TRAIN_EXAMPLE,
                "formatter_class": argparse.RawDescriptionHelpFormatter,
            },
            args=list(args),
            run=False,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint of a run to continue")
        parser.add_argument("--run_dir", type=str | None, default=None, help="folder to write to [runs/<recipe>]")
        parser.add_argument("--overwrite", type=bool, default=False, help="start anew in a run_dir that holds a run")
        for name in ("num_classes", "in_channels", "image_size"):
            parser.link_arguments("data", f"model.{name}", compute_fn=_attribute(name), apply_on="instantiate")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=_seed)
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=_seed)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(args)

    def before_instantiate_classes(self) -> None:
        recipes = self.config.get("config") or []
        recipe = str(recipes[-1]) if recipes else None
        ckpt_path = self.config.ckpt_path
        if ckpt_path is not None and not Path(ckpt_path).is_file():
            raise FileNotFoundError(f"no checkpoint at {ckpt_path}")
        if ckpt_path is not None:
            read_checkpoint(ckpt_path)  # a strange file is refused here, in our words, before anything starts
        self.run_dir = choose_run_dir(self.config.run_dir, recipe, ckpt_path, self.config.overwrite)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        trainer = self.config_init.trainer
        if trainer.enable_model_summary is None:  # ours counts binary weights right: bitwright.nn.summary
            kwargs["enable_model_summary"] = False
        if trainer.default_root_dir is None:
            kwargs["default_root_dir"] = str(self.run_dir)
        if trainer.logger is None:
            kwargs["logger"] = [
                CSVLogger(self.run_dir, name="csv"),
                TensorBoardLogger(self.run_dir, name="tensorboard", default_hp_metric=False),
            ]
        if trainer.enable_checkpointing is not False:
            kwargs["callbacks"] = [*(trainer.callbacks or []), *self._callbacks()]
        return super().instantiate_trainer(**kwargs)

    def _callbacks(self) -> list[Callback]:
        """Bit statistics, `last.ckpt` after every epoch, and `best.ckpt` where there are validation images."""
        common: dict[str, Any] = {
            "dirpath": self.run_dir,
            "enable_version_counter": False,
            "auto_insert_metric_name": False,
        }
        callbacks: list[Callback] = [
            BitStatistics(),
            ModelCheckpoint(filename=LAST.removesuffix(".ckpt"), save_on_train_epoch_end=True, **common),
        ]
        if self.datamodule.val_size:
            best = BEST.removesuffix(".ckpt")
            callbacks.append(ModelCheckpoint(filename=best, monitor="valid_acc", mode="max", **common))
        return callbacks

    @rank_zero_only
    def write_config(self) -> None:
        """Writes the resolved settings beside the checkpoints."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        config = self.config.clone()
        for key in ("config", "ckpt_path", "run_dir", "overwrite"):
            config.pop(key, None)
        text = self.parser.dump(config, skip_none=False, skip_link_targets=True, skip_validation=True)
        (self.run_dir / CONFIG).write_text(text, encoding="utf-8")


def _attribute(name: str) -> Any:
    def get(datamodule: data.ImageData) -> int:
        return int(getattr(datamodule, name))

    return get


def _seed(value: bool | int) -> int:
    """The seed of a run; `seed_everything: true` or `false` would not say which."""
    if isinstance(value, bool):
        raise ValueError("seed_everything must be a number, so that the run can be repeated")
    return value


def _normalised(argv: Sequence[str]) -> list[str]:
    """`--data-root X` is `--data.root X` (last, so that it wins over the recipe); `--run-dir` is `--run_dir`."""
    rest: list[str] = []
    root: list[str] = []
    waiting = False
    for arg in argv:
        name, equals, value = arg.partition("=")
        if waiting:
            root, waiting = ["--data.root", arg], False
        elif name in ("--data-root", "--data_root"):
            root, waiting = ["--data.root", value], not equals
        else:
            rest.append({"--run-dir": "--run_dir", "--ckpt-path": "--ckpt_path"}.get(name, name) + equals + value)
    if waiting:
        raise ValueError("--data-root needs a folder")
    return rest + root


def _with_own_config(argv: list[str]) -> list[str]:
    """A run that is continued without a recipe uses the settings it was started with."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--ckpt_path")
    parser.add_argument("-c", "--config")
    known, _ = parser.parse_known_args(argv)
    if known.ckpt_path and known.config is None:
        config = Path(known.ckpt_path).parent / CONFIG
        if config.is_file():
            return ["--config", str(config), *argv]
    return argv


def _quiet() -> None:
    """Lightning's advice is not for our users; what matters is shown by the progress bar and by us."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for about in (
        "LeafSpec",
        "exists and is not empty",
        "smaller than the logging interval",
        "skip_none",
        "was deprecated",
    ):
        warnings.filterwarnings("ignore", message=f"(?s).*{about}")


def train_main(argv: Sequence[str]) -> int:
    """`bitwright train`: see TRAIN_EXAMPLE. Returns the exit status.

    Raises:
        SystemExit: the arguments or the recipe are wrong (the message is printed).
        DataError, CheckpointError, RunFolderError, ValueError, FileNotFoundError: as their messages say.
    """
    _quiet()
    cli = RecipeCLI(_with_own_config(_normalised(argv)))
    cli.write_config()
    start = time.perf_counter()
    cli.trainer.fit(cli.model, datamodule=cli.datamodule, ckpt_path=cli.config.ckpt_path, weights_only=True)
    if cli.trainer.is_global_zero and not cli.trainer.interrupted:
        _report(cli, time.perf_counter() - start)
    return 130 if cli.trainer.interrupted else 0


def _report(cli: RecipeCLI, seconds: float) -> None:
    metrics = {k: float(v) for k, v in cli.trainer.callback_metrics.items()}
    shown = [
        f"{k.replace('_', ' ')} {metrics[k]:.4f}" for k in ("train_loss", "train_acc", "valid_acc") if k in metrics
    ]
    print(f"{cli.trainer.current_epoch} epochs, {seconds:.0f} s: {', '.join(shown)}")
    last = cli.run_dir / LAST
    if last.exists():
        print(f"next: bitwright evaluate --ckpt_path '{last}'")


# evaluate -------------------------------------------------------------------------------------------------------


def evaluate_main(argv: Sequence[str]) -> int:
    """`bitwright evaluate`: see EVALUATE_EXAMPLE. Returns the exit status.

    Raises:
        SystemExit: the arguments are wrong.
        DataError, CheckpointError, UnknownDatasetError, FileNotFoundError, ValueError: as their messages say.
    """
    _quiet()
    parser = ArgumentParser(
        prog="bitwright evaluate",
        description="Accuracy of a checkpoint on the test split of its data set.",
        epilog=EVALUATE_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--ckpt_path", "--ckpt-path", type=str, required=True, help="written by `bitwright train`")
    parser.add_argument("--config", type=str | None, default=None, help="recipe whose data section is used instead")
    parser.add_argument("--data_root", "--data-root", type=str | None, default=None, help="folder of the data sets")
    parser.add_argument("--split", choices=["test", "val", "train"], default="test", help="which images")
    parser.add_argument("--batch_size", "--batch-size", type=int | None, default=None, help="images at a time")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(list(argv))
    network, recipe = load_checkpoint(options.ckpt_path)
    section = recipe["data"] if options.config is None else _data_section(options.config)
    if section is None:
        raise CheckpointError(f"{options.ckpt_path} does not say which data it was trained on: give --config")
    arguments = dict(section["arguments"])
    if options.data_root is not None:
        arguments["root"] = options.data_root
    if options.batch_size is not None:
        arguments["eval_batch_size"] = options.batch_size
    if isinstance(arguments.get("augment"), dict):
        arguments["augment"] = data.Augment(**arguments["augment"])
    module = data.create(section["name"], **arguments)
    _check_fit(recipe["network"], module, options.ckpt_path)
    module.setup()
    result = evaluate(network, module.eval_loader(options.split))
    _print_evaluation(options, recipe["network"], module, result)
    return 0


def _data_section(path: str) -> dict[str, Any]:
    """{"name", "arguments"} from a recipe's `data` section. Only registered data sets can be named."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no recipe at {path}")
    with open(path, encoding="utf-8") as file:
        content = yaml.safe_load(file)
    section = content.get("data") if isinstance(content, dict) else None
    if isinstance(section, str):
        section = {"class_path": section}
    if not isinstance(section, dict) or "class_path" not in section:
        raise ValueError(f"{path} has no data section with a class_path")
    name = str(section["class_path"]).rpartition(".")[2].lower()
    return {"name": name, "arguments": dict(section.get("init_args") or {})}


def _check_fit(network: dict[str, Any], module: data.ImageData, path: str) -> None:
    want = (network["in_channels"], network["num_classes"])
    have = (module.in_channels, module.num_classes)
    if want != have:
        raise CheckpointError(
            f"{path} takes {want[0]} channels and knows {want[1]} classes; "
            f"{module.facts.name} has {have[0]} and {have[1]}"
        )


def _print_evaluation(options: Any, network: dict[str, Any], module: data.ImageData, result: Evaluation) -> None:
    title = module.facts.title if options.split == "test" else f"{module.facts.name}, {options.split} split"
    facts = {
        "checkpoint": options.ckpt_path,
        "network": network["name"],
        "method": network["method"] or "float",
        "data": title,
        "split": options.split,
    }
    if options.json:
        values = dataclasses.asdict(result)
        values["per_class"] = [None if v != v else v for v in result.per_class]
        print(json_module.dumps({**facts, **values, "classes": list(module.facts.classes)}, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    print(f"{facts['network']} ({facts['method']}) on {title}")
    table = Table(show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_row("images", f"{result.images:,}")
    table.add_row("top-1", f"{100 * result.top1:.2f} %")
    table.add_row("top-5", f"{100 * result.top5:.2f} %")
    table.add_row("cross-entropy", f"{result.loss:.4f}")
    for name, share in zip(module.facts.classes, result.per_class, strict=True):
        table.add_row(f"class {name}", f"{100 * share:.2f} %")
    Console().print(table)


__all__ = ["RecipeCLI", "evaluate_main", "train_main"]
