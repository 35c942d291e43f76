"""One layer's crossbars as programmed conductances: written once for all instances, drifting and read at any time."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ohmlet.chip.convergence import ConvergenceRow, converged
from ohmlet.chip.fault_map import FaultMap, stuck_conductances
from ohmlet.chip.faults import Faults
from ohmlet.chip.targets import Target, targets_of
from ohmlet.chip.write_verify import WriteVerify
from ohmlet.chip.writes import Array
from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.interfaces.tile import ProgrammableTile
from ohmlet.nn import AnalogLayer
from ohmlet.nn.array import Mapped, ReadState
from ohmlet_kernels.noise import Stream

__all__ = ["ProgrammedCrossbar", "ProgrammedLayer", "drift_coefficients", "program_layer", "reference_read_out"]


class ProgrammedCrossbar(NamedTuple):
    """Conductances of one crossbar in all instances, in uS.

    `target` [devices, groups?, out, in] is what was asked for, `g` [devices, instances, groups?, out, in] what programming reached.
    """

    w: Tensor
    """Weights asked for, [groups?, out, in] in [-1, 1]."""
    target: Tensor
    g: Tensor
    coefficients: Tensor | None
    """Drift exponents, shaped as `g`."""
    scale: Tensor
    keys: Tensor
    """int64 [instances, groups?]"""
    reference: Tensor | None
    """Read-out of the drift compensation right after programming."""
    name: str
    """Of the crossbar, as in fault maps and measured chips."""
    stuck: Tensor | None = None
    """What stuck devices conduct, NaN for healthy ones, shaped as `g`; None without any."""


class Probe:
    """The crossbar as a drift compensation sees it: inputs [S, in], 1 full scale, to outputs [instances, groups?, S, out], noise anew."""

    def __init__(self, crossbar: nn.Module, w: Tensor, g: Tensor | None, noise: Stream) -> None:
        self.crossbar, self.w, self.g, self.noise, self.samples = crossbar, w, g, noise, 0
        full_scale = getattr(crossbar, "full_scale", None)
        self.full_scale = 1.0 if full_scale is None else full_scale()

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs of known inputs."""
        ordinals = torch.arange(self.samples, self.samples + len(inputs), device=self.w.device)
        self.samples += len(inputs)
        x, noise = inputs[:, None, :] * self.full_scale, self.noise.at(ordinals)
        read: Any = self.crossbar
        y: Tensor = read.mvm(x, self.w, noise) if self.g is None else read.conductance_mvm(x, self.g, noise)
        return y.squeeze(-2) / self.full_scale


class ProgrammedLayer:
    """All crossbars of one layer as programmed, those of its first matrix first."""

    def __init__(self, layer: AnalogLayer, tile: ProgrammableTile, crossbars: list[ProgrammedCrossbar], instances: int) -> None:
        self.layer, self.tile, self.noise_model = layer, tile, tile.noise_model
        self.crossbars, self.instances = crossbars, instances

    def conductances(self, index: int, t: float) -> Tensor:
        """Return the conductances [devices, instances, groups?, out, in] (uS) of a crossbar as one read-out at `t` seconds sees them."""
        assert self.noise_model is not None
        crossbar, window = self.crossbars[index], self.tile.conductance_converter.window
        read = []
        for device, g in enumerate(crossbar.g):
            noise = Stream(crossbar.keys, None, _event(device, g), f"read {t.hex()}")
            coefficients = None if crossbar.coefficients is None else crossbar.coefficients[device]
            drifted = self.noise_model.drift(g, coefficients, t, window)
            read.append(self.noise_model.read(drifted, g, t, window, noise))
        seen = torch.stack(read)
        return seen if crossbar.stuck is None else seen.where(crossbar.stuck.isnan(), crossbar.stuck)

    def at(self, t: float, compensated: bool) -> dict[str, ReadState]:
        """Return what the layer's arrays compute with at `t` seconds after the first read-out, by the names of their matrices.

        It is the same at every call.
        """
        states, path = {}, f"chip {t.hex()}"
        first = 0
        for which, array in self.layer.arrays().items():
            weights, factors, last = [], [], first + len(array.blocks)
            for index in range(first, last):
                crossbar = self.crossbars[index]
                g = self.conductances(index, t)
                w = self.tile.conductance_converter.recover(g, crossbar.w)
                read = array.crossbars[index - first]
                mapped = Mapped(w, crossbar.scale, g if _reads_conductances(read) else None)
                weights.append(mapped)
                factor = None
                if compensated and crossbar.reference is not None:
                    probe = Probe(read, w, mapped.g, Stream(crossbar.keys, path=f"{path}/compensation"))
                    now = self.tile.drift_compensation.read_out(probe, w.shape[-1], w)
                    assert now is not None
                    factor = self.tile.drift_compensation.factor(crossbar.reference, now)
                factors.append(factor)
            states[which] = ReadState(weights, factors, [crossbar.keys for crossbar in self.crossbars[first:last]], path, self.instances)
            first = last
        return states


