"""BONN: a learned scale a layer, and a prior of two modes for the weights."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bonn",
        title="Bayesian Optimized 1-Bit CNNs",
        authors="Gu, Zhao, Jiang, Zhang, Liu, Guo, Ji",
        year=2019,
        venue="ICCV 2019",
        arxiv="1908.06314",
        summary="the mean of a learned modulation scales the signs; a Bayesian prior pulls weights to two modes",
        binarizes=("weights", "activations"),
        weight_scale="mean of the learned modulation, one number a layer",
        learned=("modulation per kernel position",),
        regularizer="lambda/2 {|value - m w|^2 + nu sum((|w| - mu)^2 / sigma^2 + log sigma^2)}",
        formula={
            "weight": "mean(m) bsign(w)",
            "weight gradient": "g 1{|m w| <= 1} m; m: sum of g 1{|m w| <= 1} w",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
            "loss": "lambda/2 {|value - m w|^2 + nu sum((|w| - mu)^2 / sigma^2 + log sigma^2)}",
        },
        requires={
            "loss": "add bitwright.binarize.regularization(model); the paper's fine-tuning adds a loss that pulls the "
            "last features to learned centres of the classes (theta = 0.001): bitwright.train.ClassCentres, in recipes "
            "model.centres",
        },
        block="sign, convolution, batch norm, PReLU, shortcut around every convolution",
        provenance={
            "weight": "paper read",
            "weight gradient": "paper read",
            "activation": "paper read",
            "loss": "paper read",
            "init of mu and sigma": "reconstruction",
            "init of m": "ours",
        },
        notes="The paper writes both w^-1 x^ - x and x^ - w x for the error; that of its algorithm is used. mu, sigma "
        "of every filter descend their gradient (a mean over the filter, as printed) in after_step, at a rate of 0.01. "
        "nu is 1e-3 for ResNet-18, 1e-4 for wide ResNets. m starts at 1 with noise 0.1. Only signs and one number a "
        "layer remain at inference.",
    )
)
def bonn(*, strength: float = 1e-4, spread: float = 1e-3) -> MethodParts:
    """Weights `mean(m) bsign(w)`, gradient `g 1{|m w| <= 1} m`; activations `bsign(x)`; loss with a prior of two modes.

    Args:
        strength: lambda of the kernel loss; 0: none.
        spread: nu, the weight of the prior.
    """
    prior: dict[str, Any] | None = {"kind": "bayesian_kernel", "strength": strength, "spread": spread}
    return MethodParts(
        weight={"kind": "modulated", "value": "modulation", "strength": strength, "noise": 0.1},
        activation={"kind": "sign", "estimator": "clipped"},
        regularizer=prior if strength else None,
    )
