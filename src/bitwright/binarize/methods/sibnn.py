"""Si-BNN: activations of 0 and 1, whose zeros make the network sparse."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="sibnn",
        title="Sparsity-Inducing Binarized Neural Networks",
        authors="Wang, He, Li, Zhao, Cheng",
        year=2020,
        venue="AAAI 2020",
        arxiv="",
        summary="activations 0 or 1 with a learned threshold per channel and a half-range window for the gradient",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter, |w| <= 1",
        learned=("activation threshold and steepness per input channel",),
        packable="yes: {0,1} by ±1 counts with AND; one more count of the input's ones serves all filters",
        formula={
            "weight": "alpha bsign(w), alpha = mean|w| of each filter, w clamped to [-1, 1] after every step",
            "weight gradient": "(1 - 1/n) g 1{|w| <= 1} + sign(w)/n sum(g sign(w))",
            "activation": "1 if x >= b_c else 0",
            "activation gradient": "g |s_c| 1{-0.3 < z < 1}, z = (x - b_c) |s_c|",
        },
        provenance={
            "weight": "code read",
            "weight gradient": "code read",
            "activation": "code read",
            "init": "code read",
        },
        notes="The authors' code has sign(0) = 0, so an activation of 1/2; here it is 1. It multiplies by s_c itself; "
        "here by |s_c|, so that training cannot turn a comparison around. Weights start from N(0, 1/n^2): the "
        "standard deviation is 1/n. learned=False: thresholds stay at 0, the AAAI paper's version.",
    )
)
def sibnn(*, estimator: EstimatorSpec = "halfrange", learned: bool = True) -> MethodParts:
    """Weights `alpha bsign(w)`; activations 1 where `x >= b`, else 0.

    Args:
        estimator: backward rule of the activations.
        learned: threshold b and steepness s per channel are parameters; False: b = 0, s = 1.
    """
    return MethodParts(
        weight={
            "kind": "sign",
            "estimator": "clipped",
            "scale": "filter",
            "gradient": "projected",
            "latent_range": (-1.0, 1.0),
        },
        activation=(
            {"kind": "threshold", "estimator": estimator}
            if learned
            else {"kind": "sign", "estimator": estimator, "low": 0.0}
        ),
        init="normal_fan_in",
    )
