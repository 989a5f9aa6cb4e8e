"""Parameter groups: latent weights of binary layers apart from everything else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from bitwright.binarize import BinaryModule, Part

BINARY, OTHER, VECTORS = "binary", "other", "vectors"


def latent_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The latent weights of all binary layers, by their name in the model; a shared weight appears once."""
    found: dict[str, nn.Parameter] = {}
    seen: set[int] = set()
    for prefix, module in model.named_modules():
        if not isinstance(module, BinaryModule):
            continue
        weight = module._parameters.get("weight")
        if weight is not None and id(weight) not in seen:
            seen.add(id(weight))
            found[f"{prefix}.weight" if prefix else "weight"] = weight
    return found


def parameter_groups(
    model: nn.Module, *, weight_decay: float = 0.0, binary_weight_decay: float = 0.0, decay_vectors: bool = False
) -> list[dict[str, Any]]:
    """Splits the trainable parameters for an optimizer.

    Weight decay does not shrink a binarized weight, it only changes how often it flips, so latent weights get their own
    (methods that give any value: 0 to 1e-4 once weights are binary). Parameters for which a method asks for a learning
    rate or a weight decay of their own (`Part.parameter_options`) get groups of their own.

    Args:
        model: any module.
        weight_decay: of float weights with two or more dimensions.
        binary_weight_decay: of latent weights.
        decay_vectors: whether `weight_decay` also applies to biases, batch norm, scales and shifts, as torch's
            optimizers do when they are given all parameters at once.

    Returns:
        Non-empty groups `{"params", "weight_decay", "name", "lr_factor"}`, named "binary", "other" and "vectors". A
        group's learning rate is `lr_factor` times the run's.

    Raises:
        ValueError: a negative decay.
    """
    if weight_decay < 0 or binary_weight_decay < 0:
        raise ValueError(f"weight decay must be >= 0, got {weight_decay} and {binary_weight_decay}")
    latent = {id(p) for p in latent_parameters(model).values()}
    special = _method_options(model)
    decay = {BINARY: binary_weight_decay, OTHER: weight_decay, VECTORS: weight_decay if decay_vectors else 0.0}
    members: dict[tuple[str, float, float], list[nn.Parameter]] = {
        (kind, 1.0, decay[kind]): [] for kind in (BINARY, OTHER, VECTORS)
    }
    for parameter in model.parameters():
        if parameter.requires_grad:
            kind = BINARY if id(parameter) in latent else OTHER if parameter.ndim > 1 else VECTORS
            own = special.get(id(parameter), {})
            key = (kind, float(own.get("lr_factor", 1.0)), float(own.get("weight_decay", decay[kind])))
            members.setdefault(key, []).append(parameter)
    return [
        {"params": parameters, "weight_decay": decayed, "name": kind, "lr_factor": factor}
        for (kind, factor, decayed), parameters in members.items()
        if parameters
    ]


def _method_options(model: nn.Module) -> dict[int, Mapping[str, float]]:
    """What the parts of binary layers ask for, by the parameter's id."""
    found: dict[int, Mapping[str, float]] = {}
    for module in model.modules():
        if isinstance(module, Part):
            for name, options in module.parameter_options().items():
                if name != "latent":
                    found[id(module.get_parameter(name))] = options
        if isinstance(module, BinaryModule):
            for part in module.own_parts():
                if "latent" in part.parameter_options():
                    found[id(module.weight)] = part.parameter_options()["latent"]
    return found
