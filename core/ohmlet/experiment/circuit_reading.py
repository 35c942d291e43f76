"""A network on programmed crossbars, read under variants of the hardware."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.conversion import analog_layers
from ohmlet.errors import UnprogrammedWarning
from ohmlet.experiment.checkpoint import Stopper
from ohmlet.experiment.circuit_chip import check_variant
from ohmlet.experiment.progress import Stage

__all__ = ["answers_of", "variant_of"]


@torch.no_grad()
def variant_of(name: str, analog: nn.Module, changes: dict[str, Any], x: Tensor) -> nn.Module:
    """Return the network on a variant of the hardware, once tried: what it refuses is refused before anything is programmed."""
    model = copy.deepcopy(analog)
    for layer in analog_layers(model, "a variant").values():
        layer.retarget(layer.config.override(changes))
    check_variant(name, model, analog)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnprogrammedWarning)
        copy.deepcopy(model).eval()(x)
    return model


@torch.no_grad()
def answers_of(
    model: nn.Module, digital: nn.Module, layers: list[str], x: Tensor, size: int, stopper: Stopper, stage: Stage
) -> dict[str, Any]:
    """Return the network's outputs, and of layers that are one matrix their products beside the exact ones for the same inputs."""
    model.eval()
    digital.eval()
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in layers}
    handles = [
        model.get_submodule(name).register_forward_hook(lambda _, given, out, name=name: seen[name].append((given[0], out)))
        for name in layers
    ]
    outputs = []
    for some in x.split(size):
        stopper.check()
        outputs.append(model(some))
        stage.advance(len(some))
    for handle in handles:
        handle.remove()
    found: dict[str, Any] = {"outputs": torch.cat(outputs), "layers": {}}
    for name, pairs in seen.items():
        exact = digital.get_submodule(name)
        bare = torch.cat([exact(torch.zeros_like(given)) for given, _ in pairs])
        found["layers"][name] = {
            "product": torch.cat([out for _, out in pairs]) - bare,
            "exact": torch.cat([exact(given) for given, _ in pairs]) - bare,
        }
    return found
