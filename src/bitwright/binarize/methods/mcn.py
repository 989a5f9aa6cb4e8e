"""MCN: binary filters times learned kernels that a layer shares."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="mcn",
        title="Modulated Convolutional Networks",
        authors="Wang, Zhang, Li, Ji, Han, Cao, Liu",
        year=2018,
        venue="CVPR 2018",
        arxiv="",
        summary="every binary filter becomes K by multiplication with K learned kernels of the layer; real activations",
        binarizes=("weights",),
        weight_scale="mean |w| of the layer times K kernels of the layer",
        weight_bits="1, times K kernels",
        activation_bits="32",
        packable="no: a weight has a factor for each kernel position; scalar=True (MCN-1), 1x1 convolutions and linear "
        "layers have one for each output channel and are packed",
        learned=("K modulation kernels a layer",),
        regularizer="theta/2 sum_j (w - a bsign(w) M_j)^2",
        formula={
            "weight": "a bsign(w) M_j for output channel j of each group of K, a = mean|w| of the layer",
            "weight gradient": "sum_j g_j M_j; M_j: sum of g_j a bsign(w) over filters and channels",
            "activation": "x",
            "loss": "theta/2 sum_j (w - a bsign(w) M_j)^2",
        },
        requires={
            "loss": "add bitwright.binarize.regularization(model); the paper adds a center loss on the last features: "
            "bitwright.train.ClassCentres(spread=False), in recipes model.centres",
            "block": "channels in groups of K; the image is repeated K times",
        },
        block="convolution, batch norm, ReLU in a wide ResNet",
        departs={
            "two values": "every kernel position has a factor of its own",
            "scale equivariance": "the factors are no scale per channel",
        },
        provenance={
            "weight": "secondary",
            "weight gradient": "secondary",
            "loss": "secondary",
            "scale": "ours",
            "init": "ours",
        },
        notes="How the paper obtains a is not known here; public re-implementations use 0.02 (scale=0.02), "
        "|M| (absolute=True), the latent weight in the gradient of M, and no sum over j for the weight; the last two "
        "are not reproduced. Where K does not divide the channels, the last filter has fewer versions.",
    )
)
def mcn(
    *,
    planes: int = 4,
    scale: str | float = "mean",
    scalar: bool = False,
    absolute: bool = False,
    strength: float = 1e-4,
) -> MethodParts:
    """Weights `a bsign(w) M_j`, j the place of the channel in its group of K; inputs stay real.

    Args:
        planes: K.
        scale: a: "mean" or a number.
        scalar: MCN-1: a number for each M_j.
        absolute: |M_j|.
        strength: theta of the filter loss.
    """
    return MethodParts(
        weight={
            "kind": "modulated_planes",
            "planes": planes,
            "scale": scale,
            "scalar": scalar,
            "absolute": absolute,
            "strength": strength,
        },
        activation=None,
    )
