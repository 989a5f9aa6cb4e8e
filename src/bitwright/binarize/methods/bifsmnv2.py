"""BiFSMNv2: two signs an activation, learned slopes in front of every sign."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bifsmnv2",
        title="BiFSMNv2: Pushing Binary Neural Networks for Keyword Spotting to Real-Network Performance",
        authors="Qin, Ma, Ding, Li, Zhang, Ma, Wang, Luo, Liu",
        year=2023,
        venue="IEEE TNNLS 2023",
        arxiv="2211.06987",
        summary="learning-propagation binarizer: sign(a x) with learned a; activations as a sign and a scaled sign",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        activation_bits="2, with a scale per sample and channel",
        packable="onnx only: the engine has no scale per sample; two planes in linear and depthwise layers and with "
        "scale='sample'; else the sum over channels has real scales inside: 1-bit weights, real activations",
        learned=("slope of every sign", "three shifts of every input channel"),
        formula={
            "weight": "mean|w| bsign(a w)",
            "weight gradient": "z = a w: w: mean|w| g 1{|z| <= 1} a; a: sum of mean|w| g 1{|z| <= 1} w",
            "activation": "b1 + b2 - t2, b1 = sign(a (x - t0)), r = x - b1 - t1, b2 = mean|r| sign(a r)",
            "activation gradient": "1{|z| <= 1} a at each sign; mean|r| a constant",
        },
        requires={"teacher": "low and high frequencies of a full-precision twin's maps, and its logits"},
        block="depth-wise memory filter with a shortcut, two 1x1 convolutions; options with 8, 4 and 2 layers",
        provenance={
            "weight": "code read",
            "scale per filter": "reconstruction",
            "weight gradient": "reconstruction",
            "activation": "code read",
            "init": "ours",
        },
        notes="The released code has the weight scales of BiFSMN's defect (see there); per filter here. Slopes and "
        "shifts train with a tenth of the learning rate. The distillation belongs to the network.",
    )
)
def bifsmnv2(*, estimator: EstimatorSpec = "clipped", scale: str = "channel") -> MethodParts:
    """Weights `mean|w| bsign(a w)`, activations `sign + mean|r| sign(r)`.

    Args:
        estimator: backward rule of all signs.
        scale: of the second sign: "channel", one for each channel of each sample, or "sample" (ours), one for each
            sample: every layer is then two bit planes.
    """
    return MethodParts(
        weight={"kind": "learned_slope", "estimator": estimator},
        activation={"kind": "dual_scale", "estimator": estimator, "scale": scale},
    )
