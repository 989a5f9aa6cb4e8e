"""LCR-BNN: IR-Net's layers with the schedule of the authors' ResNet code; the loss is tested apart."""

from tests.binarize.reference.case import Case, ede, sign_activation
from tests.binarize.reference.irnet import weight

CASES = [
    Case(weight(ede(1e-3)), sign_activation(ede(1e-3))),
    Case(weight(ede(0.1)), sign_activation(ede(0.1)), options={"t_min": 0.1}),
]
