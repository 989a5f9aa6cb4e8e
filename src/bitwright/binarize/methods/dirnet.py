"""DIR-Net: IR-Net's weights, an estimator whose steepness the data holds back."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="dirnet",
        title="Distribution-sensitive Information Retention for Accurate Binary Neural Network",
        authors="Qin, Zhang, Gong, Ding, Xu, Liu",
        year=2022,
        venue="IJCV 131(1), 2023",
        arxiv="2109.12338",
        summary="IR-Net's standardised weights; EDE that never leaves too few elements with a gradient",
        binarizes=("weights", "activations"),
        weight_scale="2^round(log2(mean |w|)) per filter, of the standardised weight",
        needs_epoch=True,
        regularizer="attention maps of the real twin (RBD): attention_loss",
        formula={
            "weight": "2^s bsign(w^), w^ = (w - mean w) / std w, s = round(log2 mean|w^|)",
            "weight gradient": "2^s g DTE(w^), then through the standardisation",
            "activation": "bsign(x)",
            "activation gradient": "g DTE(x)",
            "loss": "CE + lambda sum_l ||q(F_l)/|q(F_l)| - q(T_l)/|q(T_l)|||^2, q the channel sums of squares",
        },
        requires={
            "teacher": "the trained real network of the same stages",
            "loss": "train.attention_loss, form 'square'",
        },
        provenance={
            "weight": "reconstruction",
            "activation": "reconstruction",
            "estimator": "reconstruction",
            "loss": "reconstruction",
            "init": "ours",
        },
        notes="No code of the authors is public. The abstract says balanced, standardised weights, a two-stage "
        "estimator that depends on the distribution, and distillation of the twin's representation; the rule of the "
        "estimator (eps, delta) and the form of the loss are ours, in their spirit. Without the loss this is the "
        "first version of the preprint.",
    )
)
def dirnet(*, t_min: float = 0.1, t_max: float = 10.0, eps: float = 0.1, delta: float = 0.1) -> MethodParts:
    """Weights `2^s bsign(w^)`, w^ the standardised filter, s constant for the gradient; both gradients DTE.

    Args:
        t_min, t_max: t runs from t_min to t_max over the epochs, logarithmically, unless the data holds it back.
        eps: share of a tensor's elements that must keep a slope; 0: IR-Net.
        delta: the slope that they must keep.
    """
    dte: dict[str, Any] = {"name": "dte", "t_min": t_min, "t_max": t_max, "eps": eps, "delta": delta}
    return MethodParts(
        weight={
            "kind": "sign",
            "estimator": dte,
            "center": "filter",
            "standardize": True,
            "scale": "power_of_two",
            "gradient": "scaled",
        },
        activation={"kind": "sign", "estimator": dte},
    )
