"""TTQ: ternary weights with two learned scales."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="ttq",
        title="Trained Ternary Quantization",
        authors="Zhu, Han, Mao, Dally",
        year=2017,
        venue="ICLR 2017",
        arxiv="1612.01064",
        summary="weights -W_n, 0, W_p with learned W_p and W_n per layer",
        binarizes=("weights",),
        weight_scale="W_p and W_n, learned, one each a layer",
        weight_bits="ternary",
        activation_bits="32",
        packable="yes; three planes of weights (one constant), the input stays real",
        learned=("W_p and W_n per layer",),
        formula={
            "weight": "W_p where w > delta, -W_n where w < -delta, else 0; delta = 0.05 max|w| of the layer",
            "weight gradient": "W_p g, W_n g and g in the three regions; W_p: sum of g, W_n: minus the sum of g",
            "activation": "x",
        },
        requires={"pretrained": "the paper starts from a trained float network"},
        block="convolution, batch norm, ReLU; first and last layer real",
        departs={
            "two values": "weights are ternary",
            "scale equivariance": "the two scales are learned, not computed from the weights",
        },
        provenance={"weight": "secondary", "weight gradient": "secondary", "init": "ours"},
        notes="The gradient of W_n is the derivative of the value; public code differs in its sign, or takes means.",
    )
)
def ttq(*, ratio: float = 0.05) -> MethodParts:
    """Weights `W_p` where `w > delta`, `-W_n` where `w < -delta`, else 0; inputs stay real.

    Args:
        ratio: delta over max|w|.
    """
    return MethodParts(weight={"kind": "trained_ternary", "ratio": ratio}, activation=None)
