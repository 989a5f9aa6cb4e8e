"""Bi-Real Net: approximate sign for activations, magnitude-aware weight gradient."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.registry import UnknownNameError

_GRADIENTS: dict[str, dict[str, Any]] = {
    "paper": {"gradient": "scaled", "estimator": {"name": "clipped", "strict": True}},
    "pytorch": {"gradient": "ste", "estimator": "clipped"},
    "caffe": {"gradient": "ste", "estimator": "identity"},
}


@register_method(
    MethodInfo(
        name="bireal",
        title="Bi-Real Net: Enhancing the Performance of 1-bit CNNs with Improved Representational Capability and "
        "Advanced Training Algorithm",
        authors="Liu, Wu, Luo, Yang, Liu, Cheng",
        year=2018,
        venue="ECCV 2018",
        arxiv="1808.00278",
        summary="triangular gradient for activations, magnitude-aware gradient for weights, a shortcut per convolution",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        stages=("float", "full"),
        formula={
            "weight": "alpha bsign(w), alpha = mean|w| of the filter",
            "weight gradient": "g alpha 1{|w| < 1}",
            "activation": "bsign(x)",
            "activation gradient": "g max(0, 2 - 2|x|)",
        },
        requires={
            "pretrained": "the paper starts from a real-valued network (ReLU, then clip); its PyTorch code does not"
        },
        block="sign, convolution, batch norm, with a shortcut around every convolution",
        provenance={"weight": "paper read", "weight gradient": "paper read", "activation": "code read", "init": "ours"},
        notes="The paper multiplies the weight gradient by the scale; the authors' PyTorch code does not, their Caffe "
        "code has no mask either: weight_gradient='pytorch' or 'caffe'. The shortcuts belong to the network.",
    )
)
def bireal(*, weight_gradient: str = "paper", estimator: EstimatorSpec = "approxsign") -> MethodParts:
    """Weights `alpha bsign(w)`, alpha = mean|w| of each filter, a constant for the gradient; activations `bsign(x)`.

    Args:
        weight_gradient: "paper" `g alpha 1{|w| < 1}`, "pytorch" `g 1{|w| <= 1}`, "caffe" `g`.
        estimator: backward rule of the activations.
    """
    if weight_gradient not in _GRADIENTS:
        raise UnknownNameError("weight_gradient of method 'bireal'", weight_gradient, _GRADIENTS)
    return MethodParts(
        weight={"kind": "sign", "scale": "filter", **_GRADIENTS[weight_gradient]},
        activation={"kind": "sign", "estimator": estimator},
    )
