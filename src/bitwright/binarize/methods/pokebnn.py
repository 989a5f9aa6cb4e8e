"""PokeBNN: floor quantizers of one bit with bounds, ±1.5 for activations."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="pokebnn",
        title="PokeBNN: A Binary Pursuit of Lightweight Accuracy",
        authors="Zhang, Zhang, Lew",
        year=2022,
        venue="CVPR 2022",
        arxiv="2112.00133",
        summary="weights ±max|w|/2 per filter, activations ±1.5, gradients clipped at the bounds",
        binarizes=("weights", "activations"),
        weight_scale="max |w| / 2 per filter",
        formula={
            "weight": "B/2 bsign(w), B = max|w| of the filter",
            "weight gradient": "g 1{|w| < (1 - 2^-7) B}",
            "activation": "B/2 bsign(x), B = 3",
            "activation gradient": "g 1{|x| < (1 - 2^-7) B}",
        },
        requires={
            "teacher": "soft labels of an 8-bit ResNet-50 only",
            "block": "PokeConv: two shortcuts, DPReLU, 4-bit squeeze and excitation, two batch norms",
        },
        block="binary convolution, batch norm, shortcuts, DPReLU, squeeze and excitation, batch norm",
        provenance={"weight": "code read", "activation": "code read", "init": "ours"},
        notes="Weights are quantized from step 50 in the authors' run, activations from 7500 on: use stages. Stage "
        "'float' clips activations to ±B. Do not put ±1 and a bound of 1 in place of ±1.5.",
    )
)
def pokebnn(*, bound: float = 3.0) -> MethodParts:
    """Weights `max|w| / 2 bsign(w)` per filter, activations `B / 2 bsign(x)`.

    Args:
        bound: B of the activations.
    """
    return MethodParts(weight={"kind": "max_abs"}, activation={"kind": "half_bound", "bound": bound})
