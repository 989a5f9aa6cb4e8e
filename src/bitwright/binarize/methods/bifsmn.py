"""BiFSMN: weights centred over the layer, plain signs."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bifsmn",
        title="BiFSMN: Binary Neural Network for Keyword Spotting",
        authors="Qin, Ma, Ding, Li, Zhang, Tian, Ma, Luo, Liu",
        year=2022,
        venue="IJCAI 2022",
        arxiv="2202.06483",
        summary="weights centred over the layer with a scale per filter; high-frequency distillation; thinnable depth",
        binarizes=("weights", "activations"),
        weight_scale="mean |w - mean| per filter, the mean over the layer",
        formula={
            "weight": "alpha bsign(v), v = w - mean(w) of the layer, alpha = mean|v| of the filter",
            "weight gradient": "alpha g 1{|v| <= 1}, then through the centring",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
        },
        requires={
            "teacher": "a full-precision twin, matched on its maps after a Haar wavelet that keeps high frequencies",
            "pretrained": "student weights start from the teacher",
        },
        block="depth-wise memory filter with a shortcut, two 1x1 convolutions; options with 8, 4, 2 and 1 layers",
        compat={
            "released_scales": "one scale per (output, input) pair of a convolution: 1x1 convolutions are real then"
        },
        provenance={
            "weight": "code read",
            "scale": "reconstruction",
            "activation": "code read",
            "init": "ours",
        },
        notes="The released code reduces the scale over the kernel window only; the default here is the paper's, per "
        "filter. Its linear layers are not centred: center='none' for them. Published accuracies rest on the "
        "released code.",
    )
)
def bifsmn(
    *, center: str = "layer", released_scales: bool = False, estimator: EstimatorSpec = "clipped"
) -> MethodParts:
    """Weights `alpha bsign(w - mean)`, activations `bsign(x)`.

    Args:
        center: over what the weight's mean runs: "layer" (the authors' convolutions), "filter" or "none" (their linear
            layers).
        released_scales: compat, convolutions only, not packable.
        estimator: backward rule of weights and activations.
    """
    weight: dict[str, object] = {
        "kind": "sign",
        "center": center,
        "scale": "filter",
        "gradient": "scaled",
        "estimator": estimator,
    }
    if released_scales:
        weight = {"kind": "kernel_scale", "estimator": estimator}
    return MethodParts(weight=weight, activation={"kind": "sign", "estimator": estimator})
