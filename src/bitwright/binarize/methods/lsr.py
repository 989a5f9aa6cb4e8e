"""BiPointNet's layer-wise scale recovery."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="lsr",
        title="BiPointNet: Binary Neural Network for Point Clouds",
        authors="Qin, Cai, Zhang, Ding, Zhao, Yi, Liu, Su",
        year=2021,
        venue="ICLR 2021",
        arxiv="2010.05501",
        summary="weights centred over the layer; one learned scale a layer, started from the first batch",
        binarizes=("weights", "activations"),
        weight_scale="one learned number per layer",
        learned=("scale per layer",),
        formula={
            "weight": "bsign(w - mean of the layer's w)",
            "weight gradient": "g 1{|w - mean| <= 1}, then through the centring",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
            "output": "alpha y; alpha starts at std(real result) / std(binary result)",
        },
        requires={"data batch": "initialize_from_data(model, batch) before the optimizer is made"},
        provenance={"weight": "code read", "activation": "code read", "output": "code read", "init": "ours"},
        notes="The authors' code makes alpha in the first forward; unless that runs before the optimizer is made, "
        "alpha never trains (in their vanilla configuration it does not). Here it always exists and is 1 until "
        "initialize_from_data sets it.",
    )
)
def lsr(*, start: str = "data", estimator: EstimatorSpec = "clipped") -> MethodParts:
    """Weights: the sign of the weight centred over the layer; activations `bsign(x)`; one learned scale.

    Args:
        start: "data" or "ones": where the scale starts.
        estimator: backward rule of weights and activations.
    """
    return MethodParts(
        weight={"kind": "sign", "estimator": estimator, "center": "layer", "scale": "none", "gradient": "ste"},
        activation={"kind": "sign", "estimator": estimator},
        output={"kind": "layer_scale", "start": start},
    )
