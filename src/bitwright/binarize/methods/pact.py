"""PACT: k-bit activations with a learned clipping value."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="pact",
        title="PACT: Parameterized Clipping Activation for Quantized Neural Networks",
        authors="Choi, Wang, Venkataramani, Chuang, Srinivasan, Gopalakrishnan",
        year=2018,
        venue="arXiv 2018",
        arxiv="1805.06085",
        summary="activations clipped at a learned value and quantized; weights as in DoReFa-Net",
        binarizes=("weights", "activations"),
        weight_scale="as dorefa",
        weight_bits="1 to 8",
        activation_bits="2 to 8",
        packable="yes; k planes of activations, k planes of weights",
        learned=("clipping value per layer",),
        formula={
            "weight": "as dorefa",
            "weight gradient": "as dorefa",
            "activation": "alpha/(2^k - 1) rint((2^k - 1)/alpha clip(x, 0, alpha))",
            "activation gradient": "g where 0 <= x < alpha; alpha: sum of g where x >= alpha",
        },
        block="convolution, batch norm, PACT in place of ReLU",
        departs={
            "two values": "weights have 2^k values",
            "scale equivariance": "tanh of the weights is quantized, which a factor changes",
        },
        provenance={"weight": "code read", "activation": "secondary", "alpha's start and decay": "secondary"},
        notes="Alpha starts at 10 and decays (the paper adds an L2 loss of it whose factor depends on the network).",
    )
)
def pact(*, w_bits: int = 4, a_bits: int = 4, alpha: float = 10.0, decay: float = 1e-4) -> MethodParts:
    """Activations clipped to [0, alpha] and quantized; weights as in DoReFa-Net.

    Args:
        w_bits: 1, 2 to 8, or 32 (real weights).
        a_bits: 2 to 8.
        alpha: where the clipping value starts.
        decay: its weight decay.
    """
    weight: dict[str, Any] = {"kind": "uniform", "bits": w_bits}
    if w_bits == 1:
        weight = {"kind": "sign", "estimator": "identity", "scale": "layer", "gradient": "ste"}
    elif w_bits == 32:
        weight = {"kind": "real"}
    return MethodParts(weight=weight, activation={"kind": "pact", "bits": a_bits, "alpha": alpha, "decay": decay})
