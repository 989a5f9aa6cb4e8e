"""Binary recurrent cells: two binary linear layers, one of the input and one of the hidden state, and float gates.

What is binary: the weights W_ih and W_hh, and what they are multiplied with (the input and the hidden state), by the
parts of any method. What stays float: the gates, the cell state and the hidden state that leaves the cell. Provenance:
binary weights with float gates and states, and the batch norms of `norm="batch"`, are those of Ardakani et al., ICLR
2019 (code read); binary activations with a float cell state are ours: the literature has no code to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from bitwright.binarize.method import Method, get_method
from bitwright.binarize.registry import UnknownNameError
from bitwright.nn.base import BinaryLayer, ReadyWeight
from bitwright.nn.linear import BinaryLinear
from bitwright.nn.step_norm import StepNorm

NORMS = ("none", "batch")

State = TypeVar("State", Tensor, tuple[Tensor, Tensor])
Ready = tuple[ReadyWeight | None, ReadyWeight | None]


def _product(layer: nn.Module, x: Tensor, ready: ReadyWeight | None) -> Tensor:
    result: Tensor = layer(x) if ready is None else layer(x, ready)
    return result


def _plus(a: Tensor, b: Tensor | None) -> Tensor:
    return a if b is None else a + b


class RecurrentCell(nn.Module, Generic[State]):
    """Base of the cells. `input` and `hidden` are `BinaryLinear` layers (packed layers in a frozen model) of
    `gates * hidden_size` outputs.

    A state that is not given is "nothing before": its product is left out, as the product with zeros that it is in
    float. A state that is given is binarized like any other, and the bit of a zero is +1.
    """

    gates: int
    """Blocks of `hidden_size` rows in the weights, in the order of torch.nn."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        *,
        method: str | Method = "bnn",
        input_method: str | Method | None = None,
        norm: str = "none",
        norm_steps: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **options: Any,
    ) -> None:
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise ValueError(f"sizes must be positive, got input_size={input_size}, hidden_size={hidden_size}")
        if norm not in NORMS:
            raise UnknownNameError("norm of a recurrent layer", norm, NORMS)
        resolved = get_method(method, **options)
        first = resolved if input_method is None else get_method(input_method)
        for each in (resolved, first):
            each.check_kind("recurrent")
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        where: dict[str, Any] = {"device": device, "dtype": dtype}
        inner = bias and norm == "none"
        self.input = BinaryLinear(input_size, rows, inner, method=first, **where)
        self.hidden = BinaryLinear(hidden_size, rows, inner, method=resolved, **where)
        self.norm_input = self.norm_hidden = self.norm_cell = None
        if norm == "batch":
            self.norm_input = StepNorm(rows, norm_steps, bias, **where)
            self.norm_hidden = StepNorm(rows, norm_steps, bias, **where)
            if self.gates == 4:
                self.norm_cell = StepNorm(hidden_size, norm_steps, bias, **where)
        self._open_gates()

    norm_input: StepNorm | None
    norm_hidden: StepNorm | None
    norm_cell: StepNorm | None

    @property
    def norm(self) -> str:
        return "none" if self.norm_input is None else "batch"

    def _open_gates(self) -> None:
        """The starting values of biases that are not 0."""

    def reset_parameters(self) -> None:
        """Draws the latent weights anew by the method's rule; biases and norms as at the start."""
        for module in (self.input, self.hidden, self.norm_input, self.norm_hidden, self.norm_cell):
            if module is not None:
                module.reset_parameters()
        self._open_gates()

    # ------------------------------------------------------------ one step
    def step(self, z: Tensor, state: State | None, t: int, ready: ReadyWeight | None) -> tuple[Tensor, State]:
        """(output, new state) from the input's product z `[N, gates * hidden_size]`, already normalized."""
        raise NotImplementedError

    def _hidden_term(self, h: Tensor | None, t: int, ready: ReadyWeight | None) -> Tensor | None:
        """What the hidden state adds to the gates; without one, the biases that are left."""
        if h is not None:
            y = _product(self.hidden, h, ready)
            return y if self.norm_hidden is None else self.norm_hidden(y, t)
        if self.norm_hidden is not None:
            return self.norm_hidden.bias
        constant: Tensor | None = self.hidden.constant_term
        return constant

    def ready_weights(self) -> Ready:
        """Both weights, binarized once for all steps of a sequence (frozen layers have theirs already)."""
        pair = [m.ready_weight() if isinstance(m, BinaryLayer) else None for m in (self.input, self.hidden)]
        return pair[0], pair[1]

    def scan(self, x: Tensor, state: State | None, reverse: bool = False) -> tuple[Tensor, State]:
        """A whole sequence x `[N, T, input_size]`: (outputs `[N, T, hidden_size]`, last state). The weights are
        binarized once, and the input's product of all steps is one product where the method allows that.
        """
        first, second = self.ready_weights()
        if self.input.is_rowwise:
            products: Sequence[Tensor] = _product(self.input, x, first).unbind(1)
        else:
            products = [_product(self.input, row, first) for row in x.unbind(1)]
        outputs: list[Tensor] = []
        for t, z in enumerate(reversed(products) if reverse else products):
            z = z if self.norm_input is None else self.norm_input(z, t)
            h, state = self.step(z, state, t, second)
            outputs.append(h)
        assert state is not None
        return torch.stack(outputs[::-1] if reverse else outputs, dim=1), state

    def _one(self, x: Tensor, state: State | None, t: int) -> State:
        """One step of x `[N, input_size]` or `[input_size]`."""
        if x.dim() not in (1, 2) or x.shape[-1] != self.input_size:
            raise ValueError(f"{type(self).__name__} takes [N, {self.input_size}], got shape {tuple(x.shape)}")
        alone = x.dim() == 1
        rows = x.unsqueeze(0) if alone else x
        before = map_state(state, lambda s: s.unsqueeze(0)) if alone and state is not None else state
        z = self.input(rows)
        z = z if self.norm_input is None else self.norm_input(z, t)
        after = self.step(z, before, t, None)[1]
        return map_state(after, lambda s: s.squeeze(0)) if alone else after

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, bias={self.bias}, norm={self.norm}"


