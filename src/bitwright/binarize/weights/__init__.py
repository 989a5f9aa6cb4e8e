"""Weight binarizers: from the latent weight (filter form) to ±scale, with a gradient. One idea a file;
files are found.
"""

from bitwright.binarize.weights.base import WeightBinarizer
from bitwright.binarize.weights.real import RealWeight
from bitwright.binarize.weights.sign import SignWeight
from bitwright.binarize.weights.uniform import UniformWeight
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = ["RealWeight", "SignWeight", "UniformWeight", "WeightBinarizer"]
