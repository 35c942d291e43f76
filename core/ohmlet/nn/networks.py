"""What the engine makes of a chain of layers, bound to their memory: their passes and updates, for mini-batches of some sizes."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ohmlet.nn.chain import Chain
from ohmlet.nn.one_call import Learned
from ohmlet.nn.plain import plain
from ohmlet.nn.read_out import shown, verify, whole

__all__ = ["Networks", "Ready"]

KEPT = 4
"""Sizes of mini-batches that are bound at a time."""


class Bound(NamedTuple):
    """A network of the engine's, or None where it has none, and where all memory was when it was made."""

    network: Any
    places: list[int]
    parts: list[Any]
    """What the engine's network was made of."""
    alive: list[Tensor]
    """All its memory, which nobody can take away while it is bound."""


class Ready(NamedTuple):
    """A network that is as its layers are."""

    network: Any
    affines: list[Any]
    around: list[Tensor]
    places: list[int]
    waiting: list[Any]
    """What waits for a step of the layers."""

    def stands(self) -> bool:
        """Whether all memory is where it was, and nothing waits."""
        return not any(self.waiting) and [*map(Tensor.data_ptr, self.around)] == self.places


class Networks:
    """The engine's networks for a chain, by the number of samples; each serves while the layers and their memory are what they were."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.bound: dict[int, Bound] = {}

    def ready(self, x: Tensor, rates: list[tuple[float, float, float]], count: bool) -> Ready | None:
        """Return what the engine makes of the chain for inputs x [S, in] in training, or None where it has nothing for it.

        `rates` are those of each layer's cells, bias and learned scales; `count` is whether steps are counted.
        """
        samples, inputs = x.shape
        affines: list[Any] = []
        around: list[Any] = []
        waiting: list[Any] = []
        parts: list[Any] = [count]
        for (layer, activation), (lr, _, _) in zip(self.chain.members, rates, strict=True):
            own = layer.__dict__
            array = own["_modules"]["array"]
            if "bias" not in own["_parameters"]:
                return None
            if own["held"]:
                verify(layer)
            bias, outs = own["_parameters"]["bias"], own["out_features"]
            affine, weight = array.affine(inputs, bias), whole(layer)
            # What a parameter holds can be replaced in it.
            if affine is None or weight is None or (bias is not None and bias.numel() != outs):
                return None
            buffers, in_situ = array._buffers, array._modules["in_situ"]
            waiting.append(in_situ.only().pending)
            if waiting[-1]:
                return None
            step, done = in_situ.one_call.bound_to(in_situ, samples, lr, buffers["keys"], weight)
            if done is not Learned.SHOWN:
                return None
            learned = array._modules.get("learned_scales")
            around += buffers["keys"], buffers["trained_samples"], buffers["steps"], in_situ._buffers["scale_0"], weight, affine.w
            if bias is not None:
                around.append(bias)
            if learned is not None:
                around += learned.parameters()
            affines.append(affine)
            parts += affine, step, None if activation is None else activation.__dict__.get("approximate")
            inputs = outs
        places = [*map(Tensor.data_ptr, around)]
        known = self.bound.get(samples)
        if known is None or known.places != places or known.parts != parts:
            network = self._made(samples, affines, parts[2::3], count)
            if len(self.bound) >= KEPT:
                self.bound.clear()
            known = self.bound[samples] = Bound(network, places, parts, [each.detach() for each in around])
        if known.network is None:
            return None
        known.network.rates[:] = [rate[1:] for rate in rates]
        return Ready(known.network, affines, around, places, waiting)

    def _made(self, samples: int, affines: list[Any], steps: list[Any], count: bool) -> Any:
        """Return the engine's network, or None."""
        links = []
        kind: Any = None
        for (layer, activation), affine, step in zip(self.chain.members, affines, steps, strict=True):
            array: Any = layer.array
            front, back, w = affine.link()
            learned, bias = array.learned_scales, layer.bias
            parameter = None if learned is None else learned[0]
            if not all(each is None or (plain(each) and each.is_contiguous()) for each in (bias, parameter)):
                return None
            kind = getattr(array.in_situ.only(), "network", None)
            if kind is None:
                return None
            made = kind.link(
                front, back, w, array.in_situ.scale(0), bias, _named(activation), parameter,
                learned is not None and learned.form == "linear", array.keys, array.trained_samples, array.steps if count else None, step,
            )  # fmt: skip
            links.append(made)
        return kind(links, samples) if kind.fits(links, samples) else None

    @torch.no_grad()
    def leave(self, ready: Ready, calls: list[int]) -> None:
        """Leave errors and gradients where the layers' own backward passes would have left them, for calls with these numbers."""
        network = ready.network
        for k, (member, affine, call) in enumerate(zip(self.chain.members, ready.affines, calls, strict=True)):
            array: Any = member.layer.array
            # The network's memory is used again.
            mark = affine.leave(call, network.inputs[k].detach().clone(), network.errors[k].clone())
            _add(array.in_situ.anchor, mark)
            if member.layer.bias is not None:
                _add(member.layer.bias, network.bias_gradients[k].clone())
            if array.learned_scales is not None:
                parameter = array.learned_scales[0]
                _add(parameter, network.learned_gradients[k][: parameter.numel()].clone().view_as(parameter))

    def note(self) -> None:
        """Take note that the engine has written parameters, past torch."""
        written = torch.autograd.graph.increment_version
        # Not by attribute, which modules look up in three places.
        for layer, _ in self.chain.members:
            parameters = layer._parameters
            bias, array, weight = parameters["bias"], layer._modules["array"], parameters["weight"]
            assert array is not None
            assert weight is not None
            if bias is not None:
                written(bias)
            scales: Any = array._modules.get("learned_scales")
            if scales is not None:
                written(scales[0])
            shown(layer, weight)


def _add(parameter: nn.Parameter, gradient: Tensor) -> None:
    """Add to a parameter's gradient, if it has any."""
    if parameter.requires_grad:
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _named(activation: nn.Module | None) -> str:
    """Return an activation's name, and how it is approximated where there are several ways."""
    return " ".join(
        [type(activation).__name__, *([activation.approximate] if isinstance(activation, nn.GELU) else [])] if activation else []
    )
