"""The estimator's interface and registry."""

from __future__ import annotations

import copy
import inspect
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from bitwright.binarize.part import Part, Progress
from bitwright.binarize.registry import Registry, UnknownNameError
from bitwright.binarize.sign import at_least_float32, bsign, replace_value


class ScheduleNotSetWarning(UserWarning):
    """A scheduled estimator trains although `set_progress` was never called."""


@dataclass(frozen=True)
class EstimatorInfo:
    """Facts about an estimator. `formula` is d(x), the slope; `provenance`: "paper read", "code read", "secondary",
    "reconstruction" or "ours"; `per_element`: False where the slope at one element depends on the others.
    """

    name: str
    formula: str
    summary: str
    parameters: Mapping[str, str]
    source: str
    provenance: str
    needs_epoch: bool = False
    per_element: bool = True


class Estimator(Part):
    """Forward `bsign(x)`; backward `upstream * derivative(x)`, computed in float32 (float64 for float64 inputs)."""

    info: ClassVar[EstimatorInfo]

    def derivative(self, x: Tensor) -> Tensor:
        """d(x), the slope that stands for the derivative of sign. `x` is float32 or float64; same shape and dtype."""
        raise NotImplementedError

    def primitive(self, x: Tensor) -> Tensor:
        """F(x) with F' = d and F(0) = 0, for plots and tests."""
        raise NotImplementedError(f"{type(self).__name__} has no closed-form primitive")

    def forward(self, x: Tensor, value: Tensor | None = None) -> Tensor:
        """`value` (default `bsign(x)`) in the forward pass, gradient `upstream * derivative(x)` to `x`."""
        if value is None:
            value = bsign(x)
        if not (torch.is_grad_enabled() and x.requires_grad):
            return value
        return self.attach(x, value)

    def attach(self, x: Tensor, value: Tensor) -> Tensor:
        """`value` with the gradient; estimators that can do it with less memory traffic override this."""
        with torch.no_grad():
            slope = self.derivative(at_least_float32(x.detach()))
        return replace_value(x, value, slope)


class ScheduledEstimator(Estimator):
    """An estimator whose buffers follow the training progress. The buffers are saved, so a reload cannot reset them."""

    needs_epoch = True
    schedule_set: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("schedule_set", torch.tensor(False))
        self._warn = True

    def at(self, fraction: float) -> None:
        """Sets the buffers for `fraction` of the training in [0, 1]."""
        raise NotImplementedError

    def on_progress(self, progress: Progress, latent: Tensor | None = None) -> None:
        self.at(progress.epoch / progress.epochs)
        self.schedule_set.fill_(True)
        self._warn = False

    def forward(self, x: Tensor, value: Tensor | None = None) -> Tensor:
        if not torch.compiler.is_compiling() and self._warn and self.training and torch.is_grad_enabled():
            self._warn = False
            if not self.schedule_set.is_meta and not bool(self.schedule_set):
                warnings.warn(
                    f"{type(self).__name__} is trained but its schedule was never set, so it stays at its first value: "
                    "call bitwright.binarize.set_progress(model, epoch=..., epochs=...) every epoch",
                    ScheduleNotSetWarning,
                    stacklevel=2,
                )
        return super().forward(x, value)


EstimatorSpec = str | Mapping[str, Any] | Estimator
"""A name, a mapping {"name": ..., option: value}, or an estimator (which is copied)."""

ESTIMATORS: Registry[type[Estimator]] = Registry("estimator")
E = TypeVar("E", bound=type[Estimator])


def register_estimator(info: EstimatorInfo) -> Callable[[E], E]:
    """Class decorator: attaches the facts and files the class under `info.name`."""

    def add(cls: E) -> E:
        cls.info = info
        cls.needs_epoch = info.needs_epoch
        ESTIMATORS.register(info.name)(cls)
        return cls

    return add


def list_estimators() -> list[EstimatorInfo]:
    """Facts of all estimators, by name."""
    return [ESTIMATORS.get(name).info for name in sorted(ESTIMATORS)]


def estimator_info(name: str) -> EstimatorInfo:
    """Facts about the estimator. Raises UnknownNameError."""
    return ESTIMATORS.get(name).info


def get_estimator(name: str, **options: Any) -> Estimator:
    """A new estimator. Raises UnknownNameError for an unknown name or option."""
    cls = ESTIMATORS.get(name)
    known = list(inspect.signature(cls).parameters)
    for option in options:
        if option not in known:
            raise UnknownNameError(f"option of estimator {name!r}", option, known)
    return cls(**options)


def make_estimator(spec: EstimatorSpec) -> Estimator:
    """An estimator from its spec. Raises UnknownNameError, or TypeError for a spec of another kind."""
    if isinstance(spec, Estimator):
        return copy.deepcopy(spec)
    if isinstance(spec, str):
        return get_estimator(spec)
    if isinstance(spec, Mapping):
        options = dict(spec)
        if "name" not in options:
            raise ValueError(f"an estimator given as a mapping needs 'name', got {dict(spec)!r}")
        return get_estimator(options.pop("name"), **options)
    raise TypeError(f"an estimator is a name, a mapping with 'name', or an Estimator; got {type(spec).__name__}")


def positive(name: str, value: float) -> float:
    """`value` as a float. Raises ValueError unless it is finite and > 0."""
    if not (isinstance(value, (int, float)) and math.isfinite(value) and value > 0):
        raise ValueError(f"{name} must be a positive finite number, got {value!r}")
    return float(value)
