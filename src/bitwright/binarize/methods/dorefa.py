"""DoReFa-Net: k-bit weights, activations and gradients; by default 1-bit weights and {0,1} activations."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="dorefa",
        title="DoReFa-Net: Training Low Bitwidth Convolutional Neural Networks with Low Bitwidth Gradients",
        authors="Zhou, Wu, Ni, Zhou, Wen, Zou",
        year=2016,
        venue="arXiv 2016",
        arxiv="1606.06160",
        summary="one scale a layer, activations 0 or 1 with threshold 1/2; k-bit weights, activations, gradients",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| of the layer",
        packable="yes; k-bit activations are k bit planes, k-bit weights are k weight planes",
        formula={
            "weight": "mean|w| of the layer times bsign(w); k bits: 2 quantize_k(tanh w / 2 max|tanh w| + 1/2) - 1",
            "weight gradient": "1 bit: g; k bits: g through tanh and the maximum",
            "activation": "quantize_k(clip(x, 0, 1)), quantize_k(r) = round((2^k - 1) r) / (2^k - 1)",
            "activation gradient": "g 1{0 <= x <= 1}",
            "gradient": "2m (quantize_k(g / 2m + 1/2 + noise) - 1/2), m = max|g| of the sample",
        },
        block="convolution, batch norm, max pool, clip to [0, 1]",
        provenance={"weight": "code read", "activation": "code read", "gradient": "code read", "init": "ours"},
        notes="Rounding is half to even, so an activation of exactly 0.5 becomes 0. The default g_bits=32 leaves "
        "gradients alone.",
    )
)
def dorefa(
    *, w_bits: int = 1, a_bits: int = 1, g_bits: int = 32, detach_max: bool = False, noise: bool = True
) -> MethodParts:
    """Weights `mean|w| bsign(w)` (mean over the layer, gradient unchanged); activations `round(clip(x, 0, 1))`.

    Args:
        w_bits: 1, 2 to 8, or 32 (real weights).
        a_bits: 1 to 8, or 32 (real activations).
        g_bits: bits of the gradient at the layer's output, 1 to 8, or 32.
        detach_max: k-bit weights: no gradient through the maximum (Larq); the authors' code has it.
        noise: stochastic rounding of the gradient.
    """
    weight: dict[str, Any]
    if w_bits == 1:
        weight = {"kind": "sign", "estimator": "identity", "scale": "layer", "gradient": "ste"}
    elif w_bits == 32:
        weight = {"kind": "real"}
    elif 2 <= w_bits <= 8:
        weight = {"kind": "uniform", "bits": w_bits, "detach_max": detach_max}
    else:
        raise ValueError(f"dorefa: w_bits must be 1 to 8, or 32 for real weights, got {w_bits}")
    if a_bits != 32 and not 1 <= a_bits <= 8:
        raise ValueError(f"dorefa: a_bits must be 1 to 8, or 32 for real activations, got {a_bits}")
    if g_bits != 32 and not 1 <= g_bits <= 8:
        raise ValueError(f"dorefa: g_bits must be 1 to 8, or 32 for real gradients, got {g_bits}")
    return MethodParts(
        weight=weight,
        activation=None if a_bits == 32 else {"kind": "uniform", "bits": a_bits},
        output=None if g_bits == 32 else {"kind": "gradient_bits", "bits": g_bits, "noise": noise},
    )
