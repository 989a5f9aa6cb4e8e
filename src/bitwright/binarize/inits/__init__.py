"""Initial values of latent weights, in filter form and in place. Files are found."""

from bitwright.binarize.inits.base import INITS, Init
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = ["INITS", "Init"]
