"""PCNN: projection matrices that only the gradient sees whole."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="pcnn",
        title="Projection Convolutional Neural Networks for 1-bit CNNs via Discrete Back Propagation",
        authors="Gu, Li, Zhang, Han, Cao, Liu, Doermann",
        year=2019,
        venue="AAAI 2019",
        arxiv="1811.12755",
        summary="one scale a layer; learned projections enter the value by their mean, the gradient element by element",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| of the layer",
        learned=("projection matrices, one number per kernel position",),
        regularizer="lambda/2 |value - W (w + eta delta)|^2, delta the gradient of the value",
        formula={
            "weight": "a bsign(mean(W_j) w), a = mean|w| of the layer",
            "weight gradient": "sum_j g_j 1{|W_j w| <= 1} W_j; W_j: sum of g_j 1{|W_j w| <= 1} w",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
            "loss": "lambda/2 sum_j |value_j - W_j (w + eta delta_j)|^2",
        },
        requires={"loss": "add bitwright.binarize.regularization(model)"},
        block="sign, convolution, batch norm, PReLU, shortcut around every convolution",
        provenance={
            "weight": "secondary",
            "weight gradient": "secondary",
            "activation": "secondary",
            "loss": "secondary",
            "init": "ours",
        },
        notes="With the mean in the value all projections with a positive mean give the same filters: "
        "forward_mean=False takes the sign of W w. eta is the learning rate; the terms of the loss that contain "
        "delta are added in the backward pass of the same step. Under a gradient scaler the term in eta^2 is off by "
        "the scaler's factor. W is dropped at inference.",
    )
)
def pcnn(*, projections: int = 1, forward_mean: bool = True, strength: float = 1e-4, step: float = 0.01) -> MethodParts:
    """Weights `a bsign(mean(W) w)`, a = mean|w| of the layer, gradient `g 1{|W w| <= 1} W`; activations `bsign(x)`.

    Args:
        projections: J: every latent filter gives J neighbouring output channels.
        forward_mean: False: the sign of `W w`.
        strength: lambda of the projection loss.
        step: eta in the projection loss, the learning rate.
    """
    return MethodParts(
        weight={
            "kind": "modulated",
            "value": "magnitude",
            "versions": projections,
            "forward_mean": forward_mean,
            "strength": strength,
            "step": step,
        },
        activation={"kind": "sign", "estimator": "clipped"},
    )
