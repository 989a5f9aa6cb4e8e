"""SBD: weights as a product of two sign matrices and a diagonal."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="sbd",
        title="Training Binary Weight Networks via Semi-Binary Decomposition",
        authors="Hu, Li, Wang, Zhang, Cheng",
        year=2018,
        venue="ECCV 2018",
        arxiv="",
        summary="the weight matrix is the nearest U diag(d) V with U and V of ±1; real activations",
        binarizes=("weights",),
        weight_scale="diagonal d, one number for each of K terms",
        weight_bits="1, as two factors of K terms",
        activation_bits="32",
        packable="yes; costs two layers of 1-bit weights and real inputs: K filters of the layer's kernel (K for every "
        "group), then a 1x1 convolution",
        formula={
            "weight": "U diag(d) V, the alternating minimum of |w - U diag(d) V|^2",
            "weight gradient": "g",
            "activation": "x",
        },
        requires={
            "pretrained": "the decomposition starts from a trained float network",
            "optimizer": "after_step(model) at every step, which improves the factors",
        },
        block="any",
        departs={
            "two values": "a weight is a sum of K terms of either sign",
            "scale equivariance": "the value is no sum of few bit planes",
        },
        refuses={"embedding": "a table has no matrix product to decompose"},
        provenance={
            "decomposition": "paper read",
            "solver": "reconstruction",
            "weight gradient": "ours",
            "rank": "reconstruction",
        },
        notes="Only the abstract is known here: that the weight is two binary matrices and a diagonal, found by "
        "alternation. The solver, the default rank (one bit a weight) and how it trains are reconstructions. On random "
        "weights one scale per filter is nearer at equal bits; trained weights have structure to use.",
    )
)
def sbd(*, rank: int | None = None, sweeps: int = 5) -> MethodParts:
    """Weights `U diag(d) V` with U, V of ±1; inputs stay real.

    Args:
        rank: K; None: as many terms as one bit a weight allows.
        sweeps: alternations when the weight is set anew.
    """
    return MethodParts(weight={"kind": "semi_binary", "rank": rank, "sweeps": sweeps}, activation=None)
