"""Bitwise Neural Networks: tanh networks whose weights, biases and activations become signs."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bitwisenn",
        title="Bitwise Neural Networks",
        authors="Kim, Smaragdis",
        year=2015,
        venue="ICML 2015 workshop; arXiv 2016",
        arxiv="1601.06071",
        summary="tanh of weights and activations first, then signs with an unchanged gradient; zeros on demand",
        binarizes=("weights", "biases", "activations"),
        weight_scale="none",
        packable="yes; with sparsity a second plane of weights",
        formula={
            "weight": "stage float: tanh(w); then +1 if w > beta, -1 if w < -beta, else 0; beta from the sparsity",
            "weight gradient": "g",
            "activation": "stage float: tanh(x); then bsign(x)",
            "activation gradient": "g",
            "bias": "stage float: tanh(b); then bsign(b)",
        },
        stages=("float", "full"),
        requires={"two stages": "a tanh network (stage 'float') first, whose weights start the bitwise one"},
        block="linear, sign; no batch norm; all layers binary",
        provenance={"weight": "paper read", "activation": "paper read", "bias": "paper read", "init": "ours"},
        notes="The paper does not say whether weights are binarized anew per batch or per epoch: here in every "
        "forward. Biases are binary: build layers with bias=True.",
    )
)
def bitwisenn(*, sparsity: float = 0.0, estimator: EstimatorSpec = "identity") -> MethodParts:
    """Weights +1, -1 or (a share `sparsity` of them) 0; biases and activations `bsign`; all gradients unchanged.

    Args:
        sparsity: share of weights that become 0, per layer.
        estimator: backward rule of the activations.
    """
    return MethodParts(
        weight={"kind": "bitwise", "sparsity": sparsity},
        activation={"kind": "sign", "estimator": estimator, "real": "tanh"},
    )
