"""TWN: ternary weights with the least-squares scale."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="twn",
        title="Ternary Weight Networks",
        authors="Li, Zhang, Liu",
        year=2016,
        venue="NIPS 2016 workshop",
        arxiv="1605.04711",
        summary="weights -alpha, 0, alpha with the threshold 0.7 mean|w|",
        binarizes=("weights",),
        weight_scale="mean |w| of the weights that are not 0, per filter",
        weight_bits="ternary",
        activation_bits="32",
        packable="yes; two planes of weights, the input stays real",
        formula={
            "weight": "alpha (1{w > delta} - 1{w < -delta}), delta = 0.7 mean|w|, alpha = mean|w| where |w| > delta",
            "weight gradient": "g",
            "activation": "x",
        },
        block="convolution, batch norm, ReLU",
        departs={"two values": "weights are ternary"},
        provenance={"weight": "secondary", "weight gradient": "secondary", "init": "ours"},
        notes="Per filter as in later versions of the paper and in most code; the first version has one threshold a "
        "layer: granularity='layer'.",
    )
)
def twn(*, ratio: float = 0.7, granularity: str = "filter") -> MethodParts:
    """Weights `alpha` where `w > delta`, `-alpha` where `w < -delta`, else 0; inputs stay real.

    Args:
        ratio: delta over mean|w|.
        granularity: "filter" or "layer".
    """
    return MethodParts(weight={"kind": "ternary", "ratio": ratio, "granularity": granularity}, activation=None)
