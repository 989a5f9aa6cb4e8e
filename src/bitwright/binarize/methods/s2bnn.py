"""S2-BNN: ReActNet's binarizers, trained by distillation without labels."""

from bitwright.binarize.estimators import EstimatorSpec
from bitwright.binarize.method import MethodInfo, MethodParts, register_method
from bitwright.binarize.methods.reactnet import reactnet


@register_method(
    MethodInfo(
        name="s2bnn",
        title="S2-BNN: Bridging the Gap Between Self-Supervised Real and 1-bit Neural Networks via Guided Distribution "
        "Calibration",
        authors="Shen, Liu, Qin, Huang, Cheng, Savvides",
        year=2021,
        venue="CVPR 2021",
        arxiv="2102.08946",
        summary="ReActNet's weights and shifted activations; the loss compares embeddings with a teacher's",
        binarizes=("weights", "activations"),
        weight_scale="mean |w| per filter",
        learned=("shift of every input channel",),
        stages=("activations", "full"),
        formula={
            "weight": "alpha bsign(w), alpha = mean|w| of the filter",
            "weight gradient": "g 1{|w| <= 1}",
            "activation": "bsign(x + b)",
            "activation gradient": "g max(0, 2 - 2|x + b|)",
            "loss": "-sum softmax(z_t / T) log softmax(z_s / T), z the normalised embeddings, T = 0.2",
        },
        requires={
            "teacher": "a frozen self-supervised network (MoCo v2) in eval mode that sees the same view",
            "loss": "distillation of normalised embeddings, alone (best in the paper) or with MoCo's contrastive one",
            "two stages": "real weights first, then binary ones; one step also works",
        },
        block="ReActNet-A with a projection head 1024, ReLU, 128",
        provenance={"weight": "code read", "activation": "code read", "loss": "code read", "init": "ours"},
        notes="The binarizers are those of method 'reactnet', the loss is bitwright.train.embedding_loss. The learning "
        "rate falls linearly although the authors' flag says cosine.",
    )
)
def s2bnn(*, estimator: EstimatorSpec = "approxsign") -> MethodParts:
    """Weights `mean|w| bsign(w)`, activations `bsign(x + b)`, as in ReActNet.

    Args:
        estimator: backward rule of the activations.
    """
    return reactnet(estimator=estimator)
