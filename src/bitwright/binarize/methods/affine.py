"""Uniform affine quantization: a scale and a zero point, from ranges."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="affine",
        title="Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
        authors="Jacob, Kligys, Chen, Zhu, Tang, Howard, Adam, Kalenichenko",
        year=2018,
        venue="CVPR 2018",
        arxiv="1712.05877",
        summary="k-bit weights and activations with scale and zero point: the common integer quantization",
        binarizes=("weights", "activations"),
        weight_scale="range / (2^k - 1), per filter or layer",
        weight_bits="1 to 8",
        activation_bits="2 to 8",
        packable="yes; k + 1 planes of weights (1 with w_bits=1), k planes of activations and a constant if signed; "
        "dynamic=True is onnx only: a scale per sample",
        formula={
            "weight": "s (q - z), q = clamp(round(w/s) + z, 0, 2^k - 1)",
            "weight gradient": "g",
            "activation": "s (q - z), q = clamp(rint(x/s + z), 0, 2^k - 1)",
            "activation gradient": "g inside the range",
        },
        requires={"data batch": "static ranges of activations come from the first batch"},
        block="any",
        departs={"two values": "weights have 2^k values"},
        provenance={"weight": "secondary", "activation": "secondary", "1-bit weight": "ours"},
        notes="The baseline that binary layers are mixed with: W1A8 is w_bits=1. The paper's running averages of "
        "ranges are replaced by the range of the first batch (static) or of every sample (dynamic).",
    )
)
def affine(
    *,
    w_bits: int = 8,
    a_bits: int = 8,
    per_channel: bool = True,
    symmetric: bool = True,
    signed: bool = True,
    dynamic: bool = False,
) -> MethodParts:
    """Weights and activations `s (q - z)`.

    Args:
        w_bits: 1 (mean|w| times the sign), 2 to 8, or 32 (real weights).
        a_bits: 2 to 8, or 32 (real activations).
        per_channel: a range of weights for every filter.
        symmetric: weights: a range around 0.
        signed: activations keep negative values.
        dynamic: a range of activations for every sample.
    """
    weight: dict[str, Any] = {"kind": "affine", "bits": w_bits, "per_channel": per_channel, "symmetric": symmetric}
    if w_bits == 1:
        weight = {"kind": "sign", "scale": "filter", "gradient": "scaled", "estimator": "clipped"}
    elif w_bits == 32:
        weight = {"kind": "real"}
    activation = {"kind": "affine", "bits": a_bits, "signed": signed, "dynamic": dynamic}
    return MethodParts(weight=weight, activation=None if a_bits == 32 else activation)
