"""Crossbars programmed with pulses on their lines, and chips that hold what came of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from ohmlet.chip.fault_map import stuck_conductances
from ohmlet.chip.measured import MeasuredChip, MeasuredLayer
from ohmlet.chip.programming import ProgrammedCrossbar, reference_read_out
from ohmlet.chip.targets import Target, targets_of
from ohmlet.circuit import OnLines, Progress, Tuned, open_loop, tune
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError
from ohmlet.experiment.circuit import CircuitExperiment
from ohmlet.interfaces.memristor import MICRO, Memristor
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key

__all__ = ["Cells", "check_variant", "chip_of", "equivalent", "gathered", "on_lines", "program_crossbar", "typical_read"]


class Cells(NamedTuple):
    """The cells of one crossbar of a layer after programming, [devices, instances, groups?, out, in] in uS."""

    target: Target
    states: Tensor
    seen: Tensor
    """States of a typical device that a read cannot tell from them: what a reader without a model of the devices knows."""
    stuck: Tensor | None
    """NaN where a device is healthy."""


def typical_read(memristor: Memristor, g: Tensor, v_read: float) -> Tensor:
    """Return the conductances [S] that reads at `v_read` see of states g [S] of a typical device."""
    current: Tensor = memristor.current(torch.full_like(g, v_read), g, memristor.typical())
    return current / v_read


def equivalent(memristor: Memristor, read: Tensor, v_read: float, window: ConductanceWindow) -> Tensor:
    """Return the conductances (uS) that reads [S] amount to, on the straight line through a typical device's at the window's ends."""
    ends = torch.tensor([[window.g_min, window.g_max]], dtype=torch.float64)
    low, high = typical_read(memristor, MICRO * ends, v_read)[0].to(read).unbind()
    return window.g_min + (window.g_max - window.g_min) * (read - low) / (high - low)


def on_lines(target: Target) -> OnLines:
    """Return a crossbar's module; raises ConfigError where nobody knows its lines."""
    module: Any = target.array.crossbars[target.number]
    if not hasattr(module, "lines"):
        raise ConfigError(f"crossbar '{target.name}' cannot be pulsed from its lines: {type(module).__name__} has none; take tile circuit")
    return cast("OnLines", module)


def gathered(laid: Tensor, like: Tensor, lay: Callable[[Tensor], Tensor]) -> Tensor:
    """Return values on lines [..., rows, columns] per device, as `like` [devices, ..., out, in]: what `lay` is undone by."""
    places = lay(torch.arange(like.numel(), device=like.device).view(like.shape))
    out = laid.new_empty(like.numel())
    out[places.flatten()] = laid.flatten()
    return out.view(like.shape)


@torch.no_grad()
def program_crossbar(
    target: Target, experiment: CircuitExperiment, seed: int, each: Callable[[Progress], None] | None = None
) -> tuple[Cells, Tuned]:
    """Pulse the cells of a crossbar from `start_uS` to its targets and return what they hold, and what it took.

    A target is met by what a read sees of it: it is the read of a typical device in the state that the converter asks for.
    """
    settings = experiment.programming
    tile: Any = target.array.config.tile
    window, wanted = tile.conductance_converter.window, target.g.to(torch.float64).unsqueeze(1)
    keys = target.keys(1, seed)
    stuck = stuck_conductances(settings.faults, target, keys, window)
    start = torch.full_like(wanted, experiment.start_uS)
    start = start if stuck is None else start.where(stuck.isnan(), stuck.to(start))
    module = on_lines(target)
    lines, lay = module.lines(start, keys), module.laid
    v_read = settings.tuning.v_read
    goal = typical_read(lines.memristor, MICRO * lay(wanted), v_read)
    lanes = lines.g.shape[:-2]
    drawn = [stream_key(seed, target.path, target.number, "pulses", lane) for lane in range(math.prod(lanes))]
    noise = Stream(torch.tensor(drawn, dtype=torch.int64, device=lines.g.device).view(lanes), path="programming")
    latched = None if stuck is None else ~lay(stuck).isnan()
    way = tune if settings.way == "closed_loop" else open_loop
    tuned = way(lines.memristor, lines.g, goal, lines.cell, settings.tuning, lines.wires, noise, latched, each)
    return cells_of(target, tuned, stuck, lay, lines.memristor, v_read, window), tuned


def cells_of(
    target: Target,
    tuned: Tuned,
    stuck: Tensor | None,
    lay: Callable[[Tensor], Tensor],
    memristor: Memristor,
    v_read: float,
    window: ConductanceWindow,
) -> Cells:
    """Return what a tuned crossbar holds, per device."""
    like = target.g.to(torch.float64).unsqueeze(1)
    seen = equivalent(memristor, tuned.read, v_read, window)
    return Cells(target, gathered(tuned.g / MICRO, like, lay), gathered(seen, like, lay), stuck)


@torch.no_grad()
def check_variant(variant: str, model: nn.Module, hardware: nn.Module) -> None:
    """Raise ConfigError for a variant that reads the conductances of the hardware as other weights."""
    own = analog_layers(hardware, "a variant")
    for name, layer in analog_layers(model, "a variant").items():
        targets, wanted = targets_of(name, layer), targets_of(name, own[name])
        alike = len(targets) == len(wanted) and all(
            one.g.shape == other.g.shape and torch.allclose(one.g, other.g, rtol=1e-5) for one, other in zip(targets, wanted, strict=True)
        )
        if not alike:
            raise ConfigError(
                f"variant '{variant}' reads the conductances of layer '{name}' as other weights than they were programmed for: leave "
                "conductance_converter and mapping as in hardware"
            )


@torch.no_grad()
def chip_of(model: nn.Module, programmed: Mapping[str, list[Cells]], seed: int, device: Memristor) -> MeasuredChip:
    """Return a model as a chip that holds programmed cells, by layer; readers without this device's model get what reads see."""
    snapshot = copy.deepcopy(model).eval().requires_grad_(False)
    layers = {}
    for name, layer in analog_layers(snapshot, "programming").items():
        tile: Any = layer.config.tile
        crossbars, measured = [], []
        for target, cells in zip(targets_of(name, layer), programmed[name], strict=True):
            g = (cells.states if getattr(tile, "device", None) == device else cells.seen).to(target.g)
            keys = target.keys(1, seed)
            reference = reference_read_out(tile, target, g, keys)
            crossbars.append(ProgrammedCrossbar(target.w, target.g, g, None, target.scale, keys, reference, target.name, cells.stuck))
            measured.append(g.unsqueeze(0))
        layers[name] = MeasuredLayer(layer, tile, crossbars, 1)
        layers[name].times, layers[name].measured, layers[name].drift = (0.0,), measured, False
    return MeasuredChip(snapshot, layers, 1, seed, (0.0,))
