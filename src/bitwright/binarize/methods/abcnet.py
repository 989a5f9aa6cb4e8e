"""ABC-Net: several binary bases for weights and for activations."""

from collections.abc import Sequence

from bitwright.binarize.method import MethodInfo, MethodParts, register_method

_ACTIVATION_SHIFTS = {1: (0.0,), 3: (-1.5, 0.0, 1.5), 5: (-3.5, -2.5, -1.5, 0.0, 2.5)}


def _weight_shifts(m: int, n: int) -> tuple[float, ...]:
    if m == 1:
        return (0.0,)
    if m == 5 and n <= 3:
        return (-2.0, -1.0, 0.0, 1.0, 2.0)
    return tuple(-1 + 2 * i / (m - 1) for i in range(m))


@register_method(
    MethodInfo(
        name="abcnet",
        title="Towards Accurate Binary Convolutional Neural Network",
        authors="Lin, Zhao, Pan",
        year=2017,
        venue="NIPS 2017",
        arxiv="1711.11294",
        summary="weights and activations as sums of M and N binary bases; least-squares coefficients",
        binarizes=("weights", "activations"),
        weight_scale="alpha_m per base, least squares over the layer",
        learned=("coefficient of every activation base", "shift of every activation base"),
        weight_bits="3 planes",
        activation_bits="3 planes",
        packable="yes; costs M N binary convolutions, their sum in float",
        formula={
            "weight": "sum_m alpha_m bsign(w - mean + u_m std), alpha = argmin |w - B alpha|^2, over the layer",
            "weight gradient": "g sum_m alpha_m",
            "activation": "sum_n beta_n (+1 if x >= 0.5 - v_n else -1)",
            "activation gradient": "sum_n beta_n g 1{0 <= x + v_n <= 1}; v_n: its n-th term, summed; beta_n: g . H_n",
        },
        requires={"pretrained": "the authors fine-tune a real-valued network"},
        block="convolution, max pooling, batch norm, activation bases",
        departs={"two values": "a sum of M signs has up to 2^M values"},
        provenance={
            "weight": "paper read",
            "weight gradient": "paper read",
            "activation": "paper read",
            "activation gradient": "paper read",
            "standard deviation": "ours",
            "init": "paper read",
        },
        notes="The paper prints the activation's window as 0 <= x - v <= 1, against its own forward: "
        "mask='printed'. Population or sample standard deviation is not said: population here. mode='channel' is "
        "described in the paper, not evaluated.",
    )
)
def abcnet(
    *,
    weight_bases: int = 3,
    activation_bases: int = 3,
    weight_shifts: Sequence[float] | None = None,
    activation_shifts: Sequence[float] | None = None,
    mode: str = "layer",
    mask: str = "forward",
) -> MethodParts:
    """Weights `sum_m alpha_m B_m`, activations `sum_n beta_n H_n`.

    Args:
        weight_bases: M, 1 to 8.
        activation_bases: N; 1, 3 or 5 have the paper's shifts, others need `activation_shifts`.
        weight_shifts: the u_m; None: the paper's.
        activation_shifts: the v_n at the start; None: the paper's (for M=5, N=3 -0.9, 0, 0.9).
        mode: "layer" or "channel": over what the bases are fitted.
        mask: "forward" or "printed", see `BasesActivation`.
    """
    if weight_shifts is None:
        if not 1 <= weight_bases <= 8:
            raise ValueError(f"weight_bases must be 1 to 8, got {weight_bases}")
        weight_shifts = _weight_shifts(weight_bases, activation_bases)
    if activation_shifts is None:
        if activation_bases not in _ACTIVATION_SHIFTS:
            raise ValueError(
                f"the paper has shifts for 1, 3 and 5 activation bases, not for {activation_bases}: give "
                "activation_shifts"
            )
        activation_shifts = _ACTIVATION_SHIFTS[activation_bases]
        if weight_bases == 5 and activation_bases == 3:
            activation_shifts = (-0.9, 0.0, 0.9)
    return MethodParts(
        weight={"kind": "bases", "shifts": tuple(weight_shifts), "mode": mode},
        activation={"kind": "bases", "shifts": tuple(activation_shifts), "mask": mask},
    )
