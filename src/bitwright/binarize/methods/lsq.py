"""LSQ: k bits with learned steps."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="lsq",
        title="Learned Step Size Quantization",
        authors="Esser, McKinstry, Bablani, Appuswamy, Modha",
        year=2020,
        venue="ICLR 2020",
        arxiv="1902.08153",
        summary="k-bit weights and activations, one learned step each",
        binarizes=("weights", "activations"),
        weight_scale="learned step, one a layer",
        weight_bits="2 to 8",
        activation_bits="2 to 8",
        packable="yes; k planes of activations, k + 1 planes of weights (1 with w_bits=1)",
        learned=("weight step", "activation step"),
        formula={
            "weight": "s round(clamp(w/s, -2^(k-1), 2^(k-1) - 1))",
            "weight gradient": "g inside; s: 1/sqrt(n Q_p) sum of g (q - w/s inside, q outside)",
            "activation": "s rint(clamp(x/s, 0, 2^k - 1))",
            "activation gradient": "g where 0 < x/s < 2^k - 1; s as for the weights",
        },
        requires={
            "pretrained": "the paper fine-tunes a trained float network",
            "data batch": "the activation's step starts from the first batch",
        },
        block="any; the input of a layer is non-negative unless signed=True",
        departs={
            "two values": "weights have 2^k values",
            "scale equivariance": "the step is learned, not computed from the weights",
        },
        provenance={"weight": "secondary", "activation": "secondary", "init": "secondary", "1-bit weight": "ours"},
        notes="n counts the values of one sample for activations. 1-bit weights are not LSQ's: mean|w| of the filter "
        "times the sign.",
    )
)
def lsq(*, w_bits: int = 2, a_bits: int = 2, signed: bool = False) -> MethodParts:
    """Weights and activations in k bits with learned steps.

    Args:
        w_bits: 1, 2 to 8, or 32 (real weights).
        a_bits: 2 to 8, or 32 (real activations).
        signed: activations keep negative values.
    """
    weight: dict[str, Any] = {"kind": "lsq", "bits": w_bits}
    if w_bits == 1:
        weight = {"kind": "sign", "scale": "filter", "gradient": "scaled", "estimator": "clipped"}
    elif w_bits == 32:
        weight = {"kind": "real"}
    return MethodParts(
        weight=weight, activation=None if a_bits == 32 else {"kind": "lsq", "bits": a_bits, "signed": signed}
    )
