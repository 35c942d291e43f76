"""A chip at one time: a model that computes with all instances at once, leaving the trained model untouched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ohmlet.chip.programming import ProgrammedLayer
from ohmlet.errors import OrderError
from ohmlet.nn import AnalogLayer
from ohmlet.nn.array import Mapped, ReadState
from ohmlet.units import spoken

__all__ = ["ChipView", "shared_copy"]

ROWS_AT_ONCE = 2048
"""Rows (samples times instances) that `evaluate` feeds at once; results do not depend on it."""


def shared_copy(model: nn.Module) -> nn.Module:
    """Return a copy of a model's structure that shares every parameter and buffer with it."""
    tensors = [*model.parameters(), *model.buffers()]
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


class ChipView:
    """All instances of a chip at one time; calling it runs the model on each, [instances, batch, ...] out.

    Samples are numbered as they pass, from 0 in a fresh view, and their read-out noise goes by these numbers: `chip.at(t)` anew gives
    the same numbers again, whatever the batches.
    """

    def __init__(self, model: nn.Module, layers: dict[str, ProgrammedLayer], instances: int, t: float, compensated: bool) -> None:
        self.instances, self.t, self.compensated = instances, t, compensated
        self.model = shared_copy(model)
        self.states = {name: layer.at(t, compensated) for name, layer in layers.items()}
        for name, state in self.states.items():
            _layer(self.model, name).array.read = state

    def __repr__(self) -> str:
        return f"<{self.instances} chip instances at {spoken(self.t)}{'' if self.compensated else ', uncompensated'}>"

    @torch.no_grad()
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's outputs with a leading size for the instances; every tensor argument starts with the batch."""
        flat, tree = pytree.tree_flatten((args, kwargs))
        sizes = {leaf.shape[0] for leaf in flat if isinstance(leaf, Tensor) and leaf.ndim}
        if len(sizes) != 1:
            raise OrderError(
                f"a chip evaluates batches: its tensor arguments start with sizes {sorted(sizes)}, which must be one batch size; "
                "chip.at(t).instance(i) is an ordinary model that takes anything"
            )
        batch = sizes.pop()
        rows = self.instances * batch
        repeated = [
            leaf.expand(self.instances, *leaf.shape).flatten(0, 1) if isinstance(leaf, Tensor) and leaf.ndim else leaf for leaf in flat
        ]
        args, kwargs = pytree.tree_unflatten(repeated, tree)
        for state in self.states.values():
            state.rows = rows
        try:
            out = self.model(*args, **kwargs)
        finally:
            for state in self.states.values():
                state.rows = 0
        return pytree.tree_map(lambda leaf: self._split(leaf, batch), out)

    def _split(self, leaf: Any, batch: int) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.ndim == 0 or leaf.shape[0] != self.instances * batch:
            raise OrderError(
                f"the model returned a tensor of shape {tuple(leaf.shape)}, whose first size is not the batch "
                f"({self.instances} instances of {batch}); evaluate one instance at a time with chip.at(t).instance(i)"
            )
        return leaf.unflatten(0, (self.instances, batch))

    def instance(self, index: int) -> nn.Module:
        """Return one instance as an ordinary model in evaluation mode, for any inputs; raises OrderError for an unknown index."""
        if not 0 <= index < self.instances:
            raise OrderError(f"this chip has instances 0 to {self.instances - 1}, not {index}")
        model = shared_copy(self.model)
        for name, state in self.states.items():
            weights = [Mapped(mapped.w[index], mapped.scale) for mapped in state.weights]
            factors = [None if factor is None else factor[index] for factor in state.factors]
            _layer(model, name).array.read = ReadState(weights, factors, [key[index] for key in state.keys], state.path, None)
        return model

    def rewind(self) -> None:
        """Number the next sample 0 again."""
        for state in self.states.values():
            state.samples = 0

    def evaluate(self, batches: Iterable[tuple[Any, Tensor]], metric: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Return the mean of a metric over all samples, for each instance [instances].

        `batches` yields (inputs, labels); `metric(outputs [instances, batch, ...], labels [batch, ...])` returns [instances, batch].
        Starts at sample 0. Raises OrderError when there is no sample.
        """
        self.rewind()
        total, count = torch.zeros(self.instances, dtype=torch.float64), 0
        at_once = max(1, ROWS_AT_ONCE // self.instances)
        for inputs, labels in batches:
            for first in range(0, len(labels), at_once):
                some = labels[first : first + at_once]
                total += metric(self(inputs[first : first + at_once]), some).to("cpu", torch.float64).sum(1)
                count += len(some)
        if count == 0:
            raise OrderError("there is nothing to evaluate on: no batch, or only empty ones")
        return total / count

    def accuracy(self, batches: Iterable[tuple[Any, Tensor]]) -> Tensor:
        """Return the fraction of samples whose largest output is the labelled one, for each instance [instances]."""
        return self.evaluate(batches, lambda outputs, labels: (outputs.argmax(-1) == labels).to(torch.float64))


def _layer(model: nn.Module, name: str) -> AnalogLayer:
    layer = model.get_submodule(name)
    assert isinstance(layer, AnalogLayer)
    return layer