def _reads_conductances(crossbar: nn.Module) -> bool:
    """Whether a crossbar computes with its devices' conductances rather than with the weights that they amount to."""
    return hasattr(crossbar, "conductance_mvm")


def _exact(w: Tensor, inputs: Tensor) -> Tensor:
    return torch.matmul(inputs, w.mT)


def _event(device: int, like: Tensor) -> Tensor:
    return torch.full((1,), device, dtype=torch.int64, device=like.device)


def drift_coefficients(model: NoiseModel, tile: ProgrammableTile, target: Target, keys: Tensor) -> Tensor | None:
    """Return the drift exponents of a crossbar's devices, [devices, instances, groups?, out, in]; None for a model without."""
    drawn = []
    for device, g in enumerate(target.g):
        noise = Stream(keys, None, _event(device, g), "program")
        exponents = model.drift_coefficients(g, tile.conductance_converter.window, noise)
        if exponents is not None:
            drawn.append(exponents.expand(*keys.shape, *g.shape[-2:]))
    return torch.stack(drawn) if drawn else None


def reference_read_out(tile: ProgrammableTile, target: Target, g: Tensor, keys: Tensor) -> Tensor | None:
    """Return what the drift compensation remembers of a crossbar that holds conductances [devices, instances, groups?, out, in]."""
    w = target.w
    read, noise = target.array.crossbars[target.number], Stream(keys, path="program/compensation")
    probe = Probe(read, tile.conductance_converter.recover(g, w), g if _reads_conductances(read) else None, noise)
    return tile.drift_compensation.reference_read_out(probe, functools.partial(_exact, w), w.shape[-1], w)


def program_layer(
    name: str,
    layer: AnalogLayer,
    instances: int,
    seed: int,
    write: WriteVerify | None = None,
    faults: Faults | FaultMap | None = None,
) -> tuple[ProgrammedLayer, list[ConvergenceRow]]:
    """Return a layer's crossbars programmed `instances` times, each with its own errors, and how a write-verify loop converged.

    Raises ConfigError for a tile that cannot be programmed or weights beyond a crossbar's range, ConversionError for weights that are
    not finite.
    """
    tile = layer.config.tile
    if not isinstance(tile, ProgrammableTile) or tile.noise_model is None:
        raise ConfigError(
            f"layer '{name}' cannot be programmed: its tile has no noise_model; "
            "retarget the model to a config with tile.noise_model, for example pcm"
        )
    model, window = tile.noise_model, tile.conductance_converter.window
    crossbars, rows = [], []
    for target in targets_of(name, layer):
        keys = target.keys(instances, seed)
        stuck = stuck_conductances(faults, target, keys, window)
        arrays = [
            Array(g, None if stuck is None else stuck[device], model, window, Stream(keys, None, _event(device, g), "program"))
            for device, g in enumerate(target.g)
        ]
        if target.array.in_situ is not None:
            if write is not None:
                raise ConfigError(f"layer '{name}' learned in memory, so its cells hold their conductances already: leave write out")
            # Nothing is written: the cells are as training left them.
            g = torch.stack([array.held(array.target) for array in arrays])
        elif write is None:
            g = torch.stack([array.fresh("programmed") for array in arrays])
        else:
            outcomes = [write.run(array) for array in arrays]
            g = torch.stack([outcome.g for outcome in outcomes])
            rows.append(converged(target.name, outcomes, target.g, write.tolerance(target.g), stuck))
        coefficients = drift_coefficients(model, tile, target, keys)
        reference = reference_read_out(tile, target, g, keys)
        crossbars.append(ProgrammedCrossbar(target.w, target.g, g, coefficients, target.scale, keys, reference, target.name, stuck))
    return ProgrammedLayer(layer, tile, crossbars, instances), rows
