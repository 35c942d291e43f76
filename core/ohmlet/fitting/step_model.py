"""A device's step as a model of traces: what it reads for given settings, where it goes, and its exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import Device
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import ops_torch, read_step
from ohmlet_kernels.pulsed_update.step import bound

__all__ = ["Linearised", "StepModel"]

Array = NDArray[np.float64]


def interpolate(table: Tensor, x: Tensor) -> Tensor:
    """Return the tables [nodes, ...], one for each x, interpolated linearly at x within [0, 1], held beyond."""
    if len(table) == 1:
        return table[0] + 0 * x
    at = x.clamp(0, 1) * (len(table) - 1)
    left = at.detach().nan_to_num(0.0).floor().clamp(max=len(table) - 2)
    index = left.to(torch.int64)[None]
    below, above = (torch.take_along_dim(table, each, 0)[0] for each in (index, index + 1))
    return below + (at - left) * (above - below)


OPS = SimpleNamespace(**{**{name: getattr(ops_torch, name) for name in ops_torch.__all__}, "interpolate": interpolate})
"""`ops` in torch, but for tables: each device of a fit has its own."""


def _interpolate(table: Array, x: Array) -> Array:
    """Do the same in NumPy."""
    if len(table) == 1:
        return np.asarray(table[0] + 0 * x)
    at = np.clip(x, 0, 1) * (len(table) - 1)
    left = np.minimum(np.floor(np.nan_to_num(at)), len(table) - 2)
    index = left.astype(np.int64)[None]
    below, above = (np.take_along_axis(table, each, 0)[0] for each in (index, index + 1))
    made: Array = below + (at - left) * (above - below)
    return made


QUICK = SimpleNamespace(
    where=np.where,
    exp=np.exp,
    log=np.log,
    pow=np.power,
    sqrt=np.sqrt,
    tanh=np.tanh,
    abs=np.abs,
    minimum=np.minimum,
    maximum=np.maximum,
    interpolate=_interpolate,
)
"""`ops` in NumPy, for values alone: pulse after pulse of a few devices, a call of torch takes longer than what it does."""


@frozen(eq=False)
class Linearised:
    """A model around states [T, B, n] before each event: its derivatives by the state, by its inputs and by its noise."""

    by_state: Array
    """[T, B, n, n]"""
    by_input: Array
    """[T, B, n, inputs]"""
    by_noise: Array
    """[T, B, n, draws]"""


class StepModel:
    """The step of a kind of device on a batch of B devices; states [B, n] are the weight and the hidden states.

    What a step reads besides is one vector of inputs: cell parameters, numbers, nodes of tables, and the states of a fresh device.
    Raises ConfigError for a device whose pulses draw uniforms: its mean step is no smooth function of its settings.
    """

    def __init__(self, device: Device) -> None:
        if not isinstance(device, Device):
            raise ConfigError(f"{type(device).__name__} is made of several devices or takes no pulses: fit the device that it is made of")
        if device.uniforms:
            raise ConfigError(
                f"{type(device).__name__} draws uniform numbers, so single pulses act or do not: no smooth step can be fitted to it"
            )
        cell, params, tables, hidden = self.parts(device)
        step = read_step(type(device).step, tuple(cell), tuple(hidden), tuple(params), tuple(tables), device.normals, device.uniforms)
        self.names = step.cell, step.params, step.tables, step.hidden
        self.nodes = tuple(len(tables[name]) for name in step.tables)
        self.draws = step.draws
        self.function, self.quick = bound(step.function, OPS), bound(step.function, QUICK)
        self.states = 1 + len(step.hidden)

    @staticmethod
    def parts(device: Device) -> tuple[dict[str, float], dict[str, float], dict[str, tuple[float, ...]], dict[str, float]]:
        """Return cell parameters, numbers, tables and fresh hidden states of the nominal device, in double precision."""
        one = torch.zeros((1, 1), dtype=torch.float64)
        drawn = {name: parameter.values(one) for name, parameter in device.cells().items()}
        cell = device.derive(drawn, Stream(torch.tensor(0)).child("fit"))
        hidden = {name: float(state.initial) for name, state in device.hidden().items()}
        return {name: float(value) for name, value in cell.items()}, dict(device.parameters()), dict(device.tables()), hidden

    def inputs(self, device: Device) -> Array:
        """Return the inputs of the step for a device."""
        cell, params, tables, hidden = self.parts(device)
        cells, numbers, curves, states = self.names
        values = [cell[name] for name in cells] + [float(params[name]) for name in numbers]
        values += [node for name in curves for node in tables[name]] + [hidden[name] for name in states]
        return np.array(values, dtype=np.float64)

    def fresh(self, inputs: Array) -> Array:
        """Return the hidden states [..., n - 1] of fresh devices."""
        return inputs[..., inputs.shape[-1] - (self.states - 1) :]

    def named(self, inputs: list[Any], stack: Callable[[list[Any]], Any]) -> tuple[Any, Any]:
        """Return cell parameters and numbers as a step reads them, tables among the latter."""
        cells, numbers, curves, _ = self.names
        cell = dict(zip(cells, inputs, strict=False))
        params: dict[str, Any] = dict(zip(numbers, inputs[len(cells) :], strict=False))
        place = len(cells) + len(numbers)
        for name, count in zip(curves, self.nodes, strict=True):
            params[name] = stack(inputs[place : place + count])
            place += count
        return SimpleNamespace(**cell), SimpleNamespace(**params)

    def call(
        self, function: Callable[..., Any], w: Any, up: Any, noise: list[Any], given: tuple[Any, Any], hidden: list[Any]
    ) -> tuple[Any, ...]:
        """Return the states after one pulse."""
        after, remembered = function(w, up, noise, given[0], _Hidden(zip(self.names[3], hidden, strict=True)), given[1])
        return after, *(remembered.values() if isinstance(remembered, _Hidden) else remembered)

    def follow(self, inputs: Array, direction: NDArray[np.int8], seen: Array, gains: Array | None) -> tuple[Array, Array]:
        """Return the states before each event and after it, [T, B, n], of traces `direction` and `seen` [T, B].

        A read corrects the states by gains [T, B, n] times what it differs from the weight; without gains nothing does.
        """
        given = self.named(list(np.ascontiguousarray(inputs.T)), np.stack)
        ways, moves = direction > 0, direction != 0
        every = moves.all(1).tolist()
        quiet = [np.zeros(len(inputs))] * self.draws
        states = [seen[0].copy(), *np.ascontiguousarray(self.fresh(inputs).T)]
        before, after = (np.empty((self.states, *seen.shape)) for _ in range(2))
        corrections = None if gains is None else np.where(np.isfinite(seen)[..., None], gains, 0.0).transpose(2, 0, 1).copy()
        reads = np.nan_to_num(seen)
        for place, state in enumerate(states):
            before[place, 0] = after[place, 0] = state
        for event in range(1, len(seen)):
            moved = self.call(self.quick, states[0], ways[event], quiet, given, states[1:])
            if not every[event]:
                moved = tuple(np.where(moves[event], new, old) for new, old in zip(moved, states, strict=True))
            for place in range(self.states):
                before[place, event] = states[place]
                after[place, event] = moved[place]
            states = list(moved)
            if corrections is not None:
                off = reads[event] - moved[0]
                states = [state + corrections[place, event] * off for place, state in enumerate(moved)]
        return before.transpose(1, 2, 0), after.transpose(1, 2, 0)

    def linearised(self, inputs: Array, direction: NDArray[np.int8], before: Array) -> Linearised:
        """Return the derivatives of each event at the states before it; an event without pulse leaves the states as they are."""
        shape = direction.shape

        def leaf(values: Array) -> Tensor:
            return torch.from_numpy(np.array(np.broadcast_to(values, shape)).reshape(-1)).requires_grad_()

        states = [leaf(before[..., place]) for place in range(self.states)]
        given = [leaf(column) for column in inputs.T]
        noise = [leaf(np.zeros(1)) for _ in range(self.draws)]
        up = torch.from_numpy((direction > 0).reshape(-1))
        made = self.call(self.function, states[0], up, noise, self.named(given, torch.stack), states[1:])
        leaves = [*states, *given, *noise]
        idle = (direction == 0)[..., None]
        rows = []
        for place, after in enumerate(made):
            found: tuple[Tensor | None, ...] = (None,) * len(leaves)
            if after.requires_grad:
                found = torch.autograd.grad(after.sum(), leaves, retain_graph=True, allow_unused=True)
            columns = [np.zeros(shape) if each is None else each.numpy().reshape(shape) for each in found]
            row = np.stack(columns, -1)
            still = np.zeros(len(leaves))
            still[place] = 1.0
            rows.append(np.where(idle, still, row))
        whole = np.stack(rows, -2)
        first, second = self.states, self.states + inputs.shape[1]
        return Linearised(whole[..., :first], whole[..., first:second], whole[..., second:])


class _Hidden(dict[str, Any]):
    """Hidden states, read by name as a step reads them."""

    def __getattr__(self, name: str) -> Any:
        return self[name]
