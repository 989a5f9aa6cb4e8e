"""AdaBin: weights and activations take two values of their own instead of ±1."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="adabin",
        title="AdaBin: Improving Binary Neural Networks with Adaptive Binary Sets",
        authors="Tu, Chen, Ren, Wang",
        year=2022,
        venue="ECCV 2022",
        arxiv="2208.08084",
        summary="weights beta ± alpha with each filter's mean and spread; activations beta ± alpha learned per layer",
        binarizes=("weights", "activations"),
        weight_scale="standard deviation and mean of each filter",
        weight_bits="1 and a centre",
        activation_bits="1 and a centre",
        learned=("two numbers of the activation per layer",),
        needs_epoch=True,
        packable="yes, and one more count per output position, shared by all filters, and a constant per filter",
        formula={
            "weight": "alpha bsign((w - beta) / alpha) + beta, beta the mean, alpha the standard deviation of a filter",
            "weight gradient": "g EDE of the standardised weight, and through alpha and beta",
            "activation": "alpha bsign(x - beta) + beta",
            "activation gradient": "g max(0, 2 - 2|z|), z = (x - beta) / alpha, and through alpha and beta",
        },
        departs={
            "two values": "the levels of a filter are beta ± alpha, not ±alpha",
            "scale equivariance": "both levels of a filter grow, one of them need not change its sign",
        },
        compat={"offset": "'product' has activations alpha (±1 + beta), as the authors' code returns them"},
        block="shortcut per convolution, Maxout behind each",
        provenance={"weight": "code read", "activation": "code read", "schedule": "code read", "init": "ours"},
        notes="t_min is that of the authors' code. Padding with 0 adds a third value at the border, as theirs does; it "
        "stays exact in bits (borders have their own constants).",
    )
)
def adabin(*, t_min: float = 0.001, t_max: float = 10.0, offset: str = "center") -> MethodParts:
    """Weights `alpha_o bsign(w^) + beta_o`, activations `alpha bsign(x - beta) + beta`.

    Args:
        t_min, t_max: of the weights' EDE: t runs from t_min to t_max over the epochs, logarithmically.
        offset: "center" (paper) or "product" (the authors' code).
    """
    ede: dict[str, Any] = {"name": "ede", "t_min": t_min, "t_max": t_max}
    return MethodParts(
        weight={"kind": "adaptive", "estimator": ede},
        activation={"kind": "adaptive", "estimator": "approxsign", "offset": offset},
    )
