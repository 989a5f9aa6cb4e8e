"""Training: one LightningModule, its recipe in typed YAML, checkpoints that rebuild their network."""

from bitwright.train.bits import BitStatistics
from bitwright.train.checkpoint import CheckpointError, load_checkpoint, read_checkpoint
from bitwright.train.class_centres import ClassCentres
from bitwright.train.classifier import Classifier
from bitwright.train.config import CentresConfig, OptimizerConfig, ScheduleConfig, TeacherConfig
from bitwright.train.evaluate import Evaluation, evaluate
from bitwright.train.feature_losses import LipschitzRetention, attention_loss
from bitwright.train.interaction_search import InteractionPolicy, SearchResult, batch_loss, search_interactions
from bitwright.train.losses import distribution_loss, embedding_loss, squared_hinge_loss

__all__ = [
    "BitStatistics",
    "CentresConfig",
    "CheckpointError",
    "ClassCentres",
    "Classifier",
    "Evaluation",
    "InteractionPolicy",
    "LipschitzRetention",
    "OptimizerConfig",
    "ScheduleConfig",
    "SearchResult",
    "TeacherConfig",
    "attention_loss",
    "batch_loss",
    "distribution_loss",
    "embedding_loss",
    "evaluate",
    "load_checkpoint",
    "read_checkpoint",
    "search_interactions",
    "squared_hinge_loss",
]
