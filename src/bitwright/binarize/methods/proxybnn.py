"""ProxyBNN: weights are learned combinations of learned basis vectors."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="proxybnn",
        title="ProxyBNN: Learning Binarized Neural Networks via Proxy Matrices",
        authors="He, Mo, Cheng, Xu, Hu, Wang, Liu, Cheng",
        year=2020,
        venue="ECCV 2020",
        arxiv="",
        summary="the sign of A P: coefficients A times a learned basis P, both trained; P disappears at inference",
        binarizes=("weights", "activations"),
        weight_scale="mean |A P| per filter",
        learned=("basis P [I, I] (or [n, n])",),
        formula={
            "weight": "alpha bsign(W), W = A P, alpha = mean|W| of each filter",
            "weight gradient": "H = g 1{|W| <= 1}; to A: H P^T, to P: A^T H",
            "activation": "bsign(x); levels='01': 1 if x >= center else 0",
            "activation gradient": "g max(0, 2 - 2|x|)",
        },
        provenance={
            "weight": "reconstruction",
            "weight gradient": "reconstruction",
            "activation": "reconstruction",
            "init": "reconstruction",
        },
        notes="The abstract says that both the basis and the coefficients are learned. No code is public: where P acts "
        "(on the input channels, since n can be thousands), its start (the identity: the first forward is that of "
        "the layer without P), the scale and the estimators are ours. P takes no weight decay; centre or standardise "
        "A P by weight={'kind': 'sign', ...} of another method if it drifts out of the window.",
    )
)
def proxybnn(
    *, axis: str = "input", start: str = "identity", estimator: EstimatorSpec = "approxsign", levels: str = "pm1"
) -> MethodParts:
    """Weights `mean|A P| bsign(A P)`; activations `bsign(x)`, or 0 and 1 as in Si-BNN.

    Args:
        axis: P mixes the "input" channels at each kernel position, or all weights of a "filter".
        start: P at the start: "identity" or "orthogonal".
        estimator: backward rule of ±1 activations.
        levels: "pm1" (±1) or "01" (Si-BNN's activations, with their own backward rule).
    """
    if levels not in ("pm1", "01"):
        raise ValueError(f"levels of the activations must be 'pm1' or '01', got {levels!r}")
    activation: dict[str, Any] = {"kind": "sign", "estimator": estimator}
    return MethodParts(
        weight={"kind": "proxy", "axis": axis, "start": start, "scale": "filter", "gradient": "ste"},
        activation=activation if levels == "pm1" else {"kind": "threshold", "low": 0.0},
    )
