"""The one LightningModule for image classification."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, cast

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from bitwright import binarize
from bitwright.data import ImageData
from bitwright.data.loader import stream_seed
from bitwright.nn import BinaryLinear
from bitwright.train.checkpoint import (
    FORMAT,
    KEY,
    build_network,
    load_checkpoint,
    load_strictly,
    network_state,
    read_checkpoint,
    read_recipe,
)
from bitwright.train.class_centres import ClassCentres
from bitwright.train.config import CentresConfig, OptimizerConfig, ScheduleConfig, TeacherConfig
from bitwright.train.losses import distribution_loss, squared_hinge_loss
from bitwright.train.optimizers import build_optimizer
from bitwright.train.schedule import lr_factor


class Classifier(LightningModule):
    """Trains a network of `bitwright.models` to classify images.

    Every step: schedules of the binarizers are told where the run is, loss + the methods' regularisers, optimizer step,
    latent weights clipped. Random numbers in a step (dropout, stochastic binarizers) follow from (seed, epoch, batch,
    process), so a run that was interrupted and resumed computes what an uninterrupted one computes.

    Args:
        network: name, see `bitwright models`.
        method: binarization method, see `bitwright methods`; null or "float" trains the unbinarized twin.
        method_options: options of the method.
        network_arguments: further arguments of the network's entry function.
        num_classes, in_channels, image_size: of the data; the command line fills them in from the data set.
        optimizer, schedule: see `OptimizerConfig` and `ScheduleConfig`.
        epochs: length of the run for schedules; default: the trainer's `max_epochs`. Set it when one run is trained in
            several pieces.
        label_loss: "cross_entropy", or the "squared_hinge" of BinaryConnect, BNN and LAB.
        label_smoothing: of the cross-entropy with the labels.
        stage: training stage of the binary layers: "float" (nothing binary), "activations" (weights real) or "full".
        init_from: checkpoint whose network weights training starts from; every tensor must fit. Its stage is not taken
            over.
        teacher: distillation, see `TeacherConfig`.
        centres: a loss on the classifier's input, see `CentresConfig`.
        seed: of the random numbers inside steps; the command line links it to `seed_everything`.

    Raises:
        UnknownModelError, UnknownNameError, ValueError, TypeError: a setting that is unknown or out of range.
        CheckpointError: `init_from` or the teacher's checkpoint cannot be used.
    """

    def __init__(
        self,
        network: str,
        method: str | None = "reactnet",
        method_options: dict[str, Any] | None = None,
        network_arguments: dict[str, Any] | None = None,
        num_classes: int = 10,
        in_channels: int = 1,
        image_size: int = 28,
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008 (frozen)
        schedule: ScheduleConfig = ScheduleConfig(),  # noqa: B008 (frozen)
        epochs: int | None = None,
        label_loss: Literal["cross_entropy", "squared_hinge"] = "cross_entropy",
        label_smoothing: float = 0.0,
        stage: Literal["float", "activations", "full"] = "full",
        init_from: str | None = None,
        teacher: TeacherConfig | None = None,
        centres: CentresConfig | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        if label_loss not in ("cross_entropy", "squared_hinge"):
            raise ValueError(f"unknown label_loss {label_loss!r}; known: cross_entropy, squared_hinge")
        if label_loss == "squared_hinge" and label_smoothing:
            raise ValueError(f"label_smoothing {label_smoothing} belongs to the cross-entropy, not to squared_hinge")
        if epochs is not None and epochs < 1:
            raise ValueError(f"epochs must be at least 1, got {epochs}")
        method = None if method == "float" else method
        arguments = dict(network_arguments or {})
        if "image_size" in models_arguments(network):
            arguments.setdefault("image_size", image_size)
        self.description = plain(
            {
                "name": network,
                "num_classes": num_classes,
                "in_channels": in_channels,
                "method": method,
                "method_options": dict(method_options or {}),
                "arguments": arguments,
            }
        )
        if method is None and method_options:
            raise ValueError("method_options were given, but method is null (the float twin has none)")
        self.network: nn.Module = build_network(self.description)
        self.optimizer_config = optimizer
        self.schedule_config = schedule
        self.epochs = epochs
        self.label_loss = label_loss
        self.label_smoothing = label_smoothing
        self.stage = stage
        self.init_from = init_from
        self.teacher_config = teacher
        self.seed = seed
        if init_from is not None:
            checkpoint = read_checkpoint(init_from)
            read_recipe(checkpoint, init_from)
            load_strictly(self.network, network_state(checkpoint), init_from)
        if method is not None:
            binarize.set_stage(self.network, stage)
        elif stage != "full":
            raise ValueError(f"stage {stage!r} was given, but method is null: the float twin has no stages")
        # Not a sub-module: a teacher's weights have no place in the student's checkpoint or optimizer.
        self._teacher: list[nn.Module] = []
        if teacher is not None:
            self._teacher.append(load_checkpoint(teacher.checkpoint)[0].requires_grad_(False))
        self.centres_config = centres
        self.centres: ClassCentres | None = None
        self._features: list[Tensor] = []
        if centres is not None:
            width = int(classifier_of(self.network, num_classes).weight.shape[1])
            self.centres = ClassCentres(num_classes, width, centres.strength, centres.spread, centres.rate)
        top5 = min(5, num_classes)
        self.metrics = nn.ModuleDict(
            {
                f"{split}_acc{'' if k == 1 else k}": MulticlassAccuracy(num_classes, top_k=k, average="micro")
                for split in ("train", "valid", "test")
                for k in (1, top5)
                if not (split == "train" and k != 1)
            }
        )

    # Forward and loss -------------------------------------------------------------------------------------------

    def forward(self, x: Tensor) -> Tensor:
        """x: float32 [N, C, H, W] to logits [N, num_classes]."""
        return self.network(x)

    def loss(self, x: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy or distillation, plus the methods' regularisers."""
        if self.teacher_config is None:
            total = self._label_loss(logits, labels)
        else:
            with torch.no_grad():
                target = self._teacher[0](x)
            total = self.teacher_config.kd_weight * distribution_loss(logits, target)
            if self.teacher_config.label_weight:
                total = total + self.teacher_config.label_weight * self._label_loss(logits, labels)
        extra = binarize.regularization(self.network)
        total = total if extra is None else total + extra
        return total if self.centres is None else total + self._centre_loss(labels)

    def _label_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        if self.label_loss == "squared_hinge":
            return squared_hinge_loss(logits, labels)
        return F.cross_entropy(logits, labels, label_smoothing=self.label_smoothing)

    def _centre_loss(self, labels: Tensor) -> Tensor:
        assert self.centres is not None
        assert self.centres_config is not None
        if not self._features:
            raise RuntimeError("the loss on class centres works in training steps: the classifier's input is not known")
        features = self._features.pop()
        loss: Tensor = self.centres(features, labels)
        self.centres.update(features.detach(), labels)
        # times 0, not left out: in a distributed run every parameter takes part in every step
        return loss * float(self.current_epoch >= self.centres_config.from_epoch)

    # Training ---------------------------------------------------------------------------------------------------

    @property
    def horizon(self) -> int:
        """Epochs of the whole run."""
        if self.epochs is not None:
            return self.epochs
        epochs = self.trainer.max_epochs
        if epochs is None or epochs < 1:
            raise ValueError(f"schedules need the run's length: set trainer.max_epochs (is {epochs}) or model.epochs")
        return epochs

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps an epoch."""
        batches = self.trainer.num_training_batches
        return max(1, -(-int(batches) // self.trainer.accumulate_grad_batches))

    def on_fit_start(self) -> None:
        if self.centres is not None:
            layer = classifier_of(self.network, len(self.centres.centres))
            self._hook = layer.register_forward_pre_hook(self._keep_features)
        if self._teacher:
            self._teacher[0].to(self.device).eval()
        if self.init_from is None and self.trainer.ckpt_path is None:
            self._initialize_from_data()

    def on_fit_end(self) -> None:
        if self.centres is not None:
            self._hook.remove()

    def _keep_features(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        if module.training:
            self._features[:] = [args[0]]

    def _initialize_from_data(self) -> None:
        datamodule = getattr(self.trainer, "datamodule", None)
        if datamodule is not None:
            images, _ = next(iter(datamodule.train_dataloader()))
            binarize.initialize_from_data(self.network, images.to(self.device))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        epochs, steps = self.horizon, self.horizon * self.steps_per_epoch
        epoch, step = min(self.current_epoch, epochs), min(self.trainer.global_step, steps)
        binarize.set_progress(self.network, epoch=epoch, epochs=epochs, step=step, steps=steps)
        torch.manual_seed(stream_seed(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        x, labels = batch
        logits = self.network(x)
        loss = self.loss(x, logits, labels)
        accuracy = cast(Metric, self.metrics["train_acc"])
        accuracy(logits, labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(x))
        self.log("train_acc", accuracy, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        binarize.after_step(self.network)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        binarize.before_step(self.network)

    def configure_gradient_clipping(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> None:
        if self.optimizer_config.clip_norm:
            self.clip_gradients(optimizer, self.optimizer_config.clip_norm, "norm")
        else:
            super().configure_gradient_clipping(optimizer, *args, **kwargs)

    def configure_optimizers(self) -> Any:
        optimizer = build_optimizer(self.network, self.optimizer_config)
        if self.centres is not None and self.centres.log_variance is not None:
            own = {"params": [self.centres.log_variance], "lr": self.optimizer_config.lr, "weight_decay": 0.0}
            optimizer.add_param_group({**own, "name": "centres"})
        config, epochs = self.schedule_config, self.horizon

        def factor(step: int) -> float:
            # The number of batches is known from the first step on. Asking for it earlier (the trainer's
            # estimated_stepping_batches) would make the loaders before their saved positions are restored.
            per_epoch = self.steps_per_epoch if step and config.interval == "step" else 1
            return lr_factor(config, step / per_epoch, epochs)

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": config.interval}}

    # Evaluation -------------------------------------------------------------------------------------------------

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("valid", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._evaluate("test", batch)

    def _evaluate(self, split: str, batch: tuple[Tensor, Tensor]) -> None:
        x, labels = batch
        logits = self.network(x)
        self.log(f"{split}_loss", F.cross_entropy(logits, labels), batch_size=len(x), sync_dist=True)
        for name, metric in self.metrics.items():
            if name.startswith(split):
                metric(logits, labels)
                self.log(name, cast(Metric, metric), prog_bar=name == f"{split}_acc", batch_size=len(x))

    # Checkpoints ------------------------------------------------------------------------------------------------

    def recipe(self) -> dict[str, Any]:
        """What a checkpoint says about the run; plain types only."""
        datamodule = getattr(self._trainer, "datamodule", None) if self._trainer is not None else None
        data = None
        if isinstance(datamodule, ImageData):
            data = {"name": datamodule.facts.name, "arguments": datamodule.recipe_arguments()}
        settings = {
            "optimizer": dataclasses.asdict(self.optimizer_config),
            "schedule": dataclasses.asdict(self.schedule_config),
            "epochs": self.epochs,
            "label_loss": self.label_loss,
            "label_smoothing": self.label_smoothing,
            "stage": self.stage,
            "init_from": self.init_from,
            "teacher": None if self.teacher_config is None else dataclasses.asdict(self.teacher_config),
            "centres": None if self.centres_config is None else dataclasses.asdict(self.centres_config),
        }
        return plain(
            {"format": FORMAT, "network": self.description, "data": data, "model": settings, "seed": self.seed}
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = self.recipe()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        stored = read_recipe(checkpoint, "the checkpoint")["network"]
        if stored != self.description:
            differing = sorted(k for k in {*stored, *self.description} if stored.get(k) != self.description.get(k))
            what = "; ".join(f"{k} is {stored.get(k)!r} there and {self.description.get(k)!r} here" for k in differing)
            raise ValueError(f"the checkpoint holds another network: {what}")


def models_arguments(network: str) -> tuple[str, ...]:
    """Names of the arguments that a network's entry function takes."""
    from bitwright.models import model_info

    return model_info(network).arguments


def classifier_of(network: nn.Module, num_classes: int) -> nn.Linear | BinaryLinear:
    """The last dense layer with `num_classes` outputs.

    Raises:
        ValueError: there is none.
    """
    layers = [m for m in network.modules() if isinstance(m, (nn.Linear, BinaryLinear))]
    found = [m for m in layers if m.weight.shape[0] == num_classes]
    if not found:
        raise ValueError(f"{type(network).__name__} has no dense layer with {num_classes} outputs, so no class centres")
    return found[-1]


def plain(value: Any) -> Any:
    """A copy made of dicts, lists, strings, numbers, booleans and None only.

    Raises:
        TypeError: something else is in it.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    raise TypeError(f"a checkpoint stores plain types only, got {type(value).__name__}: {value!r}")
