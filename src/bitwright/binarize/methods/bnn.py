"""BNN: sign of weights and activations, no scale."""

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
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
        },
        requires={"loss": "squared hinge loss in the paper; cross-entropy in the ports"},
        block="convolution, max pool, batch norm, sign",
        provenance={"weight": "code read", "activation": "code read", "init": "code read"},
        notes="Latent weights are clipped after every step, as the Theano code does and the PyTorch port does not.",
    )
)
def bnn(*, estimator: EstimatorSpec = "clipped", weight_estimator: EstimatorSpec = "identity") -> MethodParts:
    """Weights `bsign(w)`, gradient unchanged plus clipping of the latent weight; activations `bsign(x)`.

    Args:
        estimator: backward rule of the activations.
        weight_estimator: backward rule of the weights.
    """
    return MethodParts(
        weight={
            "kind": "sign",
            "estimator": weight_estimator,
            "scale": "none",
            "gradient": "ste",
            "latent_range": (-1.0, 1.0),
        },
        activation={"kind": "sign", "estimator": estimator},
        init="uniform",
    )
