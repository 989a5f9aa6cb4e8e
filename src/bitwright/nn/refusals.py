"""Why a layer cannot be packed as one plane of weights: the texts of `NotPackableError`."""

from __future__ import annotations

from bitwright.binarize.method import method_info


def two_factors(method: str) -> str:
    """A factored weight."""
    return (
        f"method {method}: the weight is a product of two sign matrices, the packed format of one layer holds "
        "one; binary_terms() gives both"
    )


def one_of_several(method: str) -> str:
    """A weight that samples choose."""
    return (
        f"method {method}: every sample uses one of several sign tensors, the packed format of one layer "
        "holds one; binary_terms() gives all of them"
    )


def many_planes(method: str, name: str, part: str, planes: int) -> str:
    """No plane, or more than one.

    Args:
        method: with its options.
        name: in the registry.
        part: "weight" or "activation".
        planes: how many bit planes it has; 0 if bits cannot express it.
    """
    if planes == 0:
        kind, _, why = method_info(name).packable.partition(": ")
        return f"method {method}: the {part} cannot be expressed by bits" + (f": {why}" if kind == "no" else "")
    return f"method {method}: the {part} has {planes} bit planes, the packed format holds one; use a 1-bit {part}"
