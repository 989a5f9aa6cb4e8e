"""TBN: ternary inputs, binary weights."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="tbn",
        title="TBN: Convolutional Neural Network with Ternary Inputs and Binary Weights",
        authors="Wan, Shen, Liu, Zhu, Qin, Shao, Shen",
        year=2018,
        venue="ECCV 2018",
        arxiv="",
        summary="inputs -1, 0, 1 with a threshold from their mean; per-filter mean-absolute scale",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        activation_bits="ternary",
        packable="onnx only: two planes of inputs, compared after a division by the mean |x| of every sample",
        formula={
            "weight": "mean|w| of the filter times bsign(w)",
            "weight gradient": "mean|w| g 1{|w| <= 1}",
            "activation": "1 if x >= delta, -1 if x <= -delta, else 0; delta = 0.4 mean|x| of the sample",
            "activation gradient": "g 1{|x| <= 1}",
        },
        block="batch norm, ternary, convolution",
        provenance={
            "weight": "secondary",
            "activation": "secondary",
            "activation gradient": "code read",
            "init": "ours",
        },
        notes="The released second version has ratio 0.5, a running mean at test time and outputs scaled by 2 delta; "
        "here the mean is the sample's own in training and inference.",
    )
)
def tbn(*, ratio: float = 0.4, estimator: EstimatorSpec = "clipped") -> MethodParts:
    """Weights `mean|w| bsign(w)`; activations ternary with the threshold `ratio * mean|x|`.

    Args:
        ratio: delta over mean|x|.
        estimator: backward rule of the activations.
    """
    return MethodParts(
        weight={"kind": "sign", "scale": "filter", "gradient": "scaled", "estimator": "clipped"},
        activation={"kind": "ternary", "ratio": ratio, "estimator": estimator},
    )
