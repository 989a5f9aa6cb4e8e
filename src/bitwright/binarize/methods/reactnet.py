"""ReActNet: per-channel learned activation thresholds, mean-absolute weight scale."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="reactnet",
        title="ReActNet: Towards Precise Binary Neural Network with Generalized Activation Functions",
        authors="Liu, Shen, Savvides, Cheng",
        year=2020,
        venue="ECCV 2020",
        arxiv="2003.03488",
        summary="learned threshold per channel (RSign), per-filter mean-absolute scale; blocks add RPReLU",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        learned=("activation shift per input channel",),
        stages=("activations", "full"),
        formula={
            "weight": "mean|w| of the filter times bsign(w)",
            "weight gradient": "g 1{|w| <= 1}",
            "activation": "bsign(x + b), b learned per channel",
            "activation gradient": "g max(0, 2 - 2|x + b|)",
        },
        requires={
            "two stages": "binary activations with real weights first, then everything binary",
            "teacher": "only the distribution loss against a real-valued ResNet-34",
        },
        block="bitwright.nn.RPReLU behind the shortcut of every convolution",
        provenance={"weight": "code read", "activation": "code read", "init": "ours"},
        notes="The weight gradient is not multiplied by the scale (code). The authors start from U(0, 0.001), all "
        "signs +1: init='tiny_positive'. RPReLU belongs to the block: bitwright.nn.RPReLU.",
    )
)
def reactnet(*, estimator: EstimatorSpec = "approxsign", weight_estimator: EstimatorSpec = "clipped") -> MethodParts:
    """Weights `mean|w| bsign(w)` with gradient `g 1{|w| <= 1}`; activations `bsign(x + b)`, b learned per channel.

    Args:
        estimator: backward rule of the activations.
        weight_estimator: backward rule of the weights.
    """
    return MethodParts(
        weight={"kind": "sign", "estimator": weight_estimator, "scale": "filter", "gradient": "ste"},
        activation={"kind": "sign", "estimator": estimator, "shift": "channel"},
    )
