"""Estimators: the forward is always `bsign`, the backward is a choice of its own. Files are found."""

from bitwright.binarize.estimators.annealed import EDE, TAA, Fourier
from bitwright.binarize.estimators.base import (
    ESTIMATORS,
    Estimator,
    EstimatorInfo,
    EstimatorSpec,
    ScheduleNotSetWarning,
    estimator_info,
    get_estimator,
    list_estimators,
    make_estimator,
)
from bitwright.binarize.estimators.smooth import DSQ, Arctan, Sigmoid, Softsign, SwishSign, Tanh
from bitwright.binarize.estimators.windows import ApproxSign, Clipped, HalfRange, Identity, Poke, StateAware, Window
from bitwright.discovery import import_all

import_all(__name__, __path__)

__all__ = [
    "DSQ",
    "EDE",
    "ESTIMATORS",
    "TAA",
    "ApproxSign",
    "Arctan",
    "Clipped",
    "Estimator",
    "EstimatorInfo",
    "EstimatorSpec",
    "Fourier",
    "HalfRange",
    "Identity",
    "Poke",
    "ScheduleNotSetWarning",
    "Sigmoid",
    "Softsign",
    "StateAware",
    "SwishSign",
    "Tanh",
    "Window",
    "estimator_info",
    "get_estimator",
    "list_estimators",
    "make_estimator",
]
