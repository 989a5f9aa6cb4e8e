"""BoolNet: binary maps of several slices, weights clamped ever more steeply."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="boolnet",
        title="BoolNet: Minimizing The Energy Consumption of Binary Neural Networks",
        authors="Guo, Bethge, Yang et al.",
        year=2021,
        venue="arXiv 2021",
        arxiv="2106.06991",
        summary="maps between blocks are bits in k slices with thresholds of their own; hard tanh weights annealed",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        needs_epoch=True,
        formula={
            "weight": "training: alpha clamp(w / T, -1, 1), alpha = mean|w|, T = 0.965^epoch; eval: alpha bsign(w)",
            "weight gradient": "alpha g 1{|w| <= 1} + bsign(w)/n sum g clamp(w / T)",
            "activation": "bsign(x + tau_s), s the channel's slice; k = 4: tau = ±1/3, ±2/3; k = 1: 0",
            "activation gradient": "g 1{|x + tau_s| <= 1}",
        },
        requires={
            "block": "XNOR and OR instead of real shortcuts, replicate padding, groups = k",
            "teacher": "soft labels of a ResNet-34 only",
        },
        block="sign, convolution with one group a slice, batch norm, XNOR with the shortcut; OR at the end",
        departs={"train equals eval": "weights are not yet signs in training while T >= 1e-7"},
        provenance={
            "weight": "code read",
            "weight gradient": "reconstruction",
            "activation": "code read",
            "schedule": "code read",
            "init": "code read",
        },
        notes="T falls every epoch (CIFAR) or every 1000 steps (ImageNet: every=1000). The clamp's gradient inside the "
        "window ±1 is one reading; gradient='exact' is that of the hard tanh. The author list was not checked.",
    )
)
def boolnet(
    *,
    slices: int = 1,
    decay: float = 0.965,
    every: int | None = None,
    gradient: str = "window",
    estimator: EstimatorSpec = "clipped",
) -> MethodParts:
    """Weights `mean|w| clamp(w / T)` becoming `mean|w| bsign(w)`; activations `bsign(x + tau)` per slice.

    Args:
        slices: k: 1, or an even number that divides the layer's input channels.
        decay: T is multiplied by it every epoch, or every `every` steps.
        every: steps between two multiplications; None: an epoch.
        gradient: "window", "identity" or "exact", see `AnnealedWeight`.
        estimator: backward rule of the activations.
    """
    return MethodParts(
        weight={"kind": "annealed", "decay": decay, "every": every, "scale": "filter", "gradient": gradient},
        activation={"kind": "slices", "slices": slices, "estimator": estimator},
        init="small_fan_out",
    )
