"""Making an optimizer's step update the crossbars that learn in memory, with the learning rates of its parameter groups."""

from __future__ import annotations

import warnings
import weakref
from typing import Any, NamedTuple

import torch
from torch import nn

from ohmlet.errors import ConfigError, OrderError, UntrainedWarning
from ohmlet.nn.array import AnalogArray
from ohmlet.nn.layer import AnalogLayer, changes, living
from ohmlet.nn.one_call import Learned
from ohmlet.nn.read_out import read_back, shown, whole

__all__ = ["attach", "drop", "learn", "take", "watched"]


def watched(optimizer: torch.optim.Optimizer) -> list[tuple[AnalogLayer, AnalogArray, dict[str, Any]]]:
    """Return the layers and arrays whose anchors an optimizer holds, in its order, each with its parameter group."""
    groups = optimizer.param_groups
    seen = (changes(), *[tuple(map(id, group["params"])) for group in groups])
    # Beside its state, which is all that is saved and copied of an optimizer.
    known: _Known | None = optimizer.__dict__.get("ohmlet_watched")
    if known is not None and known.seen == seen:
        found: list[Any] = []
        for layer, array, anchor, index in known.found:
            here = array()
            # A conversion of a whole model may give an array another anchor.
            if here is None or id(here._modules["in_situ"]._parameters["anchor"]) != anchor:
                break
            found.append((layer(), here, groups[index]))
        else:
            return found
    places = {id(group): index for index, group in enumerate(groups)}
    made = _searched(optimizer)
    optimizer.__dict__["ohmlet_watched"] = _Known(
        seen,
        [(weakref.ref(layer), weakref.ref(array), id(array.in_situ.anchor), places[id(group)]) for layer, array, group in made],
    )
    return made


class _Known(NamedTuple):
    """What a search for an optimizer's layers has found, and what it depends on."""

    seen: tuple[Any, ...]
    found: list[tuple[weakref.ref[Any], weakref.ref[Any], int, int]]
    """Layer, array, the anchor's id, and which parameter group."""


def _searched(optimizer: torch.optim.Optimizer) -> list[tuple[AnalogLayer, Any, dict[str, Any]]]:
    """Return what `watched` does, from all layers there are."""
    anchors = {
        id(array.in_situ.anchor): (layer, array) for layer in living() for array in layer.arrays().values() if array.in_situ is not None
    }
    # The order of parameters is the same in all processes that train together.
    return [(*anchors[id(each)], group) for group in optimizer.param_groups for each in group["params"] if id(each) in anchors]


@torch.no_grad()
def learn(optimizer: torch.optim.Optimizer, *_hook: Any) -> None:
    """Update every watched crossbar with what its backward passes have left, and show the layers' new weights."""
    found = watched(optimizer)
    try:
        changed = _learn(found)
    except BaseException:
        for _, array, _ in found:
            array._modules["in_situ"].give_back()  # type: ignore[operator, union-attr]
        raise
    for layer in changed:
        read_back(layer)


def _learn(found: list[tuple[AnalogLayer, AnalogArray, dict[str, Any]]]) -> list[AnalogLayer]:
    """Update the crossbars of arrays found; return the layers that do not yet show their new weights."""
    changed: dict[int, AnalogLayer] = {}
    for layer, array, group in found:
        # Not by attribute, which modules look up in three places.
        in_situ: Any = array._modules["in_situ"]
        keys: Any = array._buffers["keys"]
        if not in_situ.attached:
            in_situ.attached = True
        weight = whole(layer)
        done = in_situ.learn(float(group["lr"]), keys, array.name, weight)
        if done is Learned.SHOWN and weight is not None:
            shown(layer, weight)
        elif done is Learned.CELLS:
            changed[id(layer)] = layer
        elif not array.training and not in_situ.told and any(each.grad is not None for each in layer.parameters(recurse=False)):
            in_situ.told = True
            warnings.warn(
                f"layer '{array.name}' is in evaluation mode: its other parameters are trained and its cells are not; call model.train() "
                "first, or switch off requires_grad of the others too",
                UntrainedWarning,
                stacklevel=6,
            )
    return list(changed.values())


