"""BNN: sign of weights and activations, no scale."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="bnn",
        title="Binarized Neural Networks: Training DNNs with Weights and Activations Constrained to +1 or -1",
        authors="Courbariaux, Hubara, Soudry, El-Yaniv, Bengio",
        year=2016,
        venue="NIPS 2016",
        arxiv="1602.02830",
        summary="sign of weights and activations, clipped straight-through, latent weights clipped to [-1, 1]",
        binarizes=("weights", "activations"),
        weight_scale="none",
        formula={
            "weight": "bsign(w)",
            "weight gradient": "g, and w is clipped to [-1, 1] after every step",
            "activation": "bsign(x); stochastic, in training: +1 with probability clip((x + 1)/2, 0, 1), else -1",
            "activation gradient": "g 1{|x| <= 1}",
        },
        requires={
            "loss": "squared hinge loss in the paper (bitwright.train.squared_hinge_loss; recipes: model.label_loss); "
            "cross-entropy in the ports"
        },
        block="convolution, max pool, batch norm, sign",
        provenance={"weight": "code read", "activation": "code read", "init": "code read"},
        notes="Latent weights are clipped after every step, as the Theano code does and the PyTorch port does not.",
    )
)
def bnn(
    *,
    estimator: EstimatorSpec = "clipped",
    weight_estimator: EstimatorSpec = "identity",
    stochastic: bool = False,
    stochastic_weights: bool = False,
    lr_scale: str = "none",
) -> MethodParts:
    """Weights `bsign(w)`, gradient unchanged plus clipping of the latent weight; activations `bsign(x)`.

    Args:
        estimator: backward rule of the activations.
        weight_estimator: backward rule of the weights (only where they are not drawn).
        stochastic: draw the activations in training (the Lua code's default).
        stochastic_weights: draw the weights in training, as BinaryConnect does.
        lr_scale: factor on the latent weight's learning rate: "none", "glorot" (the Theano code, for Adam) or
            "glorot_squared" (SGD).
    """
    weight: dict[str, Any] = {
        "kind": "sign",
        "estimator": weight_estimator,
        "scale": "none",
        "gradient": "ste",
        "latent_range": (-1.0, 1.0),
    }
    if stochastic_weights or lr_scale != "none":
        if weight_estimator != "identity":
            raise ValueError("bnn: weights that are drawn or have a learning rate of their own pass g unchanged")
        weight = {"kind": "bounded", "stochastic": stochastic_weights, "lr_scale": lr_scale}
    return MethodParts(
        weight=weight,
        activation={"kind": "sign", "estimator": estimator, "stochastic": stochastic},
        init="uniform",
    )