def map_state(state: State, function: Any) -> State:
    """The state with `function` applied to its tensor or to both of its tensors."""
    if isinstance(state, tuple):
        return (function(state[0]), function(state[1]))
    result: State = function(state)
    return result


_DOC = """One step of a binary {name}{formula}

    `W_ih` and `W_hh` are binary; the input and the hidden state are binarized in front of them; gates{states} stay
    float. Inputs `[N, input_size]` (or `[input_size]`), states `[N, hidden_size]`.

    Args:
        input_size, hidden_size, bias: as in `torch.nn.{name}Cell`.
        method: name of a method or a `Method`, for both products; `**options` are its options (`get_method`).
            `activation=None` keeps inputs and hidden states real: binary weights only.
        input_method: another method for W_ih, such as one with real activations where the inputs are the data.
        norm: "batch" normalizes both products{cell} before the gates (what a method without scales needs, since sums
            of hundreds of ±1 saturate a sigmoid); "none".
        norm_steps: time steps with batch statistics of their own; later steps share the last.{more}
        device, dtype: of the parameters.

    Raises:
        ValueError: sizes below 1, or a method without recurrent layers, with its reason.
        UnknownNameError: unknown method, option or norm.
    """


class BinaryLSTMCell(RecurrentCell[tuple[Tensor, Tensor]]):
    __doc__ = _DOC.format(
        name="LSTM",
        formula=": `c' = sigmoid(f) c + sigmoid(i) tanh(g)`, `h' = sigmoid(o) tanh(c')`.",
        states=" and the cell state",
        cell=" and the cell state that the output reads",
        more="",
    )
    gates = 4

    def _open_gates(self) -> None:
        # the forget gate starts open (Jozefowicz et al. 2015)
        term = self.hidden.bias if self.norm_hidden is None else self.norm_hidden.bias
        if term is not None:
            with torch.no_grad():
                term[self.hidden_size : 2 * self.hidden_size] = 1

    def step(
        self, z: Tensor, state: tuple[Tensor, Tensor] | None, t: int, ready: ReadyWeight | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        z = _plus(z, self._hidden_term(None if state is None else state[0], t, ready))
        i, f, g, o = z.chunk(4, dim=-1)
        c = torch.sigmoid(i) * torch.tanh(g)
        if state is not None:
            c = torch.sigmoid(f) * state[1] + c
        h = torch.sigmoid(o) * torch.tanh(c if self.norm_cell is None else self.norm_cell(c, t))
        return h, (h, c)

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor] | None = None, t: int = 0) -> tuple[Tensor, Tensor]:
        """The new (h, c). `t` is the time step, which only `norm="batch"` needs."""
        return self._one(x, state, t)


