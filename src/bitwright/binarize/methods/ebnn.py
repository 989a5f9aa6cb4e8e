"""EBNN: expert binary convolutions, one chosen for every sample."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="ebnn",
        title="High-Capacity Expert Binary Networks",
        authors="Bulat, Martinez, Tzimiropoulos",
        year=2021,
        venue="ICLR 2021",
        arxiv="2010.03558",
        summary="every sample uses one of N binary weights, chosen by a gate; channel scale and squeeze-excitation",
        binarizes=("weights", "activations"),
        weight_scale="learned, one per output channel",
        weight_bits="1, N experts",
        packable="onnx only: the gate's argmax; costs N packed layers, of which every sample uses one",
        learned=("gate over the experts", "scale of every output channel", "squeeze and excitation"),
        stages=("activations", "full"),
        formula={
            "weight": "bsign(W_e), e = argmax sigmoid(V mean(x) + c) of the sample",
            "weight gradient": "g 1{|W_e| < 1}; gate of expert f: <g 1{|W_e| < 1}, W_f> sigmoid'(z_f)",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| < 1}",
            "output": "alpha_o y_o sigmoid(W2 relu(W1 mean(x)))_o",
        },
        requires={
            "two stages": "real weights with the first expert; then it is copied to all; then binary weights",
            "teacher": "the network of the stage before: logits and attention maps of stages 2 to 4",
        },
        block="batch norm, sign, convolution, PReLU, shortcut around every convolution",
        compat={"sum_ties": "experts with equal gates are added"},
        departs={
            "two values": "weights are chosen per sample",
            "scale equivariance": "weights are chosen per sample, so there are no fixed bit planes",
        },
        refuses={
            "embedding": "the gate reads the layer's real input, and a table has none",
            "conv_transpose": "weights of its own for every sample exist for convolutions and linear layers only",
        },
        provenance={
            "weight": "code read",
            "gate": "code read",
            "activation": "code read",
            "output": "code read",
            "init": "code read",
        },
        notes="Stages 'float' and 'activations' use the first expert with real weights. A converted float weight "
        "becomes every expert. The gate reads the mean input over positions. Deployment computes all N packed "
        "kernels, N times the cost of one, and keeps each sample's own; sum_ties=True is not frozen.",
    )
)
def ebnn(*, experts: int = 4, reduction: int = 8, sum_ties: bool = False) -> MethodParts:
    """Weights `bsign(W_e)` with e chosen per sample; activations `bsign(x)` with gradient `g 1{|x| < 1}`.

    Args:
        experts: N.
        reduction: of the squeeze-and-excitation gate.
        sum_ties: the authors' handling of equal gates.
    """
    return MethodParts(
        weight={"kind": "experts", "experts": experts, "sum_ties": sum_ties},
        activation={"kind": "sign", "estimator": {"name": "clipped", "strict": True}},
        output={"kind": "scaled_gate", "reduction": reduction},
    )
