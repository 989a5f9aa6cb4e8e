"""A method: facts, options, and the blocks it is composed of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bitwright.binarize.activations import ActivationBinarizer
from bitwright.binarize.inits import INITS, Init
from bitwright.binarize.outputs import OutputRule
from bitwright.binarize.part import LayerShape
from bitwright.binarize.parts import ACTIVATIONS, OUTPUTS, REGULARIZERS, WEIGHTS, build_part, check_spec
from bitwright.binarize.registry import Registry, UnknownNameError
from bitwright.binarize.regularizers import Regularizer
from bitwright.binarize.weights import WeightBinarizer

PROVENANCES = ("code read", "paper read", "secondary", "reconstruction", "ours")
LAYER_KINDS = ("conv", "conv_transpose", "linear", "embedding", "recurrent")
REQUIREMENTS = ("pretrained", "teacher", "two stages", "block", "output size", "data batch", "loss", "optimizer")
PROPERTIES = {
    "two values": "eval weights take the two values ±s in every filter",
    "scale equivariance": "c > 0 times the latent weight keeps all bits and multiplies every scale by 1 or by c",
    "train equals eval": "without stochastic parts both modes compute the same values",
    "latent gradient": "the latent weight gets a finite gradient that is not all zero",
    "learns": "gradient descent with the method's gradient lowers the loss of a small layer",
}


@dataclass(frozen=True)
class MethodInfo:
    """Facts about a method as published; `bitwright methods` prints them.

    Attributes:
        name: registry name, as in the paper, lower case, no punctuation.
        title, authors, year, venue, arxiv: the reference; `arxiv` is "" if there is none.
        summary: one line.
        binarizes: what becomes binary, such as ("weights", "activations").
        weight_scale: the weight's scale at inference and its granularity.
        learned: parameters beyond latent weights.
        needs_epoch: True if the training loop has to call `set_progress`.
        regularizer: the extra loss, or "".
        packable: begins with "yes" (frozen, exported and run by the engine), "onnx only: " (frozen and exported, but
            the engine lacks an operation, which then runs in onnxruntime) or "no: "; then what deployment costs beyond
            one popcount convolution and one multiplication a channel, or why not.
        stages: the training stages that the authors use, first to last, from `STAGES`.
        provenance: how each part is known: part -> one of `PROVENANCES`.
        weight_bits, activation_bits: with default options: "1", "2 planes", "2 to 8", "32" (real).
        formula: what -> formula: "weight", "weight gradient", "activation", "activation gradient", "output", "loss".
        requires: what the paper's training needs beyond the layer: one of `REQUIREMENTS` -> what exactly.
        block: the block or network that the paper puts the layer in, by its name here if there is one.
        compat: option -> which defect of the authors' code it reproduces.
        departs: which of `PROPERTIES` the method does not have -> why. Tests check all others.
        refuses: kind of layer (`LAYER_KINDS`) that the method makes no sense for -> why.
        notes: what differs between paper and code and which one is the default.
    """

    name: str
    title: str
    authors: str
    year: int
    venue: str
    arxiv: str
    summary: str
    binarizes: tuple[str, ...]
    weight_scale: str
    provenance: Mapping[str, str]
    learned: tuple[str, ...] = ()
    needs_epoch: bool = False
    regularizer: str = ""
    packable: str = "yes"
    stages: tuple[str, ...] = ("full",)
    weight_bits: str = "1"
    activation_bits: str = "1"
    formula: Mapping[str, str] = field(default_factory=dict)
    requires: Mapping[str, str] = field(default_factory=dict)
    block: str = ""
    compat: Mapping[str, str] = field(default_factory=dict)
    departs: Mapping[str, str] = field(default_factory=dict)
    refuses: Mapping[str, str] = field(default_factory=dict)
    notes: str = ""

    def __post_init__(self) -> None:
        for part, mark in self.provenance.items():
            if mark not in PROVENANCES:
                raise UnknownNameError(f"provenance of {part}", mark, PROVENANCES)
        for what, given, known in (
            ("requirement", self.requires, REQUIREMENTS),
            ("property", self.departs, PROPERTIES),
            ("kind of layer", self.refuses, LAYER_KINDS),
        ):
            for name in given:
                if name not in known:
                    raise UnknownNameError(f"{what} of method {self.name!r}", name, known)


@dataclass(frozen=True)
class MethodParts:
    """The blocks of a method: mappings {"kind": registered name, option: value}."""

    weight: Mapping[str, Any]
    activation: Mapping[str, Any] | None
    output: Mapping[str, Any] | None = None
    init: str = "default"
    regularizer: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Method:
    """A method with all its options fixed: builds the blocks of a layer. Made by `get_method`."""

    info: MethodInfo
    options: Mapping[str, Any]
    parts: MethodParts
    overrides: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.info.name

    def build_weight(self, shape: LayerShape) -> WeightBinarizer:
        return build_part(WEIGHTS, self.parts.weight, shape)

    def build_activation(self, shape: LayerShape) -> ActivationBinarizer | None:
        """None: the layer's input stays real."""
        if self.parts.activation is None or shape.kind == "embedding":
            return None
        return build_part(ACTIVATIONS, self.parts.activation, shape)

    def build_output(self, shape: LayerShape) -> OutputRule | None:
        if self.parts.output is None or shape.kind == "embedding":
            return None
        return build_part(OUTPUTS, self.parts.output, shape)

    def build_regularizer(self, shape: LayerShape) -> Regularizer | None:
        if self.parts.regularizer is None:
            return None
        return build_part(REGULARIZERS, self.parts.regularizer, shape)

    def check_kind(self, kind: str) -> None:
        """Raises ValueError, saying why, for a kind of layer that the method makes no sense for."""
        why = self.info.refuses.get(kind)
        if why is None and kind == "recurrent" and "linear" in self.info.refuses:
            why = f"they are made of linear layers, and there {self.info.refuses['linear']}"
        if why is not None:
            raise ValueError(f"method {self.name!r} has no {kind} layers: {why}")

    def initializer(self) -> Init:
        return INITS.get(self.parts.init)

    def with_options(self, **options: Any) -> Method:
        """The same method with further options on top of the ones it has."""
        return get_method(self.name, **{**self.options, **self.overrides, **options})

    def __str__(self) -> str:
        shown = {**self.options, **self.overrides}
        return self.name + (f"({', '.join(f'{k}={v!r}' for k, v in shown.items())})" if shown else "")


