"""BiDet: least-squares weights whose scale is differentiated, triangular gradient of activations."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bidet",
        title="BiDet: An Efficient Binarized Object Detector",
        authors="Wang, Wu, Lu, Zhou",
        year=2020,
        venue="CVPR 2020",
        arxiv="2003.03961",
        summary="scale inside the graph, triangular activation gradient; information bottleneck, sparse object prior",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        formula={
            "weight": "alpha bsign(w), alpha = mean|w| of the filter",
            "weight gradient": "alpha g + bsign(w) mean(g bsign(w))",
            "activation": "bsign(x)",
            "activation gradient": "g max(0, 2 - 2|x|)",
        },
        requires={
            "loss": "after the first decay of the learning rate: 0.1 mean of squared feature maps, and 0.2 times the "
            "entropy of surplus detections (SSD weights)",
            "pretrained": "a backbone trained on ImageNet",
        },
        block="binary convolution padded with -1, batch norm, shortcut ('SC'); heads predict a mean and a variance",
        provenance={"weight": "code read", "activation": "code read", "padding": "code read", "init": "ours"},
        notes="Maps are padded with -1: build layers with pad_value=-1. The losses belong to the detector.",
    )
)
def bidet(*, estimator: EstimatorSpec = "approxsign") -> MethodParts:
    """Weights `mean|w| bsign(w)` with the exact gradient of the scale; activations `bsign(x)`.

    Args:
        estimator: backward rule of the activations.
    """
    return MethodParts(
        weight={"kind": "sign", "scale": "filter", "gradient": "exact", "estimator": "identity"},
        activation={"kind": "sign", "estimator": estimator},
    )
