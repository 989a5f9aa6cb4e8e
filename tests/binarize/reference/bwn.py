"""BWN: XNOR-Net's weights, real inputs."""

from tests.binarize.reference.case import Case
from tests.binarize.reference.xnornet import weight

CASES = [
    *(Case(weight(v), options={"gradient": v}) for v in "abcd"),
    *(Case(weight(v, False), options={"gradient": v, "center": False}) for v in "ac"),
]
