"""The life of a chip: programmed once, then looked at at any time."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ohmlet.chip.convergence import Convergence
from ohmlet.chip.export import write_targets
from ohmlet.chip.fault_map import FaultMap
from ohmlet.chip.faults import Faults
from ohmlet.chip.programming import ProgrammedLayer, program_layer
from ohmlet.chip.targets import targets_of
from ohmlet.chip.view import ChipView
from ohmlet.chip.write_verify import WriteVerify
from ohmlet.config.structure import structure
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError, OrderError
from ohmlet.hooks import hooks
from ohmlet.nn import AnalogLayer
from ohmlet.nn.layer import drawn_seed
from ohmlet.units import seconds

__all__ = ["Chip", "program", "seed_of"]


class Chip:
    """Several instances of a model on hardware, each programmed with its own errors.

    `at(t)` is a pure view: any time, in any order, the same numbers at each call, and the trained model is never touched, since a chip
    keeps a copy of it as it was when it was programmed. `report` says how write-verify converged, None where programming was one write.
    """

    def __init__(
        self, model: nn.Module, layers: Mapping[str, ProgrammedLayer], instances: int, seed: int, report: Convergence | None = None
    ) -> None:
        self.model, self.layers, self.instances, self.seed, self.report = model, dict(layers), instances, seed, report

    def __repr__(self) -> str:
        return f"<{self.instances} chip instances of {self.size}>"

    @property
    def size(self) -> str:
        """Layers and crossbars, in words."""
        crossbars = sum(layer.layer.size for layer in self.layers.values())
        return f"{len(self.layers)} layers on {crossbars} crossbars"

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

    def export_targets(self, folder: str | Path) -> None:
        """Write what programming aimed at; `ohmlet.export_targets` says what and how."""
        write_targets({name: layer.layer for name, layer in self.layers.items()}, Path(folder))


def seed_of(layers: Mapping[str, AnalogLayer], seed: int | None) -> int:
    """Return the seed of a chip: that given, else the first that a layer's config states, else one drawn from torch's generator."""
    if seed is not None and (isinstance(seed, bool) or not hasattr(seed, "__index__")):
        raise ConfigError(f"seed must be a whole number, got {seed!r}")
    if seed is None:
        given = [layer.config.seed for layer in layers.values() if layer.config.seed is not None]
        seed = given[0] if given else drawn_seed()
    return int(seed)  # numpy's integers make the same chip as Python's


def program(
    model: nn.Module,
    instances: int = 1,
    *,
    seed: int | None = None,
    write: WriteVerify | Mapping[str, Any] | None = None,
    faults: Faults | FaultMap | Mapping[str, Any] | None = None,
) -> Chip:
    """Program a converted model onto `instances` chips and return them as one.

    `seed` is that of all programming and read noise; unless given it is the config's, or else drawn from torch's generator. `write`
    programs in a closed loop, whose convergence is the chip's `report`; left out, each device is written once. `faults` are the devices
    that are stuck: probabilities, or a map. Both may be mappings as in a config. Raises OrderError for a model without analog layers or
    one that is a chip's already, ConfigError for a tile without a noise model or a fault map of another model.
    """
    if isinstance(model, Chip | ChipView):
        raise OrderError("this is a chip already; program takes the model that was trained")
    if isinstance(instances, bool) or not isinstance(instances, int) or instances < 1:
        raise ConfigError(f"instances must be a whole number of at least 1, got {instances!r}")
    write = None if write is None else structure(write, WriteVerify, "write")
    if faults is not None and not isinstance(faults, FaultMap):
        faults = structure(faults, Faults, "faults")
    seed = seed_of(analog_layers(model, "program"), seed)
    snapshot = copy.deepcopy(model).eval().requires_grad_(False)
    found = analog_layers(snapshot, "program")
    layers, rows = {}, []
    with torch.no_grad():
        if isinstance(faults, FaultMap):
            faults.check({target.name: target for name, layer in found.items() for target in targets_of(name, layer)}, instances)
        for name, layer in found.items():
            layers[name], its_rows = program_layer(name, layer, instances, seed, write, faults)
            rows += its_rows
    chip = Chip(snapshot, layers, instances, seed, None if write is None else Convergence(tuple(rows)))
    hooks().ohmlet_after_program(chip=chip)
    return chip