def take(optimizer: torch.optim.Optimizer, *_hook: Any) -> None:
    """Take what backward passes have left at the anchors out of the optimizer's sight."""
    for _, array, _ in watched(optimizer):
        in_situ: Any = array._modules["in_situ"]
        in_situ.take()


def drop(optimizer: torch.optim.Optimizer) -> None:
    """Forget the updates of every watched crossbar that wait for a step."""
    for _, array, _ in watched(optimizer):
        in_situ: Any = array._modules["in_situ"]
        in_situ.drop()


def once(optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    """Return a step's arguments with a closure that raises OrderError at its second call: one step of cells is one set of pulses."""
    named = "closure" in kwargs
    closure = kwargs["closure"] if named else args[1] if len(args) > 1 else None
    if closure is None:
        return None
    calls = 0

    def guarded() -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise OrderError(
                f"{type(optimizer).__name__} calls its closure again within a step, to compare losses at several points: cells that learn "
                "in memory are pulsed once a step and cannot be taken back; use an optimizer that evaluates once, such as AnalogSGD or Adam"
            )
        return closure()

    return (args, {**kwargs, "closure": guarded}) if named else ((args[0], guarded, *args[2:]), kwargs)


def attach(optimizer: torch.optim.Optimizer, model: nn.Module) -> torch.optim.Optimizer:
    """Let an optimizer of torch update the crossbars of a model that learn in memory, and return it.

    After each of its steps every such layer applies w <- w - lr d x^T in pulses for the inputs and errors of the backward passes since
    the last step; lr is that of the parameter group with the layer's anchor, which is among `model.parameters()`; anchors that the
    optimizer does not hold join it in a group of their own. `optimizer.zero_grad()` drops updates that wait. Momentum, weight decay and
    what else the optimizer does to gradients has no part in it. Raises ConfigError where no layer of the model learns in memory, or the
    optimizer has no learning rate or no parameter of the model, or is LBFGS with several evaluations a step; a step that calls its
    closure a second time raises OrderError.
    """
    if not isinstance(optimizer, torch.optim.Optimizer) or not isinstance(model, nn.Module):
        raise ConfigError(f"attach takes an optimizer and a model, in this order, got {type(optimizer).__name__}, {type(model).__name__}")
    arrays = [
        array
        for layer in model.modules()
        if isinstance(layer, AnalogLayer)
        for array in layer.arrays().values()
        if array.in_situ is not None
    ]
    if not arrays:
        raise ConfigError("no layer of this model learns in memory (tile in_memory): convert it first, or leave attach out")
    if isinstance(optimizer, torch.optim.LBFGS) and (several := optimizer.param_groups[0]["max_iter"]) > 1:
        raise ConfigError(
            f"LBFGS with max_iter {several} evaluates the model several times a step, and cells that learn in memory are pulsed once: "
            "attach another optimizer, such as Adam, or set max_iter to 1"
        )
    known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    missing = [array.in_situ.anchor for array in arrays if array.in_situ is not None and id(array.in_situ.anchor) not in known]
    if not known.intersection(map(id, model.parameters())):
        raise ConfigError(f"this {type(optimizer).__name__} holds no parameter of this model: make it from model.parameters()")
    if missing:
        optimizer.add_param_group({"params": missing})
    for group in optimizer.param_groups:
        if "lr" not in group:
            raise ConfigError(f"{type(optimizer).__name__} has no learning rate, and updates in memory need one")
    if getattr(optimizer, "learns_in_memory", False):
        return optimizer
    optimizer.learns_in_memory = True  # type: ignore[attr-defined]
    optimizer.register_step_pre_hook(once)
    optimizer.register_step_pre_hook(take)
    optimizer.register_step_post_hook(learn)
    zero_grad = optimizer.zero_grad

    def zero_grad_and_drop(*args: Any, **kwargs: Any) -> None:
        zero_grad(*args, **kwargs)
        drop(optimizer)

    zero_grad_and_drop.is_ohmlets = True  # type: ignore[attr-defined]
    optimizer.zero_grad = zero_grad_and_drop  # type: ignore[method-assign]
    for array in arrays:
        assert array.in_situ is not None
        array.in_situ.attached = True
    return optimizer
