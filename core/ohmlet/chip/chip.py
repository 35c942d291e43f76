"""The life of a chip: programmed once, then looked at at any time."""

from __future__ import annotations

import copy

import torch
from torch import nn

from ohmlet.chip.programming import ProgrammedLayer, program_layer
from ohmlet.chip.view import ChipView
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError, OrderError
from ohmlet.hooks import hooks
from ohmlet.nn.layer import drawn_seed
from ohmlet.units import seconds

__all__ = ["Chip", "program"]


class Chip:
    """Several instances of a model on hardware, each programmed with its own errors.

    `at(t)` is a pure view: any time, in any order, the same numbers at each call, and the trained model is never touched, since a chip
    keeps a copy of it as it was when it was programmed.
    """

    def __init__(self, model: nn.Module, layers: dict[str, ProgrammedLayer], instances: int, seed: int) -> None:
        self.model, self.layers, self.instances, self.seed = model, layers, instances, seed

    def __repr__(self) -> str:
        crossbars = sum(layer.layer.size for layer in self.layers.values())
        return f"<{self.instances} chip instances of {len(self.layers)} layers on {crossbars} crossbars>"

    def at(self, t: float | str, *, compensated: bool = True, batch_dim: int = 0, out_batch_dim: int | None = None) -> ChipView:
        """Return the chip `t` after its first read-out, in seconds or as words ("1 h", "10 years").

        `compensated=False` leaves the drift compensation's factors out. `batch_dim` is which size of the model's tensor arguments is
        the batch, 1 for time-first sequences [T, B, ...], and `out_batch_dim` that of its results where it is another one; tensors
        with fewer sizes have the batch last. Raises ConfigError for a time that is negative or not finite.
        """
        time = seconds(t)
        for name, dim in (("batch_dim", batch_dim), ("out_batch_dim", out_batch_dim)):
            if dim is not None and (isinstance(dim, bool) or not isinstance(dim, int) or dim < 0):
                raise ConfigError(f"{name} must be a whole number of at least 0, got {dim!r}")
        with torch.no_grad():
            view = ChipView(self.model, self.layers, self.instances, time, compensated, batch_dim, out_batch_dim)
        hooks().ohmlet_after_drift(chip=self, view=view)
        return view


def program(model: nn.Module, instances: int = 1, *, seed: int | None = None) -> Chip:
    """Program a converted model onto `instances` chips and return them as one.

    `seed` is that of all programming and read noise; unless given it is the config's, or else drawn from torch's generator. Raises
    OrderError for a model without analog layers or one that is a chip's already, ConfigError for a tile without a noise model.
    """
    if isinstance(model, Chip | ChipView):
        raise OrderError("this is a chip already; program takes the model that was trained")
    if isinstance(instances, bool) or not isinstance(instances, int) or instances < 1:
        raise ConfigError(f"instances must be a whole number of at least 1, got {instances!r}")
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise ConfigError(f"seed must be a whole number, got {seed!r}")
    if seed is None:
        given = [layer.config.seed for layer in analog_layers(model, "program").values() if layer.config.seed is not None]
        seed = given[0] if given else drawn_seed()
    seed = int(seed)  # numpy's integers make the same chip as Python's
    snapshot = copy.deepcopy(model).eval().requires_grad_(False)
    with torch.no_grad():
        layers = {name: program_layer(name, layer, instances, seed) for name, layer in analog_layers(snapshot, "program").items()}
    chip = Chip(snapshot, layers, instances, seed)
    hooks().ohmlet_after_program(chip=chip)
    return chip
