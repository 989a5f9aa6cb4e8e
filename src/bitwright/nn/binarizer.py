"""Binarizers that stand alone: RSign, and activation binarizers used as modules outside of a binary layer."""

from __future__ import annotations

from bitwright.binarize.activations import ActivationBinarizer
from bitwright.binarize.codes import ActivationCode, NotPackableError
from bitwright.nn.shifts import RSign

Binarizer = RSign | ActivationBinarizer


def binarizer_code(module: Binarizer) -> tuple[ActivationCode, int]:
    """What its eval forward computes: the levels 1 and `low` of one comparison, and the axis of the threshold.

    A scale of the activation is not part of it: layers apply that, an activation binarizer does not.

    Raises:
        NotPackableError: several bit planes, or the training stage is "float", where nothing is binary.
    """
    activation = module.activation if isinstance(module, RSign) else module
    if isinstance(module, RSign) and module.stage == "float":
        raise NotPackableError(
            "the binarizer is in stage 'float', where its output is real; train it in stage 'activations' or 'full' "
            "first (bitwright.binarize.set_stage(model, 'full'))"
        )
    if activation.planes != 1:
        raise NotPackableError(
            f"{type(activation).__name__} has {activation.planes} bit planes, the packed format holds one; use a 1-bit "
            "activation"
        )
    (code,) = activation.codes()
    if isinstance(module, RSign):
        return code, module.channel_dim
    # counted from the end, as LayerShape.per_channel does
    return code, -1 - (len(activation.shape.kernel_size) if activation.shape.channel_dim == 1 else 0)
