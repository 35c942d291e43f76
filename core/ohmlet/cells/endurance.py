"""How often devices were pulsed, against how often they can be."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from attrs import frozen
from torch import nn

from ohmlet.cells.array import DeviceArray
from ohmlet.errors import ConfigError

__all__ = ["PulseReport", "pulse_report"]

LEVELS = (0.5, 0.9, 0.99)


@frozen
class PulseReport:
    """Pulses of one array's devices so far, both directions together."""

    devices: int
    mean: float
    largest: int
    quantiles: Mapping[float, float]
    """Pulses that half, 90 % and 99 % of the devices stay within."""
    used: float | None
    """Part of the endurance that the most pulsed device has used, None without a stated endurance."""

    def __str__(self) -> str:
        within = ", ".join(f"{level:.0%} within {pulses:.4g}" for level, pulses in self.quantiles.items())
        share = "" if self.used is None else f"; the most pulsed has used {self.used:.3g} of its endurance"
        return f"{self.devices} devices: {self.mean:.4g} pulses on average, {within}, at most {self.largest}{share}"


def pulse_report(model: nn.Module, endurance: float | None = None) -> dict[str, PulseReport]:
    """Return the pulses of every array in a model whose devices count them (`count_pulses`), by the array's name.

    `endurance` is how many pulses a device lives for. Raises ConfigError when no device counts, or `endurance` is not positive.
    """
    if endurance is not None and not endurance > 0:
        raise ConfigError(f"endurance must be a positive number of pulses, got {endurance!r}")
    made = {}
    for name, module in model.named_modules():
        if not isinstance(module, DeviceArray) or not module.device.counts:
            continue
        pulses = module.get_buffer("pulses").sum(0).flatten()
        exact = pulses.to(torch.float64)
        levels = torch.tensor(LEVELS, dtype=torch.float64, device=exact.device)
        # One by one, since torch.quantile refuses more than 16 million values.
        within = [float(exact.kthvalue(max(int(level * len(exact) + 0.5), 1)).values) for level in levels.tolist()]
        largest = int(pulses.max())
        used = None if endurance is None else largest / endurance
        made[name] = PulseReport(len(pulses), float(exact.mean()), largest, dict(zip(LEVELS, within, strict=True)), used)
    if not made:
        raise ConfigError("no device here counts its pulses: set count_pulses: true in the device's settings before training")
    return made
