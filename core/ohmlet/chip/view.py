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
from ohmlet.nn.array import Mapped, ReadState
from ohmlet.nn.layer import arrays_of, joined
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

    def __init__(
        self,
        model: nn.Module,
        layers: dict[str, ProgrammedLayer],
        instances: int,
        t: float,
        compensated: bool,
        batch_dim: int = 0,
        out_batch_dim: int | None = None,
    ) -> None:
        self.instances, self.t, self.compensated = instances, t, compensated
        self.batch_dim, self.out_batch_dim = batch_dim, batch_dim if out_batch_dim is None else out_batch_dim
        self.model = shared_copy(model)
        self.states = {joined(name, which): state for name, layer in layers.items() for which, state in layer.at(t, compensated).items()}
        for path, array in arrays_of(self.model).items():
            array.read = self.states[path]
            array.read.batch_dim = batch_dim

    def __repr__(self) -> str:
        return f"<{self.instances} chip instances at {spoken(self.t)}{'' if self.compensated else ', uncompensated'}>"

    @torch.no_grad()
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the model's outputs with a leading size for the instances; `batch_dim` of every tensor argument is the batch."""
        flat, tree = pytree.tree_flatten((args, kwargs))
        sizes = {leaf.shape[_at(self.batch_dim, leaf)] for leaf in flat if isinstance(leaf, Tensor) and leaf.ndim}
        if len(sizes) != 1:
            where = "start with" if self.batch_dim == 0 else f"have at batch_dim {self.batch_dim}"
            raise OrderError(
                f"a chip evaluates batches: its tensor arguments {where} sizes {sorted(sizes)}, which must be one batch size; "
                "chip.at(t).instance(i) is an ordinary model that takes anything"
            )
        batch = sizes.pop()
        rows = self.instances * batch
        repeated = [self._repeat(leaf) if isinstance(leaf, Tensor) and leaf.ndim else leaf for leaf in flat]
        args, kwargs = pytree.tree_unflatten(repeated, tree)
        for state in self.states.values():
            state.rows = rows
        try:
            out = self.model(*args, **kwargs)
        finally:
            for state in self.states.values():
                state.rows = 0
        return pytree.tree_map(lambda leaf: self._split(leaf, batch), out)

    def _repeat(self, leaf: Tensor) -> Tensor:
        at = _at(self.batch_dim, leaf)
        return leaf.unsqueeze(at).expand(*leaf.shape[:at], self.instances, *leaf.shape[at:]).flatten(at, at + 1)

    def _split(self, leaf: Any, batch: int) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        at = _at(self.out_batch_dim, leaf)
        if leaf.ndim == 0 or leaf.shape[at] != self.instances * batch:
            raise OrderError(
                f"the model returned a tensor of shape {tuple(leaf.shape)}, whose {'first size' if at == 0 else f'size {at}'} is not the "
                f"batch ({self.instances} instances of {batch}); evaluate one instance at a time with chip.at(t).instance(i), or say with "
                "chip.at(t, out_batch_dim=...) which size it is"
            )
        return leaf.unflatten(at, (self.instances, batch)).movedim(at, 0)

    def instance(self, index: int) -> nn.Module:
        """Return one instance as an ordinary model in evaluation mode, for any inputs; raises OrderError for an unknown index."""
        if not 0 <= index < self.instances:
            raise OrderError(f"this chip has instances 0 to {self.instances - 1}, not {index}")
        model = shared_copy(self.model)
        for path, array in arrays_of(model).items():
            state = self.states[path]
            weights = [Mapped(each.w[index], each.scale, None if each.g is None else each.g[:, index]) for each in state.weights]
            factors = [None if factor is None else factor[index] for factor in state.factors]
            array.read = ReadState(weights, factors, [key[index] for key in state.keys], state.path, None)
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
            split = zip(*(part.split(at_once, _at(self.batch_dim, part)) for part in (inputs, labels)), strict=True)
            for some_inputs, some_labels in split:
                values = metric(self(some_inputs), some_labels)
                total += values.to("cpu", torch.float64).sum(1)
                count += values.shape[1]
        if count == 0:
            raise OrderError("there is nothing to evaluate on: no batch, or only empty ones")
        return total / count

    def accuracy(self, batches: Iterable[tuple[Any, Tensor]]) -> Tensor:
        """Return the fraction of samples whose largest output is the labelled one, for each instance [instances]."""
        return self.evaluate(batches, lambda outputs, labels: (outputs.argmax(-1) == labels).to(torch.float64))


def _at(dim: int, leaf: Tensor) -> int:
    """Return which size of a tensor is the batch: `dim`, or the last size where there are fewer."""
    return max(0, min(dim, leaf.ndim - 1))
