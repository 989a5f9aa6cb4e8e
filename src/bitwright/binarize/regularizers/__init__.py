"""Regularisers: losses over one binary layer. One idea a file; files are found."""

from bitwright.binarize.registry import import_all
from bitwright.binarize.regularizers.base import Regularizer

import_all(__name__, __path__)

__all__ = ["Regularizer"]
