"""AnalogRNN, AnalogLSTM, AnalogGRU: torch's recurrent layers with their products on crossbars."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ohmlet.nn.layer import AnalogLayer, Matrix

__all__ = ["AnalogGRU", "AnalogLSTM", "AnalogRNN"]

State = tuple[Tensor, ...]
"""What a cell remembers: (h,), or (h, c) for an LSTM."""


class AnalogRecurrent(AnalogLayer):
    """Recurrent layers whose matrices are crossbars: input-to-hidden, hidden-to-hidden and an LSTM's projection; gates are digital.

    Takes the digital module's arguments: several layers, both directions, dropout between layers, batch_first. Inputs [T, B, in],
    [B, T, in] with batch_first, [T, in] of one sequence, or a PackedSequence; states [layers directions, B, hidden]. The products of
    all time steps with the input are one; those with the hidden state follow each other. Noise is drawn per sequence of the batch and
    time step. The bias of each product is that of its crossbars.
    """

    settings: ClassVar[tuple[str, ...]] = ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional")
    states: ClassVar[int] = 1
    input_size: int
    hidden_size: int
    num_layers: int
    bias: bool  # type: ignore[assignment]
    batch_first: bool
    dropout: float
    bidirectional: bool
    proj_size: int = 0

    @classmethod
    def weight_names(cls, module: nn.Module) -> tuple[str, ...]:
        """Return the names of the weights of all layers and directions."""
        return tuple(name for name in cast("nn.RNNBase", module)._flat_weights_names if name.startswith("weight"))

    def matrices(self) -> dict[str, Matrix]:
        """Return the matrices, ih_l0 and hh_l0 for layer 0, with _reverse for its other direction."""
        return {
            name.removeprefix("weight_"): Matrix(weight, self._parameters.get(name.replace("weight", "bias")))
            for name, weight in self._parameters.items()
            if weight is not None and name.startswith("weight_")
        }

    def flatten_parameters(self) -> None:
        """Do nothing; models call it for the sake of cuDNN."""

    @abstractmethod
    def cell(self, x: Tensor, h: Tensor, state: State) -> State:
        """Return the next state from the products with the input and with the hidden state, and the state before."""

    def forward(self, x: Tensor | PackedSequence, hx: Any = None) -> tuple[Tensor | PackedSequence, Any]:
        """Return the last layer's hidden states at all times, laid out as the inputs, and the last state of every layer."""
        inputs, lengths = pad_packed_sequence(x, batch_first=True) if isinstance(x, PackedSequence) else (x, None)
        single = inputs.ndim == 2
        if inputs.ndim not in (2, 3) or inputs.shape[-1] != self.input_size or inputs.shape[-2 if single or self.batch_first else 0] == 0:
            layout = f"[B, T, {self.input_size}]" if self.batch_first else f"[T, B, {self.input_size}]"
            raise ValueError(f"expected inputs {layout} or [T, {self.input_size}] of at least one time step, got {tuple(inputs.shape)}")
        if single:
            inputs = inputs[None]
        elif lengths is None and not self.batch_first:
            inputs = inputs.transpose(0, 1)
        state = self._initial(inputs, hx, single)
        inside = None
        if lengths is not None:
            inside = (torch.arange(inputs.shape[1]) < lengths[:, None]).to(inputs.device).unsqueeze(-1)

        y, last = inputs, []
        directions = 1 + self.bidirectional
        for layer in range(self.num_layers):
            if layer and self.dropout:
                y = F.dropout(y, self.dropout, self.training)
            outs = []
            for direction in range(directions):
                first = tuple(part[layer * directions + direction] for part in state)
                out, end = self._run(y, first, inside, f"l{layer}" + "_reverse" * direction, bool(direction))
                outs.append(out)
                last.append(end)
            y = torch.cat(outs, dim=-1) if self.bidirectional else outs[0]

        final = tuple(torch.stack(parts) for parts in zip(*last, strict=True))
        if single:
            y, final = y[0], tuple(part[:, 0] for part in final)
        result = final if self.states > 1 else final[0]
        if isinstance(x, PackedSequence):
            assert lengths is not None
            if x.sorted_indices is not None:
                y, lengths = y[x.sorted_indices], lengths[x.sorted_indices.cpu()]
            return x._replace(data=pack_padded_sequence(y, lengths, batch_first=True).data), result
        return (y if single or self.batch_first else y.transpose(0, 1)), result

    def _initial(self, inputs: Tensor, hx: Any, single: bool) -> State:
        count = self.num_layers * (1 + self.bidirectional)
        sizes = [(count, inputs.shape[0], self.proj_size or self.hidden_size), (count, inputs.shape[0], self.hidden_size)][: self.states]
        if hx is None:
            return tuple(inputs.new_zeros(size) for size in sizes)
        given = tuple(part[:, None] if single else part for part in (hx if self.states > 1 else (hx,)))
        if [part.shape for part in given] != sizes:
            raise ValueError(f"expected a state of sizes {sizes}, got {[tuple(part.shape) for part in given]}")
        return given

    def _run(self, x: Tensor, state: State, inside: Tensor | None, which: str, reverse: bool) -> tuple[Tensor, State]:
        """Return the hidden states [B, T, hidden] of one layer in one direction, 0 outside of a sequence, and the last state."""
        matrices, arrays, rows = self.matrices(), self.arrays(), x.shape[0]
        products = arrays[f"ih_{which}"](x, *matrices[f"ih_{which}"])
        hidden = arrays[f"hh_{which}"]
        call = hidden.call(rows, *matrices[f"hh_{which}"])
        projection = arrays.get(f"hr_{which}")
        projected = projection.call(rows, *matrices[f"hr_{which}"]) if projection is not None else None
        outs = [x] * x.shape[1]
        for t in reversed(range(x.shape[1])) if reverse else range(x.shape[1]):
            after = self.cell(products[:, t], hidden.multiply(state[0][:, None], call, t)[:, 0], state)
            if projection is not None and projected is not None:
                after = (projection.multiply(after[0][:, None], projected, t)[:, 0], *after[1:])
            if inside is not None:
                after = tuple(torch.where(inside[:, t], new, old) for new, old in zip(after, state, strict=True))
            state = after
            outs[t] = state[0]
        y = torch.stack(outs, dim=1)
        return y if inside is None else torch.where(inside, y, torch.zeros_like(y)), state


