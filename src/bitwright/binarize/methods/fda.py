"""FDA-BNN: the sign's gradient from its Fourier series, and a learned correction that fades out."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="fda",
        title="Learning Frequency Domain Approximation for Binary Neural Networks",
        authors="Xu, Han, Xu, Tang, Xu, Wang",
        year=2021,
        venue="NeurIPS 2021",
        arxiv="2103.00841",
        summary="gradient of a truncated Fourier series of sign; a small learned noise module in training only",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        learned=("noise modules of weights and activations (training only)",),
        needs_epoch=True,
        formula={
            "weight": "s (bsign(w) + alpha_e eta(w)), s = mean|w|; eval mode: s bsign(w)",
            "weight gradient": "s g FDA(w), plus the gradient through eta",
            "activation": "bsign(x) + alpha_e eta(x); eval mode: bsign(x)",
            "activation gradient": "g FDA(x), plus the gradient through eta",
        },
        provenance={
            "weight": "secondary",
            "activation": "paper read",
            "estimator": "secondary",
            "schedule": "secondary",
            "init": "ours",
        },
        departs={"train equals eval": "training adds alpha eta to the sign; alpha is 0 in the last epoch"},
        notes="The paper gives neither omega nor the window; both, the annealing and the sizes of the noise modules "
        "are BiBench's. The series is negative past pi / (2 (n+1) omega): with n = 18 from |x| = 0.827 on, inside "
        "the window, as published. The authors' MindSpore code has one scale per layer: scale='layer'.",
    )
)
def fda(
    *,
    n: int = 9,
    n_end: int = 18,
    omega: float = 0.1,
    window: float | None = 1.0,
    strength: float = 0.1,
    reduction: int = 64,
    scale: str = "filter",
) -> MethodParts:
    """Weights `s bsign(w)`, activations `bsign(x)`, both with FDA's gradient and noise modules during training.

    Args:
        n, n_end, omega, window: of the estimator "fourier".
        strength: alpha of the noise modules before the first epoch; 0: none of their output.
        reduction: the noise modules' hidden layer has width / reduction elements.
        scale: "filter" or "layer".
    """
    series: dict[str, Any] = {"name": "fourier", "n": n, "n_end": n_end, "omega": omega, "window": window}
    noise: dict[str, Any] = {"strength": strength, "reduction": reduction}
    return MethodParts(
        weight={"kind": "noisy_sign", "estimator": series, "scale": scale, **noise},
        activation={"kind": "noisy_sign", "estimator": series, **noise},
    )
