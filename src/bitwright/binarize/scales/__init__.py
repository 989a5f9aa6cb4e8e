"""Scale rules: from a (normalised) weight in filter form to one positive number per filter, `[O, 1, ...]`. Files are
found.
"""

from bitwright.binarize.registry import import_all
from bitwright.binarize.scales.base import SCALES, ScaleRule, filter_axes

import_all(__name__, __path__)

__all__ = ["SCALES", "ScaleRule", "filter_axes"]