MethodFunction = Callable[..., MethodParts]
_FUNCTIONS: Registry[MethodFunction] = Registry("method")
_INFOS: dict[str, MethodInfo] = {}


def register_method(info: MethodInfo) -> Callable[[MethodFunction], MethodFunction]:
    """Decorator of a function `(**options) -> MethodParts`; its keyword arguments and their defaults are the method's
    options.
    """

    def add(function: MethodFunction) -> MethodFunction:
        _FUNCTIONS.register(info.name)(function)
        _INFOS[info.name] = info
        return function

    return add


def list_methods() -> list[MethodInfo]:
    """Facts of all methods, oldest first."""
    _discover()
    return sorted(_INFOS.values(), key=lambda info: (info.year, info.name))


def method_info(name: str) -> MethodInfo:
    """Facts about the method. Raises UnknownNameError."""
    _discover()
    _FUNCTIONS.get(name)
    return _INFOS[name]


def method_options(name: str) -> dict[str, Any]:
    """The method's own options and their defaults. Raises UnknownNameError."""
    _discover()
    return {p.name: p.default for p in inspect.signature(_FUNCTIONS.get(name)).parameters.values()}


_PARTS = ("weight", "activation", "output", "regularizer", "init")


def get_method(name: str | Method, **options: Any) -> Method:
    """The method `name` with its options set.

    Options are the method's own (see `method_options`) or replace parts of it: `weight=`, `activation=`, `output=`,
    `regularizer=` take a mapping that is merged into the method's own (a mapping with another "kind" replaces it),
    None removes the part (`activation=None` is weight-only binarization), `init=` names the weight initialisation;
    dotted keys reach one option: `{"activation.estimator": "approxsign"}`.

    Raises:
        UnknownNameError: unknown method, option, part or estimator; the message lists the known ones.
    """
    if isinstance(name, Method):
        return name.with_options(**options) if options else name
    _discover()
    function = _FUNCTIONS.get(name)
    known = method_options(name)
    own: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    for key, value in options.items():
        if key in known:
            own[key] = value
        elif key.split(".", 1)[0] in _PARTS:
            overrides[key] = value
        else:
            dotted = [f"{part}.<option>" for part in _PARTS[:-1]]
            raise UnknownNameError(f"option of method {name!r}", key, [*known, *_PARTS, *dotted])
    parts = function(**own)
    merged: dict[str, Any] = {part: getattr(parts, part) for part in _PARTS}
    for key, value in sorted(overrides.items(), key=lambda item: item[0].count(".")):
        part, _, rest = key.partition(".")
        merged[part] = _merge(name, part, merged[part], {rest: value} if rest else value)
    result = MethodParts(**merged)
    check_spec(WEIGHTS, result.weight)
    if result.activation is not None:
        check_spec(ACTIVATIONS, result.activation)
    if result.output is not None:
        check_spec(OUTPUTS, result.output)
    if result.regularizer is not None:
        check_spec(REGULARIZERS, result.regularizer)
    INITS.get(result.init)
    return Method(info=_INFOS[name], options=own, parts=result, overrides=overrides)


def _merge(method: str, part: str, base: Any, change: Any) -> Any:
    if part == "init":
        return change
    if change is None or change == "none":
        if part == "weight":
            raise ValueError(
                "weight=None: a binary layer needs a weight binarizer; weight={'kind': 'real'} keeps weights real"
            )
        return None
    if isinstance(change, str):
        change = {"kind": change}
    if not isinstance(change, Mapping):
        raise TypeError(f"{part}= of method {method!r} must be a mapping, a kind or None, got {type(change).__name__}")
    if base is None or change.get("kind", base["kind"]) != base["kind"]:
        if "kind" not in change:
            raise ValueError(f"method {method!r} has no {part} part to change, so {part}= needs a 'kind'")
        return dict(change)
    return {**base, **change}


def _discover() -> None:
    import bitwright.binarize.methods  # noqa: F401
