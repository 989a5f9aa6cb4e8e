"""XNOR-Net++: one learned scale instead of the analytic ones of weights and inputs."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method

_FORMS = {2: "full", 3: "map", 4: "axes"}


@register_method(
    MethodInfo(
        name="xnornetpp",
        title="XNOR-Net++: Improved Binary Neural Networks",
        authors="Bulat, Tzimiropoulos",
        year=2019,
        venue="BMVC 2019",
        arxiv="1909.13863",
        summary="signs without analytic scales; the result times a learned Gamma per channel, position or both",
        binarizes=("weights", "activations"),
        weight_scale="learned per output channel (case 1) or per position and channel (cases 2 to 4)",
        learned=("scale Gamma",),
        packable="yes; cases 2 to 4 onnx only: the engine has no factor per position; they fix the size of the input",
        stages=("activations", "full"),
        formula={
            "weight": "bsign(w)",
            "weight gradient": "g 1{|w| < 1}",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| < 1}",
            "output": "Gamma y; Gamma = alpha_o (1), alpha_ohw (2), alpha_o beta_hw (3), alpha_o beta_h gamma_w (4)",
        },
        requires={"output size": "cases 2 to 4: output_size of every layer", "two stages": "binary activations first"},
        block="batch norm, sign, convolution, scale, PReLU; shortcuts",
        provenance={"weight": "secondary", "activation": "secondary", "output": "secondary", "init": "ours"},
        notes="The paper finds case 4 best. case=1 is the default because it needs no output_size. The author's own "
        "package starts case 1 from ones: start='ones'. Weight decay only while weights are real.",
    )
)
def xnornetpp(*, case: int = 1, start: str = "mean_abs", estimator: EstimatorSpec | None = None) -> MethodParts:
    """Weights `bsign(w)`, activations `bsign(x)`, the result times the learned Gamma.

    Args:
        case: 1 to 4: which factors Gamma has.
        start: "mean_abs": the channels' factors start from the mean absolute latent weight; "ones".
        estimator: backward rule of both; None: clipped with the ends outside.
    """
    if case not in (1, *_FORMS):
        raise ValueError(f"xnornetpp: case must be 1, 2, 3 or 4, got {case!r}")
    if estimator is None:
        estimator = {"name": "clipped", "strict": True}
    output: dict[str, Any] = {"kind": "channel_scale", "start": start}
    if case != 1:
        output = {"kind": "position_scale", "form": _FORMS[case], "start": start}
    return MethodParts(
        weight={"kind": "sign", "estimator": estimator, "scale": "none", "gradient": "ste"},
        activation={"kind": "sign", "estimator": estimator},
        output=output,
    )
