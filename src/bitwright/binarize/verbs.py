"""Verbs over a whole model: they find every binary layer and every part in it, shared modules once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bitwright.binarize.activations import ActivationBinarizer
from bitwright.binarize.outputs import OutputRule
from bitwright.binarize.part import STAGES, Part, Progress, Staged
from bitwright.binarize.regularizers import Regularizer
from bitwright.binarize.weights import WeightBinarizer


class BinaryModule(Staged):
    """What the verbs need to know of a layer with a latent weight. `bitwright.nn` has the layers."""

    weight: nn.Parameter
    weight_binarizer: WeightBinarizer
    activation: ActivationBinarizer | None
    output: OutputRule | None
    regularizer: Regularizer | None

    def own_parts(self) -> Iterator[Part]:
        """The parts of this layer, nested ones too."""
        for top in (self.weight_binarizer, self.activation, self.output, self.regularizer):
            if top is not None:
                yield from (part for part in top.modules() if isinstance(part, Part))

    def latent_filters(self) -> Tensor:
        """The latent weight as its binarizer sees it (differentiable)."""
        raise NotImplementedError

    def real_result(self, x: Tensor) -> Tensor:
        """What the layer computes from its real input with real weights (normalised as their signs are), without bias
        and output rule. No gradient.
        """
        raise NotImplementedError

    def before_step(self) -> None:
        """Lets the parts see, and change, the gradient of the latent weight."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Lets the parts see, and change, the latent weight."""
        raise NotImplementedError

    def clip_latent_(self) -> None:
        """Clamps the latent weight to the binarizer's `latent_range`, if it has one."""
        raise NotImplementedError


def _parts(model: nn.Module) -> Iterator[tuple[Part, BinaryModule | None]]:
    """Every part once, with the layer that it belongs to (or None)."""
    owner: dict[int, BinaryModule] = {}
    for module in model.modules():
        if isinstance(module, BinaryModule):
            for part in module.own_parts():
                owner.setdefault(id(part), module)
    for module in model.modules():
        if isinstance(module, Part):
            yield module, owner.get(id(module))


def set_progress(model: nn.Module, *, epoch: int, epochs: int, step: int = 0, steps: int = 1) -> None:
    """Tells every part where training is; call it at the start of every epoch (and of every step, for schedules by
    step).

    Args:
        model: any module.
        epoch: current epoch, from 0.
        epochs: epochs of the whole run.
        step: optimizer steps done so far.
        steps: optimizer steps of the whole run.

    Raises:
        ValueError: a position outside the run.
    """
    progress = Progress(epoch=epoch, epochs=epochs, step=step, steps=steps)
    with torch.no_grad():
        for part, layer in _parts(model):
            part.on_progress(progress, None if layer is None else layer.latent_filters().detach())


def needs_epoch(model: nn.Module) -> bool:
    """True if some part of the model follows a schedule."""
    return any(part.needs_epoch for part, _ in _parts(model))


def regularization(model: nn.Module) -> Tensor | None:
    """The sum of all parts' extra losses (a scalar with gradient), or None if no part has one."""
    total: Tensor | None = None
    for part, layer in _parts(model):
        if isinstance(part, Regularizer):
            if layer is None:
                raise ValueError(
                    f"{type(part).__name__} is not part of a binary layer, so it has nothing to regularise"
                )
            term = part.loss(layer)
        else:
            term = part.regularization(None if layer is None else layer.latent_filters())
        if term is not None:
            total = term if total is None else total + term
    return total


@torch.no_grad()
def before_step(model: nn.Module) -> None:
    """Lets every layer's parts see the gradient of its latent weight; call it after backward, before the optimizer's
    step (after unscaling, when gradients are scaled). Needed by methods that keep statistics of gradients.
    """
    for module in model.modules():
        if isinstance(module, BinaryModule):
            module.before_step()


@torch.no_grad()
def after_step(model: nn.Module) -> None:
    """What methods do after the optimizer's step: their parts' own updates, then clamping of latent weights."""
    for module in model.modules():
        if isinstance(module, BinaryModule):
            module.after_step()


@torch.no_grad()
def clip_latent_(model: nn.Module) -> None:
    """Clamps latent weights to their methods' ranges, in place; a part of `after_step`."""
    for module in model.modules():
        if isinstance(module, BinaryModule):
            module.clip_latent_()


def set_stage(model: nn.Module, stage: str) -> None:
    """Sets the training stage of every binary layer: "float" (nothing binary), "activations" (weights real) or "full".

    Raises:
        ValueError: unknown stage, or a model without binary layers.
    """
    if stage not in STAGES:
        raise ValueError(f"unknown stage {stage!r}; stages are {', '.join(STAGES)}")
    found = False
    for module in model.modules():
        if isinstance(module, Staged):
            module.set_stage(stage)
            found = True
    if not found:
        raise ValueError("set_stage: the model has no binary layer")


@torch.no_grad()
def initialize_from_data(model: nn.Module, batch: Any) -> list[str]:
    """Runs `batch` through the model once and lets every part that asks for it set its parameters from what reaches it.

    The pass runs in training mode (as the first training step would) without gradient; buffers outside the parts
    (batch norm statistics) and the random state of the CPU are restored.

    Args:
        model: any module.
        batch: the argument of `model(...)`; a tuple or list is unpacked into arguments, a dict into keyword arguments.

    Returns:
        Names of the parts that were initialised.
    """
    waiting = {name: m for name, m in model.named_modules() if isinstance(m, Part) and m.needs_data}
    if not waiting:
        return []
    done: list[str] = []
    owners = dict(_parts(model))

    def hook(name: str, part: Part) -> Any:
        def run(module: nn.Module, args: tuple[Any, ...]) -> None:
            if name in done:
                return
            layer = owners[part]
            if isinstance(part, OutputRule) and layer is not None:
                part.initialize_from_result(args[0], args[1], layer)
            else:
                part.initialize_from(args[0])
            done.append(name)

        return run

    own = {id(b) for part in waiting.values() for b in part.buffers()}
    saved = [(b, b.clone()) for b in model.buffers() if id(b) not in own]
    modes = {m: m.training for m in model.modules()}
    handles = [part.register_forward_pre_hook(hook(name, part)) for name, part in waiting.items()]
    try:
        model.train()
        with torch.random.fork_rng(devices=[]):
            if isinstance(batch, (tuple, list)):
                model(*batch)
            elif isinstance(batch, dict):
                model(**batch)
            else:
                model(batch)
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode
        for buffer, value in saved:
            buffer.copy_(value)
    missed = sorted(set(waiting) - set(done))
    if missed:
        raise RuntimeError(f"initialize_from_data: the batch never reached {', '.join(missed)}")
    return done
