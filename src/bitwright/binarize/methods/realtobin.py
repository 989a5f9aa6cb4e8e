"""Real-to-Binary: a gate computed from the real input scales every channel of the result."""

from typing import Any

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="realtobin",
        title="Training Binary Neural Networks with Real-to-Binary Convolutions",
        authors="Martinez, Yang, Bulat, Tzimiropoulos",
        year=2020,
        venue="ICLR 2020",
        arxiv="2003.11535",
        summary="signs without scales; channels gated by two small real layers on the input's mean",
        binarizes=("weights", "activations"),
        weight_scale="none; a gate per sample and channel",
        learned=("gate: two small matrices",),
        packable="yes, and a gate per sample: a global mean, two real products and one factor per channel",
        stages=("float", "activations", "full"),
        formula={
            "weight": "bsign(w), w clamped to [-1, 1] after every step",
            "weight gradient": "g 1{|w| <= 1}",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
            "output": "y sigmoid(W2 relu(W1 mean(x)))",
            "loss": "CE + attention maps and softmax of the teacher of the stage before",
        },
        requires={"teacher": "the network of the stage before", "loss": "bitwright.train.attention_loss"},
        block="batch norm, sign, convolution, gate, PReLU, shortcut",
        provenance={"weight": "secondary", "activation": "secondary", "output": "secondary", "init": "secondary"},
        notes="The authors' repository holds no code; the layer is Larq Zoo's. gate=False and output= of xnornetpp is "
        "the paper's strong baseline. In stage 'float' tanh stands for the sign of activations. W1 has at least four "
        "rows, ours.",
    )
)
def realtobin(*, gate: bool = True, reduction: int = 8, estimator: EstimatorSpec = "clipped") -> MethodParts:
    """Weights `bsign(w)`, activations `bsign(x)`, the result times a gate per sample and channel.

    Args:
        gate: False: no gate; then give the layer a learned scale (`output=`), as the strong baseline has.
        reduction: the gate's hidden layer has in_channels / reduction elements.
        estimator: backward rule of weights and activations.
    """
    output: dict[str, Any] | None = {"kind": "gate", "reduction": reduction} if gate else None
    return MethodParts(
        weight={
            "kind": "sign",
            "estimator": estimator,
            "scale": "none",
            "gradient": "ste",
            "latent_range": (-1.0, 1.0),
        },
        activation={"kind": "sign", "estimator": estimator, "real": "tanh"},
        output=output,
    )
