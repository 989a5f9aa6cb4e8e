"""BiPointNet's binarizer of features that were pooled over points: entropy-maximising aggregation."""

from statistics import NormalDist

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.methods.lsr import lsr
from bitwright.binarize.registry import UnknownNameError

CODE_TABLE = {20: -1.8268, 64: -2.2983, 258: -2.7829, 1024: -3.2041, 2048: -3.4025, 4096: -3.5836}
"""The authors' table; its numbers are rough (258, sic)."""


def pooling_shift(points: int, pool: str = "max", table: bool = False) -> float:
    """What makes the sign of a pooled feature balanced, for features that are N(0, 1) before pooling.

    Args:
        points: n, how many are pooled.
        pool: "max": delta(n) = -Phi^-1(0.5^(1/n)); "avg": 0.
        table: take the authors' rough number instead of the closed form.

    Raises:
        ValueError: fewer than one point, or a number that the table does not have.
        UnknownNameError: another pooling.
    """
    if pool not in ("max", "avg"):
        raise UnknownNameError("pooling", pool, ("max", "avg"))
    if points < 1:
        raise ValueError(f"pooling needs points >= 1, got {points}")
    if pool == "avg":
        return 0.0
    if table:
        if points not in CODE_TABLE:
            raise ValueError(f"the authors' table has {sorted(CODE_TABLE)} points, got {points}")
        return CODE_TABLE[points]
    return -NormalDist().inv_cdf(0.5 ** (1 / points))


@register_method(
    MethodInfo(
        name="ema",
        title="BiPointNet: Binary Neural Network for Point Clouds",
        authors="Qin, Cai, Zhang, Ding, Zhao, Yi, Liu, Su",
        year=2021,
        venue="ICLR 2021",
        arxiv="2010.05501",
        summary="lsr for layers behind a pooling over points: the input is shifted so that its sign is balanced",
        binarizes=("weights", "activations"),
        weight_scale="one learned number per layer",
        learned=("scale per layer",),
        formula={
            "weight": "bsign(w - mean of the layer's w)",
            "weight gradient": "g 1{|w - mean| <= 1}, then through the centring",
            "activation": "bsign(x + delta(n)), delta(n) = -Phi^-1(0.5^(1/n)) behind a maximum over n points",
            "activation gradient": "g 1{|x + delta(n)| <= 1}",
            "output": "alpha y; alpha starts at std(real result) / std(binary result)",
        },
        requires={"data batch": "initialize_from_data(model, batch) before the optimizer is made"},
        block="reads features that were pooled over points",
        refuses={"recurrent": "hidden states lie between -1 and 1, so behind its shift their signs are all the same"},
        compat={"table": "True takes the code's rough table of delta"},
        provenance={"weight": "code read", "activation": "code read", "output": "code read", "init": "ours"},
        notes="The authors add delta where they pool; adding it before the sign of the layer that reads the pooled "
        "features is the same, and deployment makes it the threshold.",
    )
)
def ema(
    *,
    points: int = 1024,
    pool: str = "max",
    table: bool = False,
    start: str = "data",
    estimator: EstimatorSpec = "clipped",
) -> MethodParts:
    """As `lsr`, with activations `bsign(x + delta(points))`.

    Args:
        points: n, how many points were pooled.
        pool: "max", or "avg" (no shift).
        table: the authors' numbers instead of the closed form.
        start: "data" or "ones": where the scale starts.
        estimator: backward rule of weights and activations.
    """
    parts = lsr(start=start, estimator=estimator)
    offset = pooling_shift(points, pool, table)
    return MethodParts(
        weight=parts.weight,
        activation={"kind": "offset_sign", "offset": offset, "estimator": estimator},
        output=parts.output,
    )
