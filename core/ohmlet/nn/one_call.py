"""An optimizer's step on one crossbar as one call of the engine, bound to the memory that it works on."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ohmlet.nn.in_situ import InSitu

__all__ = ["Learned", "OneCall"]

KEPT = 8
"""Calls that are kept, for batches of several sizes."""


class Learned(Enum):
    """What a step has done to a layer."""

    NOTHING = 0
    CELLS = 1
    """The cells are updated; what the layer shows is not."""
    SHOWN = 2
    """And the layer shows their weights."""


class OneCall:
    """The engine's calls for steps on the only crossbar of an array, by numbers of vectors; all memory must be where it was."""

    def __init__(self) -> None:
        self.bound: dict[Any, tuple[list[int], int, Any, Any, Learned]] = {}
        self.buffers: list[dict[str, Any]] = []
        """Where the tensors of the crossbar and of its `InSitu` are."""

    def __reduce__(self) -> Any:
        """Pickle and copy as one that is bound to nothing: a copy has its memory elsewhere."""
        return type(self), ()

    def __call__(self, in_situ: InSitu, factor: float, lr: float, keys: Tensor, shown: Tensor | None) -> Learned:
        """Update the crossbar with the only pair that waits, its errors times `factor`, where the engine can; say what was done.

        `shown` is the parameter [out, in] that is to show the weights in model units, if there is one.
        """
        crossbar = in_situ.only()
        pending = crossbar.pending
        _, x, d = pending[0]
        if not type(x) is type(d) is Tensor or x.ndim != 2:
            return Learned.NOTHING
        if not (x.dtype is d.dtype is torch.float32 and x.is_cpu and d.is_cpu):
            return Learned.NOTHING
        step, done = self.bound_to(in_situ, x.shape[0], lr, keys, shown)
        x, d = x if x.is_contiguous() else x.contiguous(), d if d.is_contiguous() else d.contiguous()
        if step is None or not step(x.data_ptr(), d.data_ptr(), factor):
            return Learned.NOTHING
        pending.clear()
        return done

    def bound_to(self, in_situ: InSitu, samples: int, lr: float, keys: Tensor, shown: Tensor | None) -> tuple[Any, Learned]:
        """Return the engine's call for a step with so many vectors, and what it does; None without one."""
        crossbar, scale = in_situ.only(), in_situ.scale(0)
        places = [each.data_ptr() for each in self.around(in_situ, keys, shown)]
        known = self.bound.get(samples)
        stands = known is not None and known[0] == places and known[1] == scale._version
        # A plan of another learning rate can be brought to this one, and stays the same, or cannot.
        if not stands or known is None or (known[2].lr != lr and crossbar.plan(samples, lr) is not known[2]):
            if len(self.bound) >= KEPT:
                self.bound.clear()
            made = self._made(in_situ, samples, lr, keys, shown)
            if made is None:
                return None, Learned.NOTHING
            known = self.bound[samples] = (places, scale._version, *made)
        return known[3], known[4]

    def around(self, in_situ: InSitu, keys: Tensor, shown: Tensor | None) -> list[Tensor]:
        """Return all memory that a step works on, whose places tell whether what was bound to it still is."""
        if not self.buffers:
            # Dictionaries, in which tensors may be replaced.
            self.buffers.extend(module._buffers for module in (*in_situ.only().modules(), in_situ) if module._buffers)
        around: list[Any] = [each for buffers in self.buffers for each in buffers.values() if each is not None]
        around.append(keys)
        if shown is not None:
            around.append(shown)
        return around

    def _made(self, in_situ: InSitu, samples: int, lr: float, keys: Tensor, shown: Tensor | None) -> tuple[Any, Any, Learned] | None:
        """Return the engine's plan and its call for steps with so many vectors, and what it does; None without either."""
        crossbar, scale, vectors = in_situ.only(), in_situ.scale(0), in_situ.vectors
        plan_of = getattr(crossbar, "plan", None)
        plan = None if plan_of is None else plan_of(samples, lr)
        if plan is None:
            return None
        w = crossbar.weights()
        # Where reads see no buffer, weights are made anew each time.
        plain = all(each.is_contiguous() and each.dtype == torch.float32 for each in (w, scale) if shown is not None)
        whole = shown is not None and plain and w is crossbar.weights() and shown.is_contiguous() and shown.dtype == torch.float32
        step = crossbar.learning(plan, in_situ.square(0, scale), keys, vectors, (w, shown, scale) if whole else None)
        return plan, step, Learned.SHOWN if whole else Learned.CELLS
