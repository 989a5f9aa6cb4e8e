"""Activation binarizers: from the layer's real input to few levels, with a gradient. One idea a file; files
are found.
"""

from bitwright.binarize.activations.base import ActivationBinarizer, PreparedTerm
from bitwright.binarize.activations.sign import SignActivation
from bitwright.binarize.activations.uniform import UniformActivation
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = ["ActivationBinarizer", "PreparedTerm", "SignActivation", "UniformActivation"]
