"""LAB: the scale of the weights minimises a second-order model of the loss."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="lab",
        title="Loss-aware Binarization of Deep Networks",
        authors="Hou, Yao, Kwok",
        year=2017,
        venue="ICLR 2017",
        arxiv="1611.01600",
        summary="one scale a layer, weighted by curvatures from the squared gradients of earlier steps",
        binarizes=("weights",),
        weight_scale="sum(d |w|) / sum(d) of the layer, d = sqrt(v) + eps",
        activation_bits="32",
        packable="yes; the input stays real, so a convolution with unpacked weights runs; activations='sign': bits",
        formula={
            "weight": "alpha bsign(w), alpha = sum(d |w|) / sum(d), d = sqrt(v) + 1e-8",
            "weight gradient": "g, and w is clipped to [-1, 1] after every step; v <- 0.999 v + 0.001 g^2",
            "activation": "x; activations='sign': bsign(x)",
            "activation gradient": "activations='sign': g 1{|x| <= 1}",
        },
        requires={
            "loss": "squared hinge loss in the paper (bitwright.train.squared_hinge_loss; recipes: model.label_loss)",
            "optimizer": "Adam; before_step(model) at every step",
        },
        block="convolution, max pool, batch norm, activation; all layers binary",
        provenance={"weight": "code read", "weight gradient": "code read", "init": "code read"},
        notes="The curvature is kept in the layer (buffer second_moment), so any optimizer works; it is what Adam's "
        "uncorrected second moment would be. Before the first step alpha is mean|w|.",
    )
)
def lab(*, activations: str = "real", granularity: str = "layer", beta: float = 0.999) -> MethodParts:
    """Weights `alpha bsign(w)` with the loss-aware alpha; activations real (LAB) or `bsign(x)` (LAB2).

    Args:
        activations: "real" or "sign".
        granularity: of alpha: "layer" (paper) or "filter".
        beta: decay of the squared gradients' mean.
    """
    if activations not in ("real", "sign"):
        raise ValueError(f"lab: activations must be 'real' or 'sign', got {activations!r}")
    return MethodParts(
        weight={"kind": "loss_aware", "granularity": granularity, "beta": beta},
        activation=None if activations == "real" else {"kind": "sign", "estimator": "clipped"},
        init="glorot_uniform",
    )
