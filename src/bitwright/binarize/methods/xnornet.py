"""XNOR-Net and BWN: the least-squares scale per filter."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.registry import UnknownNameError

_CLIPPED = {"name": "clipped", "t": 1.0}
_GRADIENTS: dict[str, dict[str, Any]] = {
    "a": {"gradient": "paper", "estimator": _CLIPPED},
    "b": {"gradient": "exact", "estimator": _CLIPPED},
    "c": {"gradient": "scaled", "estimator": _CLIPPED},
    "d": {"gradient": "ste", "estimator": "identity"},
}


def weight_part(method: str, gradient: str, center: bool) -> dict[str, Any]:
    """The weights of XNOR-Net and BWN: `alpha bsign(w)` with one of four gradients."""
    if gradient not in _GRADIENTS:
        raise UnknownNameError(f"weight gradient of method {method!r}", gradient, _GRADIENTS)
    return {
        "kind": "sign",
        "scale": "filter",
        "center": "input" if center else "none",
        "latent_range": (-1.0, 1.0),
        **_GRADIENTS[gradient],
    }


@register_method(
    MethodInfo(
        name="xnornet",
        title="XNOR-Net: ImageNet Classification Using Binary Convolutional Neural Networks",
        authors="Rastegari, Ordonez, Redmon, Farhadi",
        year=2016,
        venue="ECCV 2016",
        arxiv="1603.05279",
        summary="per-filter mean-absolute scale; optional input scale map K; activation=None is BWN",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter (after centring)",
        packable="yes; use_k=True is onnx only: a float map per layer, computed from the real input",
        formula={
            "weight": "alpha bsign(v), v = w - mean over the input channels, alpha = mean|v| of the filter",
            "weight gradient": "to v: alpha g 1{|v| <= 1} + sign(v)/n sum(g sign(v)), then through the centring",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| < 1}",
            "output": "y K with use_k, K = box filter of the mean |x| over channels",
        },
        block="batch norm, sign, convolution, max pool",
        provenance={
            "weight": "paper read",
            "weight gradient": "code read",
            "centring": "code read",
            "activation": "code read",
            "input scale map": "paper read",
            "init": "code read",
        },
        notes="The official code never computes K (under 1 % top-1 by the paper), so use_k is False. It centres and "
        "clamps the latent weight in place before every forward; here centring is part of the differentiated "
        "expression and clamping is clip_latent_. Its gradient factors (1 - 1/I), n and 1e9 are not reproduced.",
    )
)
def xnornet(
    *,
    gradient: str = "b",
    center: bool = True,
    use_k: bool = False,
    estimator: EstimatorSpec | None = None,
) -> MethodParts:
    """Weights `alpha bsign(w)`, alpha = mean|w| of each filter; activations `bsign(x)` with gradient `g 1{|x| < 1}`.

    Args:
        gradient: weight gradient, with m = 1{|w| <= 1}: "a" `g (1/n + alpha m)` as printed; "b" the exact derivative of
            `alpha bsign(w)`; "c" `g alpha m`; "d" `g`.
        center: subtract the mean over the input channels first (official code); left out where there is one channel.
        use_k: multiply the output with K, the mean absolute input under each window.
        estimator: backward rule of the activations; None: clipped with the ends outside, as in the code.
    """
    if estimator is None:
        estimator = {"name": "clipped", "strict": True}
    return MethodParts(
        weight=weight_part("xnornet", gradient, center),
        activation={"kind": "sign", "estimator": estimator},
        output={"kind": "input_scale_map"} if use_k else None,
        init="he",
    )
