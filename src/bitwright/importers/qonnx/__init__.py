"""The operators of QONNX, FINN and Brevitas, lowered one by one to standard operators and the dialect.

Definitions: the operator documents and the executable reference of github.com/fastmachinelearning/qonnx.
"""

from __future__ import annotations

from .layouts import LAYOUTS
from .multithreshold import multi_threshold, xnor_popcount
from .quantizers import bipolar_quant, quant, trunc

GENERAL = ("qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general")
"""Domains under which QONNX's own operators are written: QONNX, Brevitas, and FINN before QONNX."""
CHANNELS_LAST = "qonnx.custom_op.channels_last"

LOWERINGS = {
    (domain, op): lowering
    for domain in GENERAL
    for op, lowering in {
        "BipolarQuant": bipolar_quant,
        "Quant": quant,
        "IntQuant": quant,
        "Trunc": trunc,
        "MultiThreshold": multi_threshold,
        "XnorPopcountMatMul": xnor_popcount,
        **LAYOUTS["general"],
    }.items()
} | {(CHANNELS_LAST, op): lowering for op, lowering in LAYOUTS["channels_last"].items()}

__all__ = ["CHANNELS_LAST", "GENERAL", "LOWERINGS"]
