"""torch's recurrent layers and cells as binary ones with the same parameters."""

from __future__ import annotations

from typing import Any

from torch import nn

from bitwright.binarize.method import Method
from bitwright.nn.recurrent import BinaryGRU, BinaryLSTM, BinaryRNN
from bitwright.nn.recurrent_cell import BinaryGRUCell, BinaryLSTMCell, BinaryRNNCell, RecurrentCell

_SEQUENCES: dict[type[nn.Module], type[Any]] = {nn.LSTM: BinaryLSTM, nn.GRU: BinaryGRU, nn.RNN: BinaryRNN}
_CELLS: dict[type[nn.Module], type[Any]] = {
    nn.LSTMCell: BinaryLSTMCell,
    nn.GRUCell: BinaryGRUCell,
    nn.RNNCell: BinaryRNNCell,
}
RECURRENT = (*_SEQUENCES, *_CELLS)


def convert_recurrent(module: nn.Module, method: Method) -> nn.Module:
    """The binary twin of a recurrent layer or cell: the same weight and bias parameters, float gates and states.

    Raises:
        ValueError: projections (`proj_size`), weights that are reparametrized, or a method that cannot take them over.
    """
    source: Any = module
    if getattr(source, "proj_size", 0):
        raise ValueError(f"proj_size={source.proj_size}: a binary LSTM has no projection of its state; skip the layer")
    if nn.utils.parametrize.is_parametrized(source):
        raise ValueError("its weights are reparametrized (torch.nn.utils.parametrize); remove that or skip the layer")
    like = next(source.parameters())
    options: dict[str, Any] = {"method": method, "device": like.device, "dtype": like.dtype}
    if isinstance(source, (nn.RNN, nn.RNNCell)):
        options["nonlinearity"] = source.nonlinearity
    new: Any
    if type(source) in _CELLS:
        new = _CELLS[type(source)](source.input_size, source.hidden_size, source.bias, **options)
        _adopt(new, source, "")
    else:
        new = _SEQUENCES[type(source)](
            source.input_size,
            source.hidden_size,
            source.num_layers,
            source.bias,
            source.batch_first,
            source.dropout,
            source.bidirectional,
            **options,
        )
        for k, cell in enumerate(new.cells):
            layer, direction = divmod(k, new.directions)
            _adopt(cell, source, f"_l{layer}" + ("_reverse" if direction else ""))
    new.train(source.training)
    result: nn.Module = new
    return result


def _adopt(cell: RecurrentCell[Any], source: Any, suffix: str) -> None:
    for layer, name in ((cell.input, "ih"), (cell.hidden, "hh")):
        bias = getattr(source, f"bias_{name}{suffix}") if source.bias else None
        layer.adopt(getattr(source, f"weight_{name}{suffix}"), bias)
