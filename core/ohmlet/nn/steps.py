"""A count of the optimizer steps that each array of crossbars has seen, which addresses the noise of training; and a reminder."""

from __future__ import annotations

import warnings
import weakref
from typing import Any

import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from ohmlet.errors import OrderError, UntrainedWarning
from ohmlet.nn.array import AnalogArray
from ohmlet.nn.layer import AnalogLayer, changes, living
from ohmlet.nn.plain import advance

__all__ = ["count_step", "stepped_by"]


def count_step(optimizer: torch.optim.Optimizer, _args: Any, _kwargs: Any) -> None:
    """Advance the step count of every layer with a matrix or learned scales that this optimizer has just updated."""
    stepped, found = stepped_by(optimizer)
    for reference, arrays in found:
        layer = reference()
        if layer is None:
            continue
        updated = False
        for parameter in layer._parameters.values():
            if parameter is not None and id(parameter) in stepped and parameter.ndim > 1:
                updated = True
                break
        # A layer that lives has all of its arrays: who gives it others says so in `_changes`.
        alive = [array for each in arrays if (array := each()) is not None]
        for array in () if updated else alive:
            scales = array._modules.get("learned_scales")
            updated = updated or (scales is not None and any(id(each) in stepped for each in scales.parameters()))
        for array in alive:
            if updated:
                advance(array._buffers["steps"], 1)  # type: ignore[arg-type]
            _remind(array, stepped, updated)


def stepped_by(
    optimizer: torch.optim.Optimizer,
) -> tuple[set[int], list[tuple[weakref.ref[AnalogLayer], list[weakref.ref[AnalogArray]]]]]:
    """Return the parameters that an optimizer steps, and the layers with any of these and their arrays, looked for once among all."""
    seen: Any = (changes(), *[tuple(map(id, group["params"])) for group in optimizer.param_groups])
    # Beside its state, which is all that is saved and copied of an optimizer.
    known = optimizer.__dict__.get("ohmlet_stepped")
    if known is None or known[0] != seen:
        if any(getattr(each, "_is_flat_param", False) for group in optimizer.param_groups for each in group["params"]):
            raise OrderError(
                "FullyShardedDataParallel hides the layers' own parameters, so analog layers cannot count their optimizer steps: "
                "use torch.distributed.fsdp.fully_shard"
            )
        stepped = {each for ids in seen[1:] for each in ids}
        layers = [layer for layer in living() if any(id(each) in stepped for each in layer.parameters())]
        found = [(weakref.ref(layer), [weakref.ref(array) for array in layer.arrays().values()]) for layer in layers]
        known = optimizer.__dict__["ohmlet_stepped"] = seen, stepped, found
    return known[1], known[2]


def _remind(array: AnalogArray, stepped: set[int], updated: bool) -> None:
    """Warn when an array's own parameters get gradients and only others are updated."""
    in_situ: Any = array._modules.get("in_situ")
    if in_situ is not None and not array.forgotten and id(in_situ._parameters["anchor"]) in stepped:
        return
    learned = list(array.parameters())
    if any(id(parameter) in stepped for parameter in learned):
        array.forgotten = 0
    elif updated and any(parameter.grad is not None for parameter in learned):
        array.forgotten += 1
        # Not the first time: an optimizer of their own may come next.
        if array.forgotten == 2:
            warnings.warn(
                f"layer '{array.name}' has learned parameters of its own (such as input ranges) that no optimizer updates: make the "
                "optimizer after ohmlet.convert, add them to it as a parameter group, or switch off their requires_grad",
                UntrainedWarning,
                stacklevel=2,
            )


register_optimizer_step_post_hook(count_step)
