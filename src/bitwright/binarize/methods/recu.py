"""ReCU: a clamp that moves with the weights' distribution revives dead weights."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.registry import UnknownNameError

_CLAMPS = ("graph", "in_place")


@register_method(
    MethodInfo(
        name="recu",
        title="ReCU: Reviving the Dead Weights in Binary Neural Networks",
        authors="Xu, Lin, Liu, Chen, Shao, Gao, Tian, Ji",
        year=2021,
        venue="ICCV 2021",
        arxiv="2103.12369",
        summary="standardised weights, clamped to a quantile that grows over the epochs; a learned output scale",
        binarizes=("weights", "activations"),
        weight_scale="learned per output channel, starts at U(0, 1)",
        learned=("scale per output channel",),
        needs_epoch=True,
        formula={
            "weight": "bsign(w^), w^ = 2 sqrt(2) (w - mean w) / sqrt(var w + 1e-5) per filter",
            "weight gradient": "g 1{|w^| <= Q}, Q = -mean|w^| ln(2 - 2 tau), then through the standardisation",
            "activation": "bsign(x)",
            "activation gradient": "g max(0, 2 - 2|z|), z = x / std of the sample, then through the division",
            "output": "alpha_o y",
        },
        provenance={"weight": "code read", "activation": "code read", "schedule": "code read", "init": "code read"},
        notes="The clamp changes no sign, so it acts through the gradient alone (code). clamp='in_place' is the other "
        "reading of the paper: the stored weight itself is clamped after every step.",
    )
)
def recu(
    *,
    tau_min: float = 0.85,
    tau_max: float = 0.99,
    clamp: str = "graph",
    estimator: EstimatorSpec = "approxsign",
) -> MethodParts:
    """Weights `bsign` of the standardised filter, identity inside the clamp; a learned scale per output channel.

    Args:
        tau_min, tau_max: tau = A exp(e/E) + C runs from tau_min to tau_max.
        clamp: "graph": part of the differentiated expression (code); "in_place": of the stored weight, after steps.
        estimator: backward rule of the activations.
    """
    if clamp not in _CLAMPS:
        raise UnknownNameError("clamp of method 'recu'", clamp, _CLAMPS)
    quantile: dict[str, Any] = {"name": "recu", "tau_min": tau_min, "tau_max": tau_max}
    return MethodParts(
        weight={
            "kind": "clamped_sign",
            "estimator": quantile,
            "in_place": clamp == "in_place",
        },
        activation={"kind": "sample_scaled_sign", "estimator": estimator},
        output={"kind": "channel_scale", "start": "uniform"},
    )
