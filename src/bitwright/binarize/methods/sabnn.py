"""SA-BNN: a gradient coefficient of its own for each of the two states."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.registry import UnknownNameError

_TARGETS = ("activations", "weights", "both")


@register_method(
    MethodInfo(
        name="sabnn",
        title="SA-BNN: State-Aware Binary Neural Network",
        authors="Liu, Chen, Zhuang, Shen, Zhang, Ding",
        year=2021,
        venue="AAAI 2021",
        arxiv="",
        summary="clipped straight-through with one gradient coefficient for -1 and another for +1, learned per layer",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        learned=("two gradient coefficients per layer (training only)",),
        formula={
            "weight": "alpha bsign(w), alpha = mean|w| of each filter",
            "weight gradient": "alpha g 1{|w| <= 1}; target='weights': times tau_- where w < 0, tau_+ elsewhere",
            "activation": "bsign(x)",
            "activation gradient": "g tau_- on [-1, 0), g tau_+ on [0, 1]",
        },
        block="Bi-Real Net's",
        provenance={
            "weight": "reconstruction",
            "weight gradient": "reconstruction",
            "activation": "reconstruction",
            "init": "ours",
        },
        notes="Only the abstract is known for certain: independent gradient coefficients for the two states, because "
        "equal ones make weights flip too often. Where they act, that they are learned and how they enter the "
        "forward (a piecewise linear primitive behind the sign) are ours: target and learned choose. The author list "
        "was not checked.",
    )
)
def sabnn(*, minus: float = 1.0, plus: float = 1.0, learned: bool = True, target: str = "activations") -> MethodParts:
    """Weights `mean|w| bsign(w)`; activations `bsign(x)`; the state-aware gradient where `target` says.

    Args:
        minus, plus: the coefficients of the states -1 and +1 (at the start, where they are learned).
        learned: they are parameters of the layer.
        target: "activations", "weights" or "both"; the other one has the clipped straight-through gradient.
    """
    if target not in _TARGETS:
        raise UnknownNameError("target of method 'sabnn'", target, _TARGETS)
    aware: dict[str, Any] = {"name": "stateaware", "minus": minus, "plus": plus, "learned": learned}
    weight: EstimatorSpec = aware if target in ("weights", "both") else "clipped"
    activation: EstimatorSpec = aware if target in ("activations", "both") else "clipped"
    return MethodParts(
        weight={"kind": "sign", "estimator": weight, "scale": "filter", "gradient": "scaled"},
        activation={"kind": "sign", "estimator": activation},
    )
