"""Scale rules: from a (normalised) weight in filter form to one positive number per filter, `[O, 1, ...]`. Files are
found.
"""

from bitwright.binarize.scales.base import SCALES, ScaleRule, filter_axes
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = ["SCALES", "ScaleRule", "filter_axes"]
