"""CI-BCNN: bit counts corrected by those of other channels."""

from collections.abc import Sequence

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="cibcnn",
        title="Learning Channel-wise Interactions for Binary Convolutional Neural Networks",
        authors="Wang, Lu, Tao, Zhou, Tian",
        year=2019,
        venue="CVPR 2019",
        arxiv="",
        summary="a graph of channels: a step function of one channel's sum is added to another's",
        binarizes=("weights", "activations"),
        weight_scale="none (mean|w| of the filter is absorbed by the batch norm behind)",
        packable="onnx only: a step function of the sums and a sum over edges follow the convolution",
        formula={
            "weight": "bsign(w)",
            "weight gradient": "g 1{|w| <= 1}",
            "activation": "bsign(x)",
            "activation gradient": "g 1{|x| <= 1}",
            "output": "p_s + sum over edges of ((1 - |K|)/2 + k) sign(K) ceil(U N), p_t in part k of |K|",
        },
        requires={
            "data batch": "the graph is mined from the first batch; without edges the layer is a plain binary one",
            "block": "a batch norm behind the layer, which takes the place of the weights' scale",
        },
        block="convolution, interaction, batch norm, sign; '(add)' rows with Bi-Real shortcuts",
        provenance={
            "weight": "paper read",
            "activation": "paper read",
            "output": "paper read",
            "edges": "ours",
            "init": "ours",
        },
        notes="The paper finds the graph by reinforcement learning while it trains: "
        "bitwright.train.search_interactions. Otherwise it is given, as "
        "edges=[(from, to, K)], or mined from a batch (ours: the most correlated pairs). All edges read uncorrected "
        "sums; the demo code "
        "applies them one after the other, with other thresholds, and subtracts on both tails for negative K: not "
        "reproduced.",
    )
)
def cibcnn(
    *,
    edges: Sequence[Sequence[int]] | str = "mine",
    unit: float = 0.01,
    steps: int = 2,
    density: float = 0.1,
) -> MethodParts:
    """Weights `bsign(w)`, activations `bsign(x)`; the sums of ±1 get a step function of other channels' sums.

    Args:
        edges: (from, to, K) with odd |K|, or "mine".
        unit: U_0, height of a step over the weights of a filter.
        steps: K_0; |K| <= 2 K_0 + 1.
        density: mined edges, as a share of all pairs.
    """
    return MethodParts(
        weight={"kind": "sign", "scale": "none", "gradient": "ste", "estimator": "clipped"},
        activation={"kind": "sign", "estimator": "clipped"},
        output={"kind": "interaction", "edges": edges, "unit": unit, "steps": steps, "density": density},
    )
