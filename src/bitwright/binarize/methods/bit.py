"""BiT: elastic binarization of activations with a learned scale and threshold."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bit",
        title="BiT: Robustly Binarized Multi-distilled Transformer",
        authors="Liu, Oguz, Pappu, Xiao, Yih, Li, Krishnamoorthi, Mehdad",
        year=2022,
        venue="NeurIPS 2022",
        arxiv="2205.13016",
        summary="activations ±alpha or {0, alpha} with learned scale and threshold; multi-step distillation",
        binarizes=("weights", "activations", "embeddings"),
        weight_scale="mean |w| per row, of the weight before centring",
        learned=("scale of the activation", "threshold of the activation"),
        formula={
            "weight": "mean|w| bsign(w - mean(w)), per row",
            "weight gradient": "g 1{|w - mean| <= 1}, then through the centring",
            "activation": "alpha bsign(x - beta); not negative: alpha round(clip((x - beta) / alpha, 0, 1))",
            "activation gradient": "x: g inside the window; alpha: sum of g times the level (and - (x - beta) / alpha "
            "inside, if not negative), over sqrt(n)",
        },
        requires={
            "data batch": "alpha starts at 2 mean|x| (signed) or 4 mean|x| of the first batch",
            "teacher": "W1A2 learns from full precision, then W1A1 from W1A2",
        },
        block="linear layers of a transformer; not negative behind softmax and ReLU, signed elsewhere",
        provenance={
            "weight": "reconstruction",
            "activation": "code read",
            "beta": "ours",
            "init": "ours",
        },
        notes="The weight rule follows BiBERT; the source at hand describes the activations only. A tie at the upper "
        "threshold counts as 1.",
    )
)
def bit(*, signed: bool = True, shift: str = "layer", gradient: str = "ste") -> MethodParts:
    """Weights `mean|w| bsign(w - mean)` per row; elastic activations.

    Args:
        signed: levels ±alpha, else 0 and alpha (behind a softmax or a ReLU).
        shift: learned thresholds: "layer" or "channel".
        gradient: of weights: "ste", or "scaled" (times the scale).
    """
    return MethodParts(
        weight={"kind": "row_centred", "gradient": gradient},
        activation={"kind": "elastic", "signed": signed, "shift": shift},
    )
