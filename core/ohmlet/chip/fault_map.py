"""Fault maps: which device of which crossbar is stuck, and at what conductance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ohmlet.chip.faults import Faults
from ohmlet.chip.targets import Target, targets_of
from ohmlet.conversion import analog_layers
from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.registry import did_you_mean
from ohmlet_kernels.noise import Stream

__all__ = ["FaultMap", "stuck_conductances"]


class FaultMap:
    """Stuck conductances (uS) by crossbar, NaN where a device is healthy.

    `FaultMap({"fc.block0": stuck})` takes arrays or tensors, [devices, groups?, out, in] for the same defects in all chip instances or
    [devices, instances, groups?, out, in]; crossbars that are not named are healthy. Raises ConfigError with one line for each value
    that is no conductance.
    """

    def __init__(self, stuck: Mapping[str, Any]) -> None:
        self.stuck = {name: torch.as_tensor(values, dtype=torch.float64).clone() for name, values in stuck.items()}
        problems = [
            f"fault map, crossbar '{name}': {float(bad[0]):g} uS is no conductance; write NaN for a healthy device"
            for name, values in self.stuck.items()
            if len(bad := values[(values < 0) | values.isinf()])
        ]
        if problems:
            raise ConfigError(*problems)

    def __repr__(self) -> str:
        devices = sum(values.numel() for values in self.stuck.values())
        stuck = sum(int((~values.isnan()).sum()) for values in self.stuck.values())
        return f"<fault map of {len(self.stuck)} crossbars: {stuck} of {devices} devices stuck>"

    @classmethod
    def draw(cls, model: nn.Module, faults: Faults, instances: int = 1, *, seed: int = 0) -> Self:
        """Return the faults that `program(model, instances, seed=seed, faults=faults)` meets."""
        stuck = {}
        for name, layer in analog_layers(model, "FaultMap.draw").items():
            for target in targets_of(name, layer):
                tile: Any = layer.config.tile
                stuck[target.name] = drawn(faults, target, target.keys(instances, seed), tile.conductance_converter.window)
        return cls(stuck)

    def save(self, path: str | Path) -> None:
        """Write the map as NPZ, one array per crossbar."""
        with Path(path).open("wb") as file:  # NumPy itself would append an ending
            np.savez_compressed(file, **{name: values.numpy() for name, values in self.stuck.items()})  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Return the map in an NPZ file; raises ConfigError when it cannot be read."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls({name: arrays[name] for name in arrays.files})
        except (OSError, ValueError, AttributeError, TypeError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{path}: no fault map in NPZ format: {type(error).__name__}: {error}") from None

    def check(self, targets: Mapping[str, Target], instances: int) -> None:
        """Raise ConfigError, with a line for each problem, where the map does not fit a model's crossbars."""
        problems = []
        for name, values in self.stuck.items():
            if name not in targets:
                problems.append(f"fault map: no crossbar '{name}' in this model; {did_you_mean(name, targets)}")
                continue
            shape = tuple(targets[name].g.shape)
            each = (shape[0], instances, *shape[1:])
            if tuple(values.shape) not in {shape, each}:
                problems.append(
                    f"fault map, crossbar '{name}': shape {tuple(values.shape)}, expected {shape} for all chip instances or {each} for each"
                )
        if problems:
            raise ConfigError(*problems)

    def of(self, target: Target, instances: int) -> Tensor | None:
        """Return the stuck conductances of a crossbar, [devices, instances, groups?, out, in]; None where all devices are healthy."""
        values = self.stuck.get(target.name)
        if values is None or bool(values.isnan().all()):
            return None
        values = values.to(target.g)
        values = values.unsqueeze(1) if values.ndim == target.g.ndim else values
        return values.expand(len(target.g), instances, *target.g.shape[1:])


def drawn(faults: Faults, target: Target, keys: Tensor, window: ConductanceWindow) -> Tensor:
    """Return the stuck conductances [devices, instances, groups?, out, in] of a crossbar."""
    numbers = torch.arange(len(target.g), device=keys.device)
    return torch.stack([faults.draw(g, window, Stream(keys, None, numbers[i : i + 1], "faults")) for i, g in enumerate(target.g)])


def stuck_conductances(faults: Faults | FaultMap | None, target: Target, keys: Tensor, window: ConductanceWindow) -> Tensor | None:
    """Return a crossbar's stuck conductances [devices, instances, groups?, out, in] in uS, NaN for healthy; None without any."""
    if faults is None:
        return None
    if isinstance(faults, FaultMap):
        return faults.of(target, len(keys))
    stuck = drawn(faults, target, keys, window)
    return None if bool(stuck.isnan().all()) else stuck
