"""BiMatting: weights centred and scaled per filter, activations with learned shifts."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bimatting",
        title="BiMatting: Efficient Video Matting via Binarization",
        authors="Qin, Ke, Ma, Danelljan, Tai, Tang, Liu, Yu",
        year=2023,
        venue="NeurIPS 2023",
        arxiv="",
        summary="weights centred and scaled per filter; sign of shifted activations; both with clipped gradients",
        binarizes=("weights", "activations"),
        weight_scale="mean |w - mean| per filter",
        learned=("shift of every input channel",),
        formula={
            "weight": "mean|v| bsign(v), v = w - mean(w) of the filter",
            "weight gradient": "g 1{|v| <= 1}, then through the centring",
            "activation": "bsign(x + beta)",
            "activation gradient": "g 1{|x + beta| <= 1}",
        },
        requires={"pretrained": "a backbone trained on ImageNet, then four stages on matting data"},
        block="shrinkable binarized blocks in the encoder, sparse-assisted binarization in the decoder",
        provenance={
            "weight": "code read",
            "weight gradient": "reconstruction",
            "activation": "code read",
            "init": "ours",
        },
        notes="Whether the authors' weight gradient is multiplied by the scale is not established: gradient='ste' "
        "(not) or 'scaled'. Their code pads binary maps with 0 and registers a channel threshold that it never uses.",
    )
)
def bimatting(*, gradient: str = "ste", estimator: EstimatorSpec = "clipped") -> MethodParts:
    """Weights `mean|v| bsign(v)`, v the centred filter; activations `bsign(x + beta)`.

    Args:
        gradient: of weights: "ste", "scaled" (times the scale) or "exact" (through the scale too).
        estimator: backward rule of weights and activations.
    """
    return MethodParts(
        weight={"kind": "sign", "center": "filter", "scale": "filter", "gradient": gradient, "estimator": estimator},
        activation={"kind": "sign", "shift": "channel", "estimator": estimator},
    )