class AnalogRNN(AnalogRecurrent):
    """`torch.nn.RNN` on crossbars: h' = tanh(W_ih x + W_hh h), or relu."""

    digital: ClassVar[type[nn.Module]] = nn.RNN
    settings: ClassVar[tuple[str, ...]] = (*AnalogRecurrent.settings, "nonlinearity")
    nonlinearity: str

    def cell(self, x: Tensor, h: Tensor, state: State) -> State:
        """Return (h',)."""
        return (torch.tanh(x + h) if self.nonlinearity == "tanh" else torch.relu(x + h),)


class AnalogLSTM(AnalogRecurrent):
    """`torch.nn.LSTM` on crossbars: gates i, f, g, o from W_ih x + W_hh h, c' = f c + i g, h' = o tanh(c'), projected if proj_size."""

    digital: ClassVar[type[nn.Module]] = nn.LSTM
    settings: ClassVar[tuple[str, ...]] = (*AnalogRecurrent.settings, "proj_size")
    states: ClassVar[int] = 2

    def cell(self, x: Tensor, h: Tensor, state: State) -> State:
        """Return (h', c')."""
        i, f, g, o = (x + h).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class AnalogGRU(AnalogRecurrent):
    """`torch.nn.GRU` on crossbars: gates r, z; n = tanh(W_in x + r W_hn h), h' = (1 - z) n + z h."""

    digital: ClassVar[type[nn.Module]] = nn.GRU

    def cell(self, x: Tensor, h: Tensor, state: State) -> State:
        """Return (h',)."""
        (xr, xz, xn), (hr, hz, hn) = x.chunk(3, -1), h.chunk(3, -1)
        z = torch.sigmoid(xz + hz)
        return ((1 - z) * torch.tanh(xn + torch.sigmoid(xr + hr) * hn) + z * state[0],)
