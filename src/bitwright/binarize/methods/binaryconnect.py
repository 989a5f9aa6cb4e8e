"""BinaryConnect: binary weights, real activations."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="binaryconnect",
        title="BinaryConnect: Training Deep Neural Networks with binary weights during propagations",
        authors="Courbariaux, Bengio, David",
        year=2015,
        venue="NIPS 2015",
        arxiv="1511.00363",
        summary="sign of the weights, deterministic or drawn; latent weights clipped, learning rate scaled per layer",
        binarizes=("weights",),
        weight_scale="H, one number (1)",
        weight_bits="1",
        activation_bits="32",
        packable="yes; the input stays real, so a convolution with unpacked weights runs",
        formula={
            "weight": "H bsign(w); stochastic: H with probability clip((w/H + 1)/2, 0, 1), else -H",
            "weight gradient": "g, and w is clipped to [-H, H] after every step",
            "activation": "x",
        },
        requires={
            "loss": "squared hinge loss in the paper (bitwright.train.squared_hinge_loss; recipes: model.label_loss)",
            "optimizer": "the latent weight's learning rate is multiplied by 1/sqrt(1.5/(n_in + n_out)) with Adam",
        },
        block="convolution, max pool, batch norm, ReLU; all layers binary, the first and last too",
        provenance={
            "weight": "code read",
            "weight gradient": "code read",
            "init": "code read",
            "learning rate scale": "code read",
            "learning rate scale of SGD": "secondary",
        },
        notes="Networks that were trained stochastically are evaluated with their real weights in the authors' code, "
        "so that figure is not of a binary network: inference='real'. The default evaluates the sign.",
    )
)
def binaryconnect(
    *,
    stochastic: bool = False,
    inference: str = "sign",
    bound: float | str = 1.0,
    lr_scale: str = "glorot",
) -> MethodParts:
    """Weights `H bsign(w)`, or drawn with that expectation; inputs stay real.

    Args:
        stochastic: draw the weights anew in every training step.
        inference: "sign", or "real": the latent weights (the authors' evaluation of stochastic training).
        bound: H, or "glorot": sqrt(1.5 / (n_in + n_out)).
        lr_scale: factor on the latent weight's learning rate: "glorot" (Adam), "glorot_squared" (SGD) or "none".
    """
    return MethodParts(
        weight={
            "kind": "bounded",
            "bound": bound,
            "stochastic": stochastic,
            "inference": inference,
            "lr_scale": lr_scale,
        },
        activation=None,
        init="uniform",
    )
