"""DBF: filters are combinations of deterministic orthogonal binary codes."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method


@register_method(
    MethodInfo(
        name="dbf",
        title="Deterministic Binary Filters for Convolutional Neural Networks",
        authors="Tseng, Bhattacharya, Fernandez-Marques, Alizadeh, Tong, Lane",
        year=2018,
        venue="IJCAI 2018",
        arxiv="",
        summary="real combinations of fixed orthogonal codes of ±1 (OVSF), shared by all filters; real activations",
        binarizes=("weights",),
        weight_scale="none",
        weight_bits="1, fixed codes",
        activation_bits="32",
        packable="yes; the codes are generated, a real 1x1 convolution combines them; not granularity='kernel'",
        learned=("coefficients of the codes",),
        formula={
            "weight": "sum_j alpha_j H_j, H the first J = share L OVSF codes of length L, cropped to the filter",
            "weight gradient": "alpha_j: sum of g H_j; H: none",
            "activation": "x",
        },
        block="any",
        departs={
            "scale equivariance": "the codes are fixed",
            "latent gradient": "the codes are fixed and get no gradient",
        },
        refuses={"embedding": "the codes' responses to an input are combined, and a table has no input"},
        provenance={
            "idea": "secondary",
            "code order, kept codes, cropping": "reconstruction",
            "granularity": "reconstruction",
            "init": "ours",
        },
        notes="Only the idea is known here; everything else is a reconstruction. granularity='filter' works in the "
        "two-step form: a convolution with the codes, then a combination of the maps. granularity='kernel' combines "
        "codes of one k x k kernel and learns a coefficient per input channel, as latent weight.",
    )
)
def dbf(*, share: float = 0.5, granularity: str = "filter") -> MethodParts:
    """Weights `sum_j alpha_j H_j` over fixed orthogonal codes; inputs stay real.

    Args:
        share: part of the codes that is kept, above 0 to 1.
        granularity: "filter": codes as long as a whole filter; "kernel": as long as one k x k kernel.
    """
    if granularity not in ("filter", "kernel"):
        raise ValueError(f"dbf: granularity must be 'filter' or 'kernel', got {granularity!r}")
    if granularity == "kernel":
        return MethodParts(weight={"kind": "kernel_codes", "share": share}, activation=None)
    return MethodParts(weight={"kind": "code_bank"}, activation=None, output={"kind": "code_mix", "share": share})
