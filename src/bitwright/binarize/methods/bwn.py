"""BWN, XNOR-Net's sibling with real activations."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.methods.xnornet import weight_part


@register_method(
    MethodInfo(
        name="bwn",
        title="XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks (Binary-Weight-Networks)",
        authors="Rastegari, Ordonez, Redmon, Farhadi",
        year=2016,
        venue="ECCV 2016",
        arxiv="1603.05279",
        summary="per-filter mean-absolute scale, real activations",
        binarizes=("weights",),
        weight_scale="mean |w| per filter (after centring)",
        activation_bits="32",
        packable="yes; the input stays real, so a convolution with unpacked weights runs",
        formula={
            "weight": "alpha bsign(v), v = w - mean over the input channels, alpha = mean|v| of the filter",
            "weight gradient": "to v: alpha g 1{|v| <= 1} + sign(v)/n sum(g sign(v)), then through the centring",
            "activation": "x",
        },
        block="convolution, batch norm, ReLU, max pool; first and last layer real",
        provenance={
            "weight": "paper read",
            "weight gradient": "code read",
            "centring": "code read",
            "init": "code read",
        },
        notes="As xnornet with activation=None; the same choices of gradient and centring.",
    )
)
def bwn(*, gradient: str = "b", center: bool = True) -> MethodParts:
    """Weights `alpha bsign(w)`, alpha = mean|w| of each filter; inputs stay real.

    Args:
        gradient: weight gradient, "a", "b", "c" or "d" as in xnornet.
        center: subtract the mean over the input channels first (official code).
    """
    return MethodParts(weight=weight_part("bwn", gradient, center), activation=None, init="he")
