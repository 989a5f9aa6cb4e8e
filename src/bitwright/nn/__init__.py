"""Layers that hold binarizers, and the verb that turns an existing torch model into a binary one."""

from bitwright.nn.base import BinaryLayer
from bitwright.nn.conv import BinaryConv1d, BinaryConv2d, BinaryConv3d
from bitwright.nn.conv_transpose import BinaryConvTranspose2d
from bitwright.nn.convert import UnmatchedPatternError, binarize_, binarize_plan
from bitwright.nn.embedding import BinaryEmbedding
from bitwright.nn.linear import BinaryLinear
from bitwright.nn.model_summary import Summary, SummaryRow, summary
from bitwright.nn.nonnegative import NonNegativeInputWarning
from bitwright.nn.packing import pack_bits, pack_filters, packed_bytes, unpack_bits, unpack_filters
from bitwright.nn.recurrent import BinaryGRU, BinaryLSTM, BinaryRecurrent, BinaryRNN
from bitwright.nn.recurrent_cell import BinaryGRUCell, BinaryLSTMCell, BinaryRNNCell, RecurrentCell
from bitwright.nn.report import BinarizeReport, ReportRow
from bitwright.nn.shifts import ChannelShift, RPReLU, RSign
from bitwright.nn.slices import repeat_slices
from bitwright.nn.spec import ActivationCode, BinarySpec, BinaryTerms, NotPackableError, WeightPlane
from bitwright.nn.step_norm import StepNorm

__all__ = [
    "ActivationCode",
    "BinarizeReport",
    "BinaryConv1d",
    "BinaryConv2d",
    "BinaryConv3d",
    "BinaryConvTranspose2d",
    "BinaryEmbedding",
    "BinaryGRU",
    "BinaryGRUCell",
    "BinaryLSTM",
    "BinaryLSTMCell",
    "BinaryLayer",
    "BinaryLinear",
    "BinaryRNN",
    "BinaryRNNCell",
    "BinaryRecurrent",
    "BinarySpec",
    "BinaryTerms",
    "ChannelShift",
    "NonNegativeInputWarning",
    "NotPackableError",
    "RPReLU",
    "RSign",
    "RecurrentCell",
    "ReportRow",
    "StepNorm",
    "Summary",
    "SummaryRow",
    "UnmatchedPatternError",
    "WeightPlane",
    "binarize_",
    "binarize_plan",
    "pack_bits",
    "pack_filters",
    "packed_bytes",
    "repeat_slices",
    "summary",
    "unpack_bits",
    "unpack_filters",
]
