"""Chains: the layers of a network that learn in memory one after the other, for a training step of all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from ohmlet.nn.linear import AnalogLinear
from ohmlet.nn.plain import hooked

__all__ = ["Chain", "Member"]

ACTIVATIONS = (nn.Sigmoid, nn.ReLU, nn.Tanh, nn.GELU)


class Member(NamedTuple):
    """A layer of a chain with the activation behind it."""

    layer: AnalogLinear
    activation: nn.Module | None


class Chain:
    """The crossbars of an `nn.Sequential`: what shapes inputs `before` them, layers with activations, and modules `behind`.

    Made for the modules as they are, which `stands` tells.
    """

    def __init__(self, model: nn.Sequential, members: list[Member], before: list[nn.Module], behind: list[nn.Module]) -> None:
        self.model, self.before, self.members, self.behind = model, before, members, behind
        self.containers = [(each, tuple(each._modules.values())) for each in _containers(model)]
        activations = [member.activation for member in members if member.activation is not None]
        layers = [member.layer for member in members]
        self.watched = [each.__dict__ for each in (*(each for each, _ in self.containers), *layers, *activations, *before)]

    @classmethod
    def of(cls, model: nn.Module) -> Chain | None:
        """Return the chain of a model, or None of one that is more than a chain."""
        if type(model) is not nn.Sequential:
            return None
        modules = list(_flat(model))
        at = [index for index, module in enumerate(modules) if type(module) is AnalogLinear]
        if not at:
            return None
        members: list[Member] = []
        index = at[0]
        while index < len(modules) and type(modules[index]) is AnalogLinear:
            layer, following = modules[index], modules[index + 1] if index + 1 < len(modules) else None
            activation = following if type(following) in ACTIVATIONS and "forward" not in vars(following) else None
            members.append(Member(layer, activation))  # type: ignore[arg-type]
            index += 1 if activation is None else 2
        before, behind = modules[: at[0]], modules[index:]
        once = len({id(member.layer) for member in members}) == len(members)
        # What comes before is computed again where the engine then turns out to have nothing for the chain.
        plain_before = all(type(module) in (nn.Flatten, nn.Identity) for module in before)
        return cls(model, members, before, behind) if once and plain_before and index > at[-1] else None

    def stands(self) -> bool:
        """Whether the model has the modules that it had, and these are what they were."""
        for container, members in self.containers:
            if tuple(container._modules.values()) != members:
                return False
        # Parametrisations give a module another class.
        return all(type(layer) is AnalogLinear for layer, _ in self.members)

    def is_watched(self) -> bool:
        """Whether somebody wants to know of calls that would not be made."""
        return hooked(*self.watched) or any("forward" in own for own in self.watched)

    def arrays(self) -> list[Any]:
        """Return the arrays of the layers."""
        return [member.layer._modules["array"] for member in self.members]

    def parameters(self) -> Iterator[nn.Parameter | None]:
        """Yield anchors, weights, biases and learned scales as they are now."""
        for layer, _ in self.members:
            own = layer.__dict__
            array: Any = own["_modules"]["array"]
            modules = array._modules
            yield modules["in_situ"]._parameters["anchor"] if "in_situ" in modules else None
            yield own["_parameters"].get("weight")
            yield own["_parameters"].get("bias")
            if modules.get("learned_scales") is not None:
                yield from modules["learned_scales"].parameters()


def _containers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield a Sequential and those in it."""
    yield model
    for child in model.children():
        if type(child) is nn.Sequential:
            yield from _containers(child)


def _flat(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that a Sequential calls, one after the other."""
    # Not its children, which name a module once that is called twice.
    for child in model._modules.values():
        if type(child) is nn.Sequential:
            yield from _flat(child)
        elif child is not None:
            yield child
