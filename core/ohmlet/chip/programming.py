"""One layer's crossbars as programmed conductances: written once for all instances, drifting and read at any time."""

from __future__ import annotations

import functools
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError, ConversionError
from ohmlet.interfaces.tile import ProgrammableTile
from ohmlet.nn import AnalogLayer
from ohmlet.nn.array import Mapped, ReadState
from ohmlet.nn.layer import joined
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key

__all__ = ["ProgrammedCrossbar", "ProgrammedLayer", "program_layer"]


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


class Probe:
    """The crossbar as a drift compensation sees it: inputs [S, in], 1 full scale, to outputs [instances, groups?, S, out], noise anew."""

    def __init__(self, crossbar: nn.Module, w: Tensor, noise: Stream) -> None:
        self.crossbar, self.w, self.noise, self.samples = crossbar, w, noise, 0
        full_scale = getattr(crossbar, "full_scale", None)
        self.full_scale = 1.0 if full_scale is None else full_scale()

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs of known inputs."""
        ordinals = torch.arange(self.samples, self.samples + len(inputs), device=self.w.device)
        self.samples += len(inputs)
        y: Tensor = self.crossbar.mvm(inputs[:, None, :] * self.full_scale, self.w, self.noise.at(ordinals))  # type: ignore[operator]
        return y.squeeze(-2) / self.full_scale


class ProgrammedLayer:
    """All crossbars of one layer as programmed, those of its first matrix first."""

    def __init__(self, layer: AnalogLayer, tile: ProgrammableTile, crossbars: list[ProgrammedCrossbar], instances: int) -> None:
        assert tile.noise_model is not None
        self.layer, self.tile, self.noise_model = layer, tile, tile.noise_model
        self.crossbars, self.instances = crossbars, instances

    def conductances(self, index: int, t: float) -> Tensor:
        """Return the conductances [devices, instances, groups?, out, in] (uS) of a crossbar as one read-out at `t` seconds sees them."""
        crossbar, window = self.crossbars[index], self.tile.conductance_converter.window
        read = []
        for device, g in enumerate(crossbar.g):
            noise = Stream(crossbar.keys, None, _event(device, g), f"read {t.hex()}")
            coefficients = None if crossbar.coefficients is None else crossbar.coefficients[device]
            drifted = self.noise_model.drift(g, coefficients, t, window)
            read.append(self.noise_model.read(drifted, g, t, window, noise))
        return torch.stack(read)

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
                w = self.tile.conductance_converter.recover(self.conductances(index, t), crossbar.w)
                weights.append(Mapped(w, crossbar.scale))
                factor = None
                if compensated and crossbar.reference is not None:
                    probe = Probe(array.crossbars[index - first], w, Stream(crossbar.keys, path=f"{path}/compensation"))
                    now = self.tile.drift_compensation.read_out(probe, w.shape[-1], w)
                    assert now is not None
                    factor = self.tile.drift_compensation.factor(crossbar.reference, now)
                factors.append(factor)
            states[which] = ReadState(weights, factors, [crossbar.keys for crossbar in self.crossbars[first:last]], path, self.instances)
            first = last
        return states


def _exact(w: Tensor, inputs: Tensor) -> Tensor:
    return torch.matmul(inputs, w.mT)


def _event(device: int, like: Tensor) -> Tensor:
    return torch.full((1,), device, dtype=torch.int64, device=like.device)


def program_layer(name: str, layer: AnalogLayer, instances: int, seed: int) -> ProgrammedLayer:
    """Return a layer's crossbars programmed `instances` times, each with its own errors.

    Raises ConfigError for a tile that cannot be programmed or weights beyond a crossbar's range, ConversionError for weights that are
    not finite.
    """
    tile = layer.config.tile
    if not isinstance(tile, ProgrammableTile) or tile.noise_model is None:
        raise ConfigError(
            f"layer '{name}' cannot be programmed: its tile has no noise_model; "
            "retarget the model to a config with tile.noise_model, for example pcm"
        )
    for label, tensor in layer.named_parameters(recurse=False):
        if not bool(torch.isfinite(tensor).all()):
            raise ConversionError(
                f"layer '{name}' cannot be programmed: its {label} holds {int((~torch.isfinite(tensor)).sum())} values that are not finite"
            )
    converter, model, window = tile.conductance_converter, tile.noise_model, tile.conductance_converter.window
    crossbars = []
    arrays = layer.arrays()
    mapped = [
        (joined(name, which), arrays[which], index, block)
        for which, matrix in layer.matrices().items()
        for index, block in enumerate(arrays[which].mapped_blocks(*matrix))
    ]
    for path, array, index, (w, scale) in mapped:
        if float(w.abs().max()) > 1.0 + 1e-6:
            raise ConfigError(
                f"layer '{path}': weights reach {float(w.abs().max()):.3g}, a crossbar's range is 1; "
                "set mapping.scales to columnwise or tilewise"
            )
        groups = range(array.groups)
        keys = torch.tensor(
            [[stream_key(seed, path, index, g, i) for g in groups] for i in range(instances)], dtype=torch.int64, device=w.device
        )
        keys = keys if array.groups > 1 else keys[:, 0]
        target = converter.to_conductances(w)
        shape = (instances, *target.shape[1:])
        programmed, coefficients = [], []
        for device, g in enumerate(target):
            noise = Stream(keys, None, _event(device, g), "program")
            programmed.append(model.program(g, window, noise).expand(shape))
            exponents = model.drift_coefficients(g, window, noise)
            coefficients.append(None if exponents is None else exponents.expand(shape))
        drawn = [each for each in coefficients if each is not None]
        g_all = torch.stack(programmed)
        probe = Probe(array.crossbars[index], converter.recover(g_all, w), Stream(keys, path="program/compensation"))
        reference = tile.drift_compensation.reference_read_out(probe, functools.partial(_exact, w), w.shape[-1], w)
        crossbars.append(ProgrammedCrossbar(w, target, g_all, torch.stack(drawn) if drawn else None, scale, keys, reference))
    return ProgrammedLayer(layer, tile, crossbars, instances)
