"""DSQ: a quantizer whose gradient is that of soft steps."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="dsq",
        title="Differentiable Soft Quantization: Bridging Full-Precision and Low-Bit Neural Networks",
        authors="Gong, Liu, Jiang, Li, Hu, Lin, Yu, Yan",
        year=2019,
        venue="ICCV 2019",
        arxiv="1908.05033",
        summary="sign or k-bit uniform quantizer with the gradient of tanh steps; optional learned bounds",
        binarizes=("weights", "activations"),
        weight_scale="none (±1); with bounds: their distance, one a layer",
        weight_bits="1, 2 to 8",
        activation_bits="1, 2 to 8",
        packable="yes; with bounds one more count per output position; k-bit weights need k weight planes",
        formula={
            "weight": "bsign(w); with bounds l + D rint((w - l) / D), D = (u - l) / (2^k - 1)",
            "weight gradient": "g s k (1 - tanh^2(k w)) on [-1, 1]; s = 1/(1 - alpha), k = ln(2/alpha - 1) / D",
            "activation": "bsign(x); with bounds as the weight",
            "activation gradient": "as the weight's; with bounds also to l, u and alpha",
            "loss": "with penalty: + penalty alpha^2",
        },
        requires={"data batch": "with bounds: initialize_from_data(model, batch), so that they fit the activations"},
        provenance={"weight": "paper read", "activation": "paper read", "bounds' start": "ours", "init": "ours"},
        notes="The default is the paper's 'binary DSQ' with its fixed alpha = 0.2. bounds=True is the quantizer with "
        "learned l and u (at 1 bit its two levels). With more bits a value in the middle of two levels goes to the "
        "even one, so that deployment is rint(gain x + offset); the paper's sign would take the upper one.",
    )
)
def dsq(
    *,
    w_bits: int = 1,
    a_bits: int = 1,
    bounds: bool = False,
    alpha: float = 0.2,
    learn_alpha: bool = False,
    penalty: float = 0.0,
) -> MethodParts:
    """Weights and activations of 1 to 8 bits, 32: real; more than one bit always has learned bounds.

    Args:
        w_bits, a_bits: 1 to 8, or 32.
        bounds: one bit too has learned levels l and u instead of ±1.
        alpha: distance of the soft steps to true ones, 0 < alpha < 0.5.
        learn_alpha: with bounds: alpha is learned.
        penalty: with bounds: weight of alpha^2 in the loss.
    """
    sizes = {"w_bits": w_bits, "a_bits": a_bits}
    for name, bits in sizes.items():
        if bits != 32 and not 1 <= bits <= 8:
            raise ValueError(f"dsq: {name} must be 1 to 8, or 32 for real values, got {bits}")
    if (learn_alpha or penalty) and not bounds and w_bits in (1, 32) and a_bits in (1, 32):
        raise ValueError("dsq: learn_alpha and penalty belong to quantizers with bounds; give bounds=True")
    soft: dict[str, Any] = {"kind": "soft", "alpha": alpha, "learn_alpha": learn_alpha, "penalty": penalty}
    estimator = {"name": "dsq", "alpha": alpha}
    weight: dict[str, Any] = {"kind": "sign", "estimator": estimator, "scale": "none", "gradient": "ste"}
    activation: dict[str, Any] | None = {"kind": "sign", "estimator": estimator}
    if w_bits == 32:
        weight = {"kind": "real"}
    elif bounds or w_bits > 1:
        weight = {**soft, "bits": w_bits}
    if a_bits == 32:
        activation = None
    elif bounds or a_bits > 1:
        activation = {**soft, "bits": a_bits}
    return MethodParts(weight=weight, activation=activation)
