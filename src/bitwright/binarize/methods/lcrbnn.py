"""LCR-BNN: IR-Net's layers, trained to keep the Lipschitz constants of the real network."""

from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.methods.irnet import irnet


@register_method(
    MethodInfo(
        name="lcrbnn",
        title="Lipschitz Continuity Retained Binary Neural Network",
        authors="Shang, Xu, Duan, Zong, Nie, Yan",
        year=2022,
        venue="ECCV 2022",
        arxiv="2207.06540",
        summary="IR-Net's layers; a loss draws the spectral norms between stages to those of the real network",
        binarizes=("weights", "activations"),
        weight_scale="2^round(log2(mean |w|)) per filter, of the standardised weight",
        needs_epoch=True,
        regularizer="spectral norms of consecutive stage features against a real teacher's: LipschitzRetention",
        formula={
            "weight": "2^s bsign(w^), w^ = (w - mean w) / std w, s = round(log2 mean|w^|)",
            "weight gradient": "2^s g EDE(w^), then through the standardisation",
            "activation": "bsign(x)",
            "activation gradient": "g EDE(x)",
            "loss": "CE + alpha/(N 10^4) sum_i mse(gamma_i sigma_i, sigma_i of the teacher) / 2^(3-i)",
        },
        requires={"teacher": "a trained real network of the same stages", "loss": "bitwright.train.LipschitzRetention"},
        provenance={"weight": "code read", "activation": "code read", "loss": "code read", "init": "ours"},
        notes="The loss is bitwright.train.LipschitzRetention, on the outputs of the stages of both networks; without "
        "it this is irnet(t_min=0.001). An earlier release of the code used RBNN's layers and alpha = 3.2.",
    )
)
def lcrbnn(*, t_min: float = 0.001, t_max: float = 10.0) -> MethodParts:
    """As `irnet`, with the schedule of the authors' ResNet code.

    Args:
        t_min, t_max: t runs from t_min to t_max over the epochs, logarithmically; k = max(1/t, 1).
    """
    return irnet(t_min=t_min, t_max=t_max)
