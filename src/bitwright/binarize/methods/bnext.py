"""BNext: weights clamped ever more steeply, shifted activations with a window of 1.5."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bnext",
        title="Join the High Accuracy Club on ImageNet with A Binary Neural Network Ticket",
        authors="Guo, Bethge, Meinel, Yang",
        year=2022,
        venue="arXiv 2022; TMLR 2023",
        arxiv="2211.12933",
        summary="clamp(w / T) with T to 0 instead of the sign; shifted activations; no scale",
        binarizes=("weights", "activations"),
        weight_scale="none",
        learned=("shift of every input channel",),
        needs_epoch=True,
        formula={
            "weight": "training: clamp(w / T, -1, 1), T = 0.9^epoch; T < 1e-7 and eval mode: bsign(w)",
            "weight gradient": "g; w is clamped to ±1.5 after the step",
            "activation": "bsign(x + beta)",
            "activation gradient": "g 1{|x + beta| <= 1.5}",
        },
        requires={
            "teacher": "a strong teacher kept throughout and assistants one after the other, no labels",
            "block": "ELM attention and feed-forward units with squeeze and excitation",
        },
        block="attention (3x3) and feed-forward (3x3, 1x1) units, element-wise product with the shortcut",
        departs={"train equals eval": "weights are not yet signs in training while T >= 1e-7 (153 epochs)"},
        provenance={"weight": "code read", "activation": "code read", "schedule": "code read", "init": "code read"},
        notes="The authors evaluate with the clamped weights too, so a checkpoint before epoch 153 is not binary; "
        "here eval mode is always the sign. decay belongs to 512 epochs: with fewer choose it so that "
        "decay^epochs < 1e-7.",
    )
)
def bnext(*, decay: float = 0.9, limit: float = 1.5, estimator: EstimatorSpec | None = None) -> MethodParts:
    """Weights `clamp(w / T)` becoming `bsign(w)`; activations `bsign(x + beta)`.

    Args:
        decay: T is multiplied by it every epoch.
        limit: latent weights are clamped to ±limit.
        estimator: backward rule of the activations; None: window of 1.5.
    """
    return MethodParts(
        weight={"kind": "annealed", "decay": decay, "gradient": "identity", "limit": limit},
        activation={
            "kind": "sign",
            "shift": "channel",
            "estimator": {"name": "clipped", "t": 1.5} if estimator is None else estimator,
        },
        init="small_normal",
    )
