"""Finds what feeds a binary layer: the sign of a number that is never negative is always +1 and carries no
information.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

_RELUS = (nn.ReLU, nn.ReLU6)
# keep a non-negative number non-negative, so the search goes on behind them
_PASS_MODULES = (
    nn.MaxPool1d,
    nn.MaxPool2d,
    nn.MaxPool3d,
    nn.AvgPool1d,
    nn.AvgPool2d,
    nn.AvgPool3d,
    nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveAvgPool3d,
    nn.AdaptiveMaxPool1d,
    nn.AdaptiveMaxPool2d,
    nn.AdaptiveMaxPool3d,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.Flatten,
    nn.Unflatten,
    nn.Identity,
    nn.Upsample,
    nn.ZeroPad2d,
    nn.ChannelShuffle,
    nn.PixelShuffle,
)
_PASS_FUNCTIONS: tuple[Callable[..., Any], ...] = (
    torch.flatten,
    torch.max_pool2d,
    F.max_pool1d,
    F.max_pool2d,
    F.max_pool3d,
    F.avg_pool1d,
    F.avg_pool2d,
    F.avg_pool3d,
    F.adaptive_avg_pool2d,
    F.dropout,
    F.interpolate,
    operator.getitem,
)
_PASS_METHODS = ("flatten", "view", "reshape", "contiguous", "mean", "permute", "transpose", "squeeze", "unsqueeze")
_RELU_FUNCTIONS: tuple[Callable[..., Any], ...] = (F.relu, F.relu6, torch.relu, torch.relu_, F.relu_)
_RELU_METHODS = ("relu", "relu_")


class NonNegativeInputWarning(UserWarning):
    """A ±1 layer gets inputs that are never negative: its activations are constant."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, qualified_name: str) -> bool:
        return type(m).__module__.startswith(("torch.nn", "bitwright.nn")) and not isinstance(
            m, (nn.Sequential, nn.ModuleList, nn.ModuleDict)
        )


def feeding_activations(
    model: nn.Module, layers: Mapping[str, nn.Module]
) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """Which ReLUs reach `layers` without anything in between that makes negative numbers.

    The model is traced symbolically. Where it cannot be traced, every ReLU module of the model counts, each with the
    layer that is defined after it.

    Args:
        model: the model before conversion.
        layers: name -> module of the layers that will take the sign of their input.

    Returns:
        ({name of a ReLU module: name of one layer behind it}, [(layer, ReLU function in front of it)]).
    """
    if not layers:
        return {}, []
    try:
        graph = _Tracer().trace(model)
    except Exception:  # symbolic tracing raises whatever the model's own code raises on proxies
        return _by_definition(model, layers), []
    canonical = {id(module): name for name, module in model.named_modules()}
    by_id = {id(module): name for name, module in layers.items()}
    modules: dict[str, str] = {}
    functions: list[tuple[str, str]] = []
    for node in graph.nodes:
        if node.op != "call_module":
            continue
        layer = by_id.get(id(model.get_submodule(str(node.target))))
        if layer is None:
            continue
        for source in _sources(model, node):
            if source.op == "call_module":
                modules.setdefault(canonical[id(model.get_submodule(str(source.target)))], layer)
            else:
                name = source.target if isinstance(source.target, str) else source.target.__name__
                if (layer, name) not in functions:
                    functions.append((layer, name))
    return modules, functions


def _sources(model: nn.Module, node: fx.Node) -> list[fx.Node]:
    """ReLU nodes from which `node`'s input comes through operations that keep it non-negative."""
    found: list[fx.Node] = []
    seen: set[fx.Node] = set()
    queue = list(node.all_input_nodes)
    while queue:
        n = queue.pop()
        if n in seen:
            continue
        seen.add(n)
        if n.op == "call_module":
            module = model.get_submodule(str(n.target))
            if isinstance(module, _RELUS):
                found.append(n)
            elif isinstance(module, _PASS_MODULES):
                queue += n.all_input_nodes
        elif n.op == "call_function":
            if n.target in _RELU_FUNCTIONS:
                found.append(n)
            elif n.target in _PASS_FUNCTIONS or n.target in (torch.cat, torch.concat):
                queue += n.all_input_nodes
        elif n.op == "call_method":
            if n.target in _RELU_METHODS:
                found.append(n)
            elif n.target in _PASS_METHODS:
                queue += n.all_input_nodes
    return found


def _by_definition(model: nn.Module, layers: Mapping[str, nn.Module]) -> dict[str, str]:
    names = [(name, module) for name, module in model.named_modules()]
    found: dict[str, str] = {}
    for i, (name, module) in enumerate(names):
        if isinstance(module, _RELUS):
            after = [n for n, _ in names[i + 1 :] if n in layers]
            found[name] = after[0] if after else next(iter(layers))
    return found


def warn_non_negative(messages: Iterable[str]) -> None:
    """One warning for all layers concerned."""
    lines = list(messages)
    if lines:
        warnings.warn(
            "the sign of a number that is never negative is always +1, so these binary layers get constant activations:"
            + "".join(f"\n  {line}" for line in lines)
            + "\nReplace the ReLU (activation_rule='hardtanh'; a ReLU called as a function has to become a module "
            "first), or use a method with {0,1} activations such as dorefa.",
            NonNegativeInputWarning,
            stacklevel=4,
        )
