"""LBCNN: fixed sparse filters of -1, 0 and 1, a ReLU and a learned 1x1 convolution."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="lbcnn",
        title="Local Binary Convolutional Neural Networks",
        authors="Juefei-Xu, Boddeti, Savvides",
        year=2017,
        venue="CVPR 2017",
        arxiv="1608.06049",
        summary="anchor filters of -1, 0 and 1 that are never trained; ReLU; a learned real 1x1 convolution",
        binarizes=("weights",),
        weight_scale="none",
        weight_bits="ternary, fixed",
        activation_bits="32",
        packable="yes; two planes of weights, the input stays real, the 1x1 convolution is a float layer",
        learned=("real 1x1 convolution behind the anchors",),
        formula={
            "weight": "B, drawn once from -1, 0, 1",
            "weight gradient": "none",
            "activation": "x",
            "output": "sum_i V[o, i] relu(y_i)",
        },
        block="x + conv1x1(relu(conv_B(batch norm(x))))",
        departs={
            "two values": "anchor weights are -1, 0 or 1",
            "scale equivariance": "the anchors are fixed",
            "latent gradient": "the anchors are fixed and get no gradient",
        },
        refuses={"embedding": "anchor filters need an input to be combined over"},
        provenance={"weight": "code read", "output": "code read", "init": "code read"},
        notes="The authors' 'sparsity' is the share of weights that is drawn, with replacement, not that of zeros. "
        "CIFAR-10 in the paper: 704 anchors, sparsity 0.001. The anchors are saved in the checkpoint.",
    )
)
def lbcnn(*, anchors: int | None = None, sparsity: float = 0.5, replacement: bool = True) -> MethodParts:
    """Fixed ternary filters, ReLU, learned 1x1 combination; inputs stay real.

    Args:
        anchors: number of anchor filters; None: as many as the layer's outputs.
        sparsity: share of the anchors' weights that are drawn to be ±1.
        replacement: draw with replacement, as the authors' code.
    """
    return MethodParts(
        weight={"kind": "local_binary", "sparsity": sparsity, "replacement": replacement},
        activation=None,
        output={"kind": "mix", "channels": anchors},
    )
