"""Binary LSTM, GRU and RNN over whole sequences: layers and directions of the cells."""

from __future__ import annotations

from operator import itemgetter
from typing import Any, Generic, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from bitwright.binarize.method import Method
from bitwright.nn.recurrent_cell import (
    BinaryGRUCell,
    BinaryLSTMCell,
    BinaryRNNCell,
    RecurrentCell,
    State,
    map_state,
)


class BinaryRecurrent(nn.Module, Generic[State]):
    """Base: `num_layers` layers of one or two directions; `cells` holds them layer by layer, forward direction first.

    The sequence runs as a loop over its steps, so `torch.export` and `to_onnx` write it out for the length of the
    example: an exported model has that length fixed.
    """

    cell_class: type[RecurrentCell[Any]]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        method: str | Method = "bnn",
        input_method: str | Method | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if num_layers < 1:
            raise ValueError(f"num_layers must be at least 1, got {num_layers}")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is a probability between 0 and 1, got {dropout}")
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout, self.bidirectional = bias, batch_first, dropout, bidirectional
        self.cells = nn.ModuleList()
        for layer in range(num_layers):
            size = input_size if layer == 0 else hidden_size * self.directions
            own: dict[str, Any] = {} if layer or input_method is None else {"input_method": input_method}
            for _ in range(self.directions):
                self.cells.append(self.cell_class(size, hidden_size, bias, method=method, **own, **options))

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def reset_parameters(self) -> None:
        """Draws the latent weights anew by the method's rule; biases and norms as at the start."""
        for k in range(len(self.cells)):
            self._cell(k).reset_parameters()

    def _cell(self, k: int) -> RecurrentCell[State]:
        cell: Any = self.cells[k]
        return cast("RecurrentCell[State]", cell)

    def flatten_parameters(self) -> None:
        """Nothing: there is no buffer of all weights. Models written for torch.nn call it."""

    def forward(self, x: Tensor, hx: State | None = None) -> tuple[Tensor, State]:
        """As torch.nn's: (outputs of the last layer, last states of all layers and directions).

        Args:
            x: `[T, N, input_size]`, `[N, T, input_size]` with batch_first, or `[T, input_size]`.
            hx: states to start from, `[num_layers * directions, N, hidden_size]`; None: nothing before, so the first
                step has no hidden product.

        Raises:
            TypeError: a PackedSequence.
            ValueError: shapes that do not fit, or a sequence without steps.
        """
        if isinstance(x, PackedSequence):
            raise TypeError(
                f"{type(self).__name__} takes padded sequences; unpack with torch.nn.utils.rnn.pad_packed_sequence "
                "and read the outputs at the lengths"
            )
        if x.dim() not in (2, 3) or x.shape[-1] != self.input_size:
            raise ValueError(
                f"{type(self).__name__} takes sequences of {self.input_size} features, got shape {tuple(x.shape)}"
            )
        alone = x.dim() == 2
        sequence = x.unsqueeze(0) if alone else x if self.batch_first else x.transpose(0, 1)
        if sequence.shape[1] == 0:
            raise ValueError(f"{type(self).__name__} got a sequence without steps, shape {tuple(x.shape)}")
        before: State | None = hx
        if hx is not None:
            self._check_state(hx, 2 if alone else 3, None if alone else sequence.shape[0])
            before = map_state(hx, lambda s: s.unsqueeze(1)) if alone else hx
        after: list[State] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in range(self.directions):
                k = layer * self.directions + direction
                own = None if before is None else map_state(before, itemgetter(k))
                y, state = self._cell(k).scan(sequence, own, reverse=direction == 1)
                outputs.append(y)
                after.append(state)
            sequence = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
            if self.dropout and layer + 1 < self.num_layers:
                sequence = F.dropout(sequence, self.dropout, self.training)
        last = _stacked(after)
        if alone:
            return sequence.squeeze(0), map_state(last, lambda s: s.squeeze(1))
        return sequence if self.batch_first else sequence.transpose(0, 1), last

    def _check_state(self, hx: Any, rank: int, batch: int | None) -> None:
        several = self.cell_class.gates == 4
        if isinstance(hx, tuple) != several or (several and len(hx) != 2):
            raise TypeError(f"hx of {type(self).__name__} is {'a pair (h, c)' if several else 'one tensor h'}")
        middle: tuple[int, ...] = () if batch is None else (batch,)
        for state in hx if several else (hx,):
            wanted = (self.num_layers * self.directions, *middle, self.hidden_size)
            if tuple(state.shape) != wanted:
                raise ValueError(f"hx of {type(self).__name__} must have shape {wanted}, got {tuple(state.shape)}")

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}, num_layers={self.num_layers}"
        for name, default in (("bias", True), ("batch_first", False), ("dropout", 0.0), ("bidirectional", False)):
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


def _stacked(states: list[State]) -> State:
    if isinstance(states[0], tuple):
        return (torch.stack([s[0] for s in states]), torch.stack([s[1] for s in states]))
    return torch.stack(states)


_DOC = """Binary {name} over sequences: `torch.nn.{name}` with binary W_ih and W_hh, whose inputs and hidden states are
    binarized in front of them; gates and states stay float (see `Binary{name}Cell`).

    Args:
        input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional: as in `torch.nn.{name}`.
        method: name of a method or a `Method`, for all products; other `**options` are those of `Binary{name}Cell`
            (`norm`, `norm_steps`{more}, `device`, `dtype`) and the method's (`get_method`).
        input_method: another method for the first layer's W_ih, whose inputs are the data.

    Raises:
        ValueError: sizes below 1, or a method without recurrent layers, with its reason.
        UnknownNameError: unknown method or option.
    """


class BinaryLSTM(BinaryRecurrent[tuple[Tensor, Tensor]]):
    __doc__ = _DOC.format(name="LSTM", more="")
    cell_class = BinaryLSTMCell


class BinaryGRU(BinaryRecurrent[Tensor]):
    __doc__ = _DOC.format(name="GRU", more="")
    cell_class = BinaryGRUCell


class BinaryRNN(BinaryRecurrent[Tensor]):
    __doc__ = _DOC.format(name="RNN", more=", `nonlinearity`")
    cell_class = BinaryRNNCell