class BinaryGRUCell(RecurrentCell[Tensor]):
    __doc__ = _DOC.format(
        name="GRU",
        formula=": `n = tanh(x_n + sigmoid(r) h_n)`, `h' = (1 - sigmoid(u)) n + sigmoid(u) h`.",
        states=" and the state",
        cell="",
        more="",
    )
    gates = 3

    def step(self, z: Tensor, state: Tensor | None, t: int, ready: ReadyWeight | None) -> tuple[Tensor, Tensor]:
        term = self._hidden_term(state, t, ready)
        rx, ux, nx = z.chunk(3, dim=-1)
        if term is None:
            update, new = torch.sigmoid(ux), torch.tanh(nx)
        else:
            # slices, not chunk: of a constant they are folded in an exported graph
            rh, uh, nh = (term[..., k * self.hidden_size : (k + 1) * self.hidden_size] for k in range(3))
            update, new = torch.sigmoid(ux + uh), torch.tanh(nx + torch.sigmoid(rx + rh) * nh)
        h = new - update * new if state is None else new + update * (state - new)
        return h, h

    def forward(self, x: Tensor, state: Tensor | None = None, t: int = 0) -> Tensor:
        """The new h. `t` is the time step, which only `norm="batch"` needs."""
        return self._one(x, state, t)


class BinaryRNNCell(RecurrentCell[Tensor]):
    __doc__ = _DOC.format(
        name="RNN",
        formula=": `h' = tanh(x' + h')` of the two products.",
        states="",
        cell="",
        more="""
        nonlinearity: "tanh"; "relu" only where hidden states are not binarized to ±1 (the sign of a number that is
            never negative carries no information).""",
    )
    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, *, nonlinearity: str = "tanh", **options: Any
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise UnknownNameError("nonlinearity of a recurrent layer", nonlinearity, ("tanh", "relu"))
        super().__init__(input_size, hidden_size, bias, **options)
        self.nonlinearity = nonlinearity
        activation = self.hidden.activation
        if nonlinearity == "relu" and activation is not None and activation.low < 0:
            raise ValueError(
                f"nonlinearity='relu' with method {self.hidden.method!r}: hidden states are never negative, so their "
                "signs are all +1; use nonlinearity='tanh', a method with {0,1} activations or activation=None"
            )

    def step(self, z: Tensor, state: Tensor | None, t: int, ready: ReadyWeight | None) -> tuple[Tensor, Tensor]:
        z = _plus(z, self._hidden_term(state, t, ready))
        h = torch.tanh(z) if self.nonlinearity == "tanh" else torch.relu(z)
        return h, h

    def forward(self, x: Tensor, state: Tensor | None = None, t: int = 0) -> Tensor:
        """The new h. `t` is the time step, which only `norm="batch"` needs."""
        return self._one(x, state, t)
