"""One layer's crossbars as programmed conductances: written once for all instances, drifting and read at any time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError, ConversionError
from ohmlet.interfaces.tile import ProgrammableTile
from ohmlet.nn import AnalogLayer
from ohmlet.nn.array import Mapped, ReadState
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key

__all__ = ["ProgrammedCrossbar", "ProgrammedLayer", "program_layer"]


class ProgrammedCrossbar(NamedTuple):
    """Conductances of one crossbar in all instances, in uS.

    `target` [devices, groups?, out, in] is what was asked for, `g` [devices, instances, groups?, out, in] what programming reached.
    """

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
    """The crossbar as a drift compensation sees it: inputs [S, in] in, outputs [instances, groups?, S, out] out, new noise at each call."""

    def __init__(self, crossbar: nn.Module, w: Tensor, noise: Stream) -> None:
        self.crossbar, self.w, self.noise, self.samples = crossbar, w, noise, 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the outputs of known inputs."""
        ordinals = torch.arange(self.samples, self.samples + len(inputs), device=self.w.device)
        self.samples += len(inputs)
        y: Tensor = self.crossbar.mvm(inputs[:, None, :], self.w, self.noise.at(ordinals))  # type: ignore[operator]
        return y.squeeze(-2)


class ProgrammedLayer:
    """All crossbars of one layer as programmed."""

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

    def at(self, t: float, compensated: bool) -> ReadState:
        """Return what the layer computes with at `t` seconds after the first read-out: the same at every call."""
        weights, factors = [], []
        path = f"chip {t.hex()}"
        for index, crossbar in enumerate(self.crossbars):
            w = self.tile.conductance_converter.to_weights(self.conductances(index, t))
            weights.append(Mapped(w, crossbar.scale))
            factor = None
            if compensated and crossbar.reference is not None:
                probe = Probe(self.layer.array.crossbars[index], w, Stream(crossbar.keys, path=f"{path}/compensation"))
                now = self.tile.drift_compensation.read_out(probe, w.shape[-1], w)
                assert now is not None
                factor = self.tile.drift_compensation.factor(crossbar.reference, now)
            factors.append(factor)
        return ReadState(weights, factors, [crossbar.keys for crossbar in self.crossbars], path, self.instances)


def _event(device: int, like: Tensor) -> Tensor:
    return torch.full((1,), device, dtype=torch.int64, device=like.device)


def program_layer(name: str, layer: AnalogLayer, instances: int, seed: int) -> ProgrammedLayer:
    """Return a layer's crossbars programmed `instances` times, each with its own errors.

    Raises ConfigError for a tile that cannot be programmed or weights beyond a crossbar's range, ConversionError for weights that are
    not finite.
    """
    tile, array = layer.config.tile, layer.array
    if not isinstance(tile, ProgrammableTile) or tile.noise_model is None:
        raise ConfigError(
            f"layer '{name}' cannot be programmed: its tile has no noise_model; "
            "retarget the model to a config with tile.noise_model, for example pcm"
        )
    for label, tensor in (("weight", layer.weight), ("bias", layer.bias)):
        if tensor is not None and not bool(torch.isfinite(tensor).all()):
            raise ConversionError(
                f"layer '{name}' cannot be programmed: its {label} holds {int((~torch.isfinite(tensor)).sum())} values that are not finite"
            )
    converter, model, window = tile.conductance_converter, tile.noise_model, tile.conductance_converter.window
    crossbars = []
    for index, (w, scale) in enumerate(array.mapped_blocks(layer.flat_weight(), layer.bias)):
        if float(w.abs().max()) > 1.0 + 1e-6:
            raise ConfigError(
                f"layer '{name}': weights reach {float(w.abs().max()):.3g}, a crossbar's range is 1; "
                "set mapping.scales to columnwise or tilewise"
            )
        groups = range(array.groups)
        keys = torch.tensor(
            [[stream_key(seed, name, index, g, i) for g in groups] for i in range(instances)], dtype=torch.int64, device=w.device
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
        probe = Probe(array.crossbars[index], converter.to_weights(g_all), Stream(keys, path="program/compensation"))
        reference = tile.drift_compensation.read_out(probe, w.shape[-1], w)
        crossbars.append(ProgrammedCrossbar(target, g_all, torch.stack(drawn) if drawn else None, scale, keys, reference))
    return ProgrammedLayer(layer, tile, crossbars, instances)
