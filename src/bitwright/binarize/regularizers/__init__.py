"""Regularisers: losses over one binary layer. One idea a file; files are found."""

from bitwright.binarize.regularizers.base import Regularizer
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = ["Regularizer"]
