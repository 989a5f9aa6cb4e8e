"""RBNN: filters are rotated towards their signs."""

from typing import Any

from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.registry import UnknownNameError

_BACKWARD = {"paper": "through", "code": "detached"}


@register_method(
    MethodInfo(
        name="rbnn",
        title="Rotated Binary Neural Network",
        authors="Lin, Ji, Xu, Zhang, Wang, Wu, Huang, Lin",
        year=2020,
        venue="NeurIPS 2020",
        arxiv="2009.13055",
        summary="filters rotated towards the hypercube's corners before the sign; inputs centred per sample",
        binarizes=("weights", "activations"),
        weight_scale="learned per output channel, starts at mean |w|",
        learned=("rotation angle per filter", "scale per output channel"),
        needs_epoch=True,
        packable="onnx only: the engine cannot subtract the mean of every sample from the layer's real input",
        formula={
            "weight": "bsign(w^ + |sin theta_o| (R w^ - w^)), w^ the standardised filter, R X = R1^T X R2",
            "weight gradient": "g TAA(k, t), then through rotation and standardisation",
            "activation": "bsign(x - mean x), mean over the sample",
            "activation gradient": "g TAA(1, max(t, 1)) at (x - mean x) / std x, then through the standardisation",
            "output": "alpha_o y",
        },
        provenance={"weight": "code read", "weight gradient": "secondary", "activation": "code read", "init": "ours"},
        compat={
            "backward": "'code' takes the rotated weight for a constant, so that at the initial angle pi/2 the "
            "latent weight has no gradient and only weight decay on the angle starts the training"
        },
        notes="The rotations move at the start of every epoch (set_progress), three sweeps of two singular value "
        "decompositions per layer. The authors' batch norms start from gamma = 1e-8.",
    )
)
def rbnn(*, backward: str = "paper", t_min: float = 0.01, t_max: float = 10.0, sweeps: int = 3) -> MethodParts:
    """Weights: the sign of the rotated filter; activations `bsign(x - mean)` per sample; a learned scale per channel.

    Args:
        backward: "paper": the gradient passes the rotation; "code": it does not.
        t_min, t_max: t runs from t_min to t_max over the epochs, logarithmically; k = max(1/t, 1).
        sweeps: alternations of the update of the two rotations.
    """
    if backward not in _BACKWARD:
        raise UnknownNameError("backward of method 'rbnn'", backward, _BACKWARD)
    taa: dict[str, Any] = {"name": "taa", "t_min": t_min, "t_max": t_max}
    return MethodParts(
        weight={"kind": "rotated", "estimator": taa, "backward": _BACKWARD[backward], "sweeps": sweeps},
        activation={"kind": "sample_centred_sign", "estimator": {**taa, "steep_only": True}},
        output={"kind": "channel_scale", "start": "mean_abs"},
    )
