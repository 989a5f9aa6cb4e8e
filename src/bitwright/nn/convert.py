"""`binarize_`: turns an existing torch model into a binary one, in place and by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from bitwright.binarize.activations import ActivationBinarizer
from bitwright.binarize.method import Method, get_method
from bitwright.binarize.registry import UnknownNameError
from bitwright.nn.base import BinaryLayer
from bitwright.nn.conv import BinaryConv1d, BinaryConv2d, BinaryConv3d
from bitwright.nn.conv_transpose import BinaryConvTranspose2d
from bitwright.nn.convert_recurrent import RECURRENT, convert_recurrent
from bitwright.nn.embedding import BinaryEmbedding
from bitwright.nn.linear import BinaryLinear
from bitwright.nn.nonnegative import NonNegativeInputWarning, feeding_activations, warn_non_negative
from bitwright.nn.patterns import Pattern, describe, match_all
from bitwright.nn.report import BinarizeReport, ReportRow

FIRST_LAST = ("skip", "skip_first", "skip_last", "binarize")
POINTWISE = ("skip_downsample", "skip", "binarize")
ACTIVATION_RULES = ("hardtanh", "prelu", "keep")
_DOWNSAMPLE = ("downsample", "shortcut", "skip", "proj", "identity_conv")
_CONVS: dict[type[nn.Module], type[Any]] = {
    nn.Conv1d: BinaryConv1d,
    nn.Conv2d: BinaryConv2d,
    nn.Conv3d: BinaryConv3d,
}
_LAYERS = (*_CONVS, nn.ConvTranspose2d, nn.Linear, nn.Embedding, *RECURRENT)

__all__ = ["ACTIVATION_RULES", "FIRST_LAST", "POINTWISE", "NonNegativeInputWarning", "binarize_", "binarize_plan"]


class UnmatchedPatternError(ValueError):
    """A name or type given to `binarize_` that matches nothing in the model."""


def binarize_plan(
    model: nn.Module,
    method: str | Method = "bnn",
    *,
    skip: Sequence[Pattern] = (),
    first_last: str = "skip",
    pointwise: str = "skip_downsample",
    rules: Mapping[Pattern, Any] | None = None,
    activation_rule: str = "hardtanh",
    **options: Any,
) -> BinarizeReport:
    """What `binarize_` would do with the same arguments, without touching the model."""
    return _Plan(model, method, skip, first_last, pointwise, rules or {}, activation_rule, options).report


def binarize_(
    model: nn.Module,
    method: str | Method = "bnn",
    *,
    skip: Sequence[Pattern] = (),
    first_last: str = "skip",
    pointwise: str = "skip_downsample",
    rules: Mapping[Pattern, Any] | None = None,
    activation_rule: str = "hardtanh",
    **options: Any,
) -> nn.Module:
    """Replaces layers of `model` by binary ones, in place, and returns the model with the report in
    `model.binarize_report`.

    Converted are `Conv1d/2d/3d`, `ConvTranspose2d` and `Linear`; an `Embedding` only when a rule names it. The binary
    layer keeps the very same weight and bias parameters (an optimizer made before stays valid, tied weights stay tied)
    and all of stride, padding, dilation, groups. Subclasses of these layers are left alone, since their users may read
    their weight directly.

    A layer is decided by the first that applies: `skip`; `rules`; `first_last`; `pointwise`; else it is converted.

    Args:
        model: any module that contains layers.
        method: name of a method or a `Method`; `**options` are its options (`get_method`).
        skip: what stays float: dotted names ("layer1.0.conv1", or "layer1" with all below), shell patterns ("*.fc?"),
            or module types.
        first_last: "skip" keeps the first and the last layer float, in the order in which the model defines them
            (embeddings and recurrent layers do not count); also "skip_first", "skip_last", "binarize".
        pointwise: "skip_downsample" keeps 1x1 convolutions float if a part of their dotted name contains downsample,
            shortcut, skip, proj or identity_conv; "skip" keeps all 1x1 convolutions; "binarize" none.
        rules: pattern or type -> "float", a method name, a `Method`, or a mapping {"method": name, option: value}. The
            first pattern that matches decides.
        activation_rule: what happens to a ReLU whose output reaches a layer with ±1 activations (the sign of a number
            that is never negative is always +1): "hardtanh" or "prelu" (one slope, 0.25) replace the module, "keep"
            leaves it and warns. A ReLU written as a function in `forward` cannot be replaced: a warning names the
            layer behind it.

    Raises:
        UnmatchedPatternError: a pattern that matches nothing.
        UnknownNameError: unknown method, option or choice.
        ValueError: nothing to convert, a layer with forward hooks (such as spectral norm) or a padding mode without a
            binary form.
    """
    plan = _Plan(model, method, skip, first_last, pointwise, rules or {}, activation_rule, options)
    plan.apply()
    model.binarize_report = plan.report  # type: ignore[assignment]
    return model


class _Plan:
    def __init__(
        self,
        model: nn.Module,
        method: str | Method,
        skip: Sequence[Pattern],
        first_last: str,
        pointwise: str,
        rules: Mapping[Pattern, Any],
        activation_rule: str,
        options: Mapping[str, Any],
    ) -> None:
        for kind, value, known in (
            ("first_last", first_last, FIRST_LAST),
            ("pointwise", pointwise, POINTWISE),
            ("activation_rule", activation_rule, ACTIVATION_RULES),
        ):
            if value not in known:
                raise UnknownNameError(f"{kind} of binarize_", value, known)
        if isinstance(skip, (str, type)):
            raise TypeError(f"skip is a list of names, patterns or types; write skip=[{skip!r}]")
        if type(model) in _LAYERS:
            raise ValueError(
                "the model itself is a single layer and cannot be replaced in place; build the binary layer instead"
            )
        self.model = model
        self.activation_rule = activation_rule
        self.default = get_method(method, **options)
        self.rules = [(pattern, _rule_method(pattern, value)) for pattern, value in rules.items()]
        self.skip, self.first_last, self.pointwise = list(skip), first_last, pointwise
        # every name of a shared module, so that a pattern may use any of them; the first name stands for it
        self.names: dict[int, list[str]] = {}
        self.modules: dict[int, nn.Module] = {}
        for name, module in model.named_modules(remove_duplicate=False):
            self.names.setdefault(id(module), []).append(name)
            self.modules[id(module)] = module
        self._check_patterns()
        self.rows: list[ReportRow] = []
        self.chosen: dict[int, Method] = {}
        self._decide()
        if not self.chosen:
            table = (
                "\n".join(f"  {row.name}: {row.reason}" for row in self.rows)
                or "  it has no convolution, linear or recurrent layer"
            )
            raise ValueError(f"binarize_ found nothing to convert:\n{table}")
        self.activations, self.functional = self._non_negative()
        warnings = [f"{layer}: {source} feeds it" for layer, source in self.functional]
        if activation_rule == "keep":
            warnings += [f"{layer}: {source} feeds it" for source, layer in self.activations.items()]
        else:
            for source in self.activations:
                module = model.get_submodule(source)
                self.rows.append(
                    ReportRow(source, type(module).__name__, "replaced", "feeds a ±1 layer", activation_rule)
                )
        self.report = BinarizeReport(tuple(self.rows), tuple(warnings))

    def _check_patterns(self) -> None:
        everything = [(name, module) for name, module in self.model.named_modules(remove_duplicate=False) if name]
        for argument, patterns in (("skip", self.skip), ("rules", [p for p, _ in self.rules])):
            for pattern in patterns:
                if not any(match_all(pattern, name, module) for name, module in everything):
                    raise UnmatchedPatternError(
                        f"{argument}: {describe(pattern, [name for name, _ in everything])} matches nothing in the "
                        f"model"
                    )

    def _matches(self, pattern: Pattern, module: nn.Module) -> bool:
        return any(match_all(pattern, name, module) for name in self.names[id(module)])

    def _decide(self) -> None:
        layers = [self.modules[key] for key in self.names if isinstance(self.modules[key], _LAYERS)]
        # a recurrent layer is neither the first nor the last one: most of its products read its own hidden state
        ordered = [m for m in layers if not isinstance(m, (nn.Embedding, *RECURRENT))]
        first = ordered[0] if ordered and self.first_last in ("skip", "skip_first") else None
        last = ordered[-1] if ordered and self.first_last in ("skip", "skip_last") else None
        for module in layers:
            method, reason = self._decide_one(module, first, last)
            name = self.names[id(module)][0]
            kind = type(module).__name__
            if method is None:
                self.rows.append(ReportRow(name, kind, "kept", reason, ""))
                continue
            _check_convertible(name, module)
            self.chosen[id(module)] = method
            self.rows.append(ReportRow(name, kind, "binary", reason, str(method)))

    def _decide_one(
        self, module: nn.Module, first: nn.Module | None, last: nn.Module | None
    ) -> tuple[Method | None, str]:
        for pattern in self.skip:
            if self._matches(pattern, module):
                return None, f"skip {_show(pattern)}"
        if type(module) not in _LAYERS:
            return None, "a subclass of a torch layer"
        for pattern, method in self.rules:
            if self._matches(pattern, module):
                return method, f"rule {_show(pattern)}"
        if isinstance(module, nn.Embedding):
            return None, "embeddings stay float unless a rule names them"
        if module is first:
            return None, "first layer"
        if module is last:
            return None, "last layer"
        if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)) and set(module.kernel_size) == {1}:
            if self.pointwise == "skip":
                return None, "1x1 convolution"
            parts = [part for name in self.names[id(module)] for part in name.lower().split(".")]
            if self.pointwise == "skip_downsample" and any(word in part for part in parts for word in _DOWNSAMPLE):
                return None, "1x1 convolution of a shortcut"
        return self.default, "default"

    def _non_negative(self) -> tuple[dict[str, str], list[tuple[str, str]]]:
        """({activation module: layer behind it}, [(layer, function in front of it)])."""
        signed = {
            self.names[key][0]: self.modules[key]
            for key, method in self.chosen.items()
            if _is_signed(method) and not isinstance(self.modules[key], nn.Embedding)
        }
        return feeding_activations(self.model, signed)

    def apply(self) -> None:
        new: dict[int, nn.Module] = {}
        for key, method in self.chosen.items():
            try:
                new[key] = _convert(self.modules[key], method)
            except ValueError as error:
                raise ValueError(f"{self.names[key][0]}: {error}") from error
        if self.activation_rule != "keep":
            for source in self.activations:
                old = self.model.get_submodule(source)
                new[id(old)] = nn.Hardtanh() if self.activation_rule == "hardtanh" else _prelu_like(self.model)
                new[id(old)].train(old.training)
        for key, replacement in new.items():
            for name in self.names[key]:
                parent, _, attribute = name.rpartition(".")
                setattr(self.model.get_submodule(parent), attribute, replacement)
        warn_non_negative(self.report.warnings)


def _prelu_like(model: nn.Module) -> nn.PReLU:
    like = next(model.parameters())
    return nn.PReLU(device=like.device, dtype=like.dtype)


def _show(pattern: Pattern) -> str:
    return pattern.__name__ if isinstance(pattern, type) else repr(pattern)


def _rule_method(pattern: Pattern, value: Any) -> Method | None:
    if value == "float":
        return None
    if isinstance(value, Mapping):
        options = dict(value)
        if "method" not in options:
            raise ValueError(f"rules: the mapping of {_show(pattern)} needs 'method', got {dict(value)!r}")
        return get_method(options.pop("method"), **options)
    if isinstance(value, (str, Method)):
        return get_method(value)
    raise TypeError(f"rules: {_show(pattern)} must map to 'float', a method or a mapping, got {type(value).__name__}")


def _is_signed(method: Method) -> bool:
    """Whether the method's activations are ±1 (then non-negative inputs carry no information)."""
    from bitwright.binarize.part import LayerShape
    from bitwright.binarize.parts import ACTIVATIONS

    spec = method.parts.activation
    if spec is None:
        return False
    cls: type[ActivationBinarizer] = ACTIVATIONS.get(spec["kind"])
    activation = method.build_activation(LayerShape(kind="linear", in_channels=1, out_channels=1))
    return (cls.low if activation is None else activation.low) < 0


