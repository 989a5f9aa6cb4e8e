"""What the caller may say where a file leaves something open."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImportOptions:
    """Answers to questions that some files leave open. The defaults change no answer of the model
    (but see `probabilities`).

    Attributes:
        input_shape: of one sample, without the batch, in the file's own order of axes; for formats that
            do not store it.
        zero_is_plus: take sign(0) as +1 where the file's sign is three-valued and its input may be zero.
            Without it such a node is an error.
        probabilities: of a file whose last operator is a training loss (MXNet's SoftmaxOutput): keep its softmax.
            Without it the model gives the logits, whose order and argmax are the same.
    """

    input_shape: tuple[int, ...] | None = None
    zero_is_plus: bool = False
    probabilities: bool = False

    def __post_init__(self) -> None:
        if self.input_shape is not None and (not self.input_shape or min(self.input_shape) < 1):
            raise ValueError(f"input_shape must be positive sizes without the batch, got {self.input_shape}")
