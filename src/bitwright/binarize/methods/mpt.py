"""MPT: binary subnetworks of random networks."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="mpt",
        title="Multi-Prize Lottery Ticket Hypothesis: Finding Accurate Binary Neural Networks by Pruning A Randomly "
        "Weighted Network",
        authors="Diffenderfer, Kailkhura",
        year=2021,
        venue="ICLR 2021",
        arxiv="2103.09377",
        summary="weights are random and fixed; learned scores choose which of them stay, as -alpha or alpha",
        binarizes=("weights", "activations"),
        weight_scale="mean |W| of the kept weights, one number a layer",
        weight_bits="ternary",
        packable="yes; two planes of weights",
        formula={
            "weight": "alpha M bsign(W), M = 1 for the share `keep` of largest |S| in the layer, alpha = mean|W| there",
            "weight gradient": "scores S: g W sign(S); W: none",
            "activation": "bsign(x); activations='real': x",
            "activation gradient": "g max(0, 2 - 2|x|)",
        },
        block="convolution, batch norm without (or '+BN' with) learned factors, sign; first and last layer too",
        compat={"authors_alpha": "alpha divides by int(keep n) where n - int((1 - keep) n) weights are kept"},
        departs={"two values": "weights that are not chosen are 0"},
        provenance={"weight": "code read", "activation": "code read", "init": "code read"},
        notes="The authors' prune_rate is the share that is kept. Their initialisation divides by the pruned "
        "share 1 - keep; theory_init=True takes the kept one. In a converted network the float weights become W.",
    )
)
def mpt(
    *,
    keep: float = 0.5,
    activations: str = "sign",
    authors_alpha: bool = False,
    theory_init: bool = False,
    constant: bool = False,
) -> MethodParts:
    """Weights `alpha M bsign(W)` with fixed W; activations `bsign(x)` (MPT-1/1) or real (MPT-1/32).

    Args:
        keep: share of the weights that stay.
        activations: "sign" or "real".
        authors_alpha: the authors' divisor of alpha.
        theory_init: variance of W by the kept share.
        constant: W is ± one number.
    """
    if activations not in ("real", "sign"):
        raise ValueError(f"mpt: activations must be 'real' or 'sign', got {activations!r}")
    return MethodParts(
        weight={
            "kind": "ticket",
            "keep": keep,
            "authors_alpha": authors_alpha,
            "theory_init": theory_init,
            "constant": constant,
        },
        activation=None if activations == "real" else {"kind": "sign", "estimator": "approxsign"},
    )