def _check_convertible(name: str, module: nn.Module) -> None:
    hooks = [h for h in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks") if getattr(module, h)]
    if hooks:
        raise ValueError(
            f"{name} has forward or backward hooks (weight norm, spectral norm, ...), which the binary layer would "
            f"lose; "
            "remove them or skip the layer"
        )
    mode = getattr(module, "padding_mode", "zeros")
    if isinstance(module, tuple(_CONVS)) and mode not in ("zeros", "replicate"):
        raise ValueError(
            f"{name} has padding_mode={mode!r}; binary convolutions pad with a constant or the edge; skip it"
        )


def _convert(module: nn.Module, method: Method) -> nn.Module:
    """The binary twin of `module`, with the same weight and bias parameters."""
    if isinstance(module, RECURRENT):
        return convert_recurrent(module, method)
    new: BinaryLayer
    where: dict[str, Any] = {"device": module.weight.device, "dtype": module.weight.dtype}
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d)):
        new = _CONVS[type(module)](
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            module.padding,
            module.dilation,
            module.groups,
            module.bias is not None,
            method=method,
            pad_mode="replicate" if module.padding_mode == "replicate" else "constant",
            **where,
        )
    elif isinstance(module, nn.ConvTranspose2d):
        new = BinaryConvTranspose2d(
            module.in_channels,
            module.out_channels,
            module.kernel_size,
            module.stride,
            tuple(int(p) for p in module.padding),
            module.output_padding,
            module.groups,
            module.bias is not None,
            module.dilation,
            method=method,
            **where,
        )
    elif isinstance(module, nn.Linear):
        new = BinaryLinear(module.in_features, module.out_features, module.bias is not None, method=method, **where)
    else:
        assert isinstance(module, nn.Embedding)
        if module.max_norm is not None or module.sparse or module.scale_grad_by_freq:
            raise ValueError("a binary embedding has no max_norm, sparse or scale_grad_by_freq; skip the layer")
        new = BinaryEmbedding(module.num_embeddings, module.embedding_dim, module.padding_idx, method=method, **where)
    new.adopt(module.weight, getattr(module, "bias", None))  # type: ignore[arg-type]
    new.train(module.training)
    return new
