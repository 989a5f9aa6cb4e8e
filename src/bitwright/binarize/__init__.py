"""A value and its gradient: estimators, weight and activation binarizers, and the methods composed of them."""

from bitwright.binarize.activations import ActivationBinarizer, SignActivation, UniformActivation
from bitwright.binarize.codes import ActivationCode, LevelsCode, NotPackableError, WeightCode
from bitwright.binarize.estimators import (
    Estimator,
    EstimatorInfo,
    ScheduleNotSetWarning,
    estimator_info,
    get_estimator,
    list_estimators,
)
from bitwright.binarize.inits import INITS
from bitwright.binarize.method import (
    LAYER_KINDS,
    PROPERTIES,
    REQUIREMENTS,
    Method,
    MethodInfo,
    MethodParts,
    get_method,
    list_methods,
    method_info,
    method_options,
    register_method,
)
from bitwright.binarize.outputs import ChannelScale, GradientBits, InputScaleMap, OutputRule
from bitwright.binarize.part import STAGES, LayerShape, Part, Progress
from bitwright.binarize.parts import ACTIVATIONS, OUTPUTS, REGULARIZERS, WEIGHTS
from bitwright.binarize.registry import Registry, UnknownNameError
from bitwright.binarize.regularizers import Regularizer
from bitwright.binarize.scales import SCALES
from bitwright.binarize.sign import bsign, replace_value
from bitwright.binarize.verbs import (
    BinaryModule,
    after_step,
    before_step,
    clip_latent_,
    initialize_from_data,
    needs_epoch,
    regularization,
    set_progress,
    set_stage,
)
from bitwright.binarize.weights import RealWeight, SignWeight, UniformWeight, WeightBinarizer

__all__ = [
    "ACTIVATIONS",
    "INITS",
    "LAYER_KINDS",
    "OUTPUTS",
    "PROPERTIES",
    "REGULARIZERS",
    "REQUIREMENTS",
    "SCALES",
    "STAGES",
    "WEIGHTS",
    "ActivationBinarizer",
    "ActivationCode",
    "BinaryModule",
    "ChannelScale",
    "Estimator",
    "EstimatorInfo",
    "GradientBits",
    "InputScaleMap",
    "LayerShape",
    "LevelsCode",
    "Method",
    "MethodInfo",
    "MethodParts",
    "NotPackableError",
    "OutputRule",
    "Part",
    "Progress",
    "RealWeight",
    "Registry",
    "Regularizer",
    "ScheduleNotSetWarning",
    "SignActivation",
    "SignWeight",
    "UniformActivation",
    "UniformWeight",
    "UnknownNameError",
    "WeightBinarizer",
    "WeightCode",
    "after_step",
    "before_step",
    "bsign",
    "clip_latent_",
    "estimator_info",
    "get_estimator",
    "get_method",
    "initialize_from_data",
    "list_estimators",
    "list_methods",
    "method_info",
    "method_options",
    "needs_epoch",
    "register_method",
    "regularization",
    "replace_value",
    "set_progress",
    "set_stage",
]
