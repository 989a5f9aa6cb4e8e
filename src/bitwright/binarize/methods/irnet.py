"""IR-Net: balanced, standardised weights with a power-of-two scale; error decay estimator."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="irnet",
        title="Forward and Backward Information Retention for Accurate Binary Neural Networks",
        authors="Qin, Gong, Liu, Shen, Wei, Yu, Song",
        year=2020,
        venue="CVPR 2020",
        arxiv="1909.10788",
        summary="weights centred and standardised per filter, scale 2^s; gradient annealed from identity to sign",
        binarizes=("weights", "activations"),
        weight_scale="2^round(log2(mean |w|)) per filter, of the standardised weight",
        needs_epoch=True,
        formula={
            "weight": "2^s bsign(v), v = (w - mean) / std of the filter, s = round(log2 mean|v|)",
            "weight gradient": "2^s g k t (1 - tanh^2(t v)), then through the standardisation",
            "activation": "bsign(x)",
            "activation gradient": "g k t (1 - tanh^2(t x))",
        },
        block="convolution, batch norm, shortcut around every convolution, hardtanh",
        provenance={"weight": "code read", "activation": "code read", "schedule": "code read", "init": "ours"},
        notes="t_min is 0.1 in the paper and the VGG-Small code, 0.001 in the ResNet-20 code. Needs set_progress every "
        "epoch; k and t are saved in the checkpoint.",
    )
)
def irnet(*, t_min: float = 0.1, t_max: float = 10.0) -> MethodParts:
    """Weights `2^s bsign(w^)`, w^ the standardised filter, s constant for the gradient; both gradients EDE(k, t).

    Args:
        t_min, t_max: t runs from t_min to t_max over the epochs, logarithmically; k = max(1/t, 1).
    """
    ede = {"name": "ede", "t_min": t_min, "t_max": t_max}
    return MethodParts(
        weight={
            "kind": "sign",
            "estimator": ede,
            "center": "filter",
            "standardize": True,
            "scale": "power_of_two",
            "gradient": "scaled",
        },
        activation={"kind": "sign", "estimator": ede},
    )
