"""Output rules: what a method does to the convolution's result besides the weight's scale. One idea a file; files are
found.
"""

from bitwright.binarize.outputs.base import OutputRule
from bitwright.binarize.outputs.channel_scale import ChannelScale
from bitwright.binarize.outputs.gradient_bits import GradientBits, quantize_gradient
from bitwright.binarize.outputs.input_scale_map import InputScaleMap
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = ["ChannelScale", "GradientBits", "InputScaleMap", "OutputRule", "quantize_gradient"]
