"""Parameter groups: latent weights of binary layers apart from everything else."""

from __future__ import annotations

from typing import Any

from torch import nn

from bitwright.binarize import BinaryModule

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
    (methods that give any value: 0 to 1e-4 once weights are binary).

    Args:
        model: any module.
        weight_decay: of float weights with two or more dimensions.
        binary_weight_decay: of latent weights.
        decay_vectors: whether `weight_decay` also applies to biases, batch norm, scales and shifts, as torch's
            optimizers do when they are given all parameters at once.

    Returns:
        Non-empty groups `{"params", "weight_decay", "name"}`, named "binary", "other" and "vectors".

    Raises:
        ValueError: a negative decay.
    """
    if weight_decay < 0 or binary_weight_decay < 0:
        raise ValueError(f"weight decay must be >= 0, got {weight_decay} and {binary_weight_decay}")
    latent = {id(p) for p in latent_parameters(model).values()}
    members: dict[str, list[nn.Parameter]] = {BINARY: [], OTHER: [], VECTORS: []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            kind = BINARY if id(parameter) in latent else OTHER if parameter.ndim > 1 else VECTORS
            members[kind].append(parameter)
    decay = {BINARY: binary_weight_decay, OTHER: weight_decay, VECTORS: weight_decay if decay_vectors else 0.0}
    return [
        {"params": parameters, "weight_decay": decay[kind], "name": kind}
        for kind, parameters in members.items()
        if parameters
    ]
