"""BiBERT: rows of weights centred before the sign; ±1 inputs, and {0,1} inputs for attention."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.registry import UnknownNameError

_LEVELS = ("sign", "bool")


@register_method(
    MethodInfo(
        name="bibert",
        title="BiBERT: Accurate Fully Binarized BERT",
        authors="Qin, Ding, Zhang, Yan, Liu, Dang, Liu, Liu",
        year=2022,
        venue="ICLR 2022",
        arxiv="2203.06390",
        summary="weights centred per row, scale of the uncentred row; bool attention without softmax",
        binarizes=("weights", "activations", "embeddings"),
        weight_scale="mean |w| per row, of the weight before centring",
        formula={
            "weight": "mean|w| bsign(w - mean(w)), per row",
            "weight gradient": "g 1{|w - mean| <= 1}, then through the centring",
            "activation": "bsign(x); attention scores: 1 if x >= 0 else 0",
            "activation gradient": "g 1{|x| <= 1}; attention scores: g 1{|x| < 1}",
        },
        requires={
            "pretrained": "student and teacher start from the fine-tuned full-precision DynaBERT of the task",
            "teacher": "direction-matching distillation of queries, keys, values and hidden states",
        },
        block="linear layers of a transformer; bool(Q_b K_b^T) V_b instead of softmax attention",
        provenance={"weight": "code read", "activation": "code read", "bool": "paper read", "init": "ours"},
        notes="Bool attention: levels='bool' gives a layer {0,1} inputs with threshold 0. The authors' code leaves an "
        "exact 0 at 0, the paper makes it 1, as here; with even inner products zeros are frequent.",
    )
)
def bibert(*, levels: str = "sign", gradient: str = "ste", estimator: EstimatorSpec = "clipped") -> MethodParts:
    """Weights `mean|w| bsign(w - mean)` per row; activations ±1, or {0,1} as BiBERT's attention.

    Args:
        levels: "sign" or "bool", the input's levels.
        gradient: of weights: "ste", or "scaled" (times the scale).
        estimator: backward rule of weights and ±1 activations.
    """
    if levels not in _LEVELS:
        raise UnknownNameError("levels of method 'bibert'", levels, _LEVELS)
    activation: dict[str, Any] = {"kind": "sign", "estimator": estimator}
    if levels == "bool":
        activation = {"kind": "sign", "low": 0.0, "estimator": {"name": "clipped", "strict": True}}
    return MethodParts(
        weight={"kind": "row_centred", "estimator": estimator, "gradient": gradient}, activation=activation
    )
