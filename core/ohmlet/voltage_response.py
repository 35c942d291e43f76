"""How memristors answer voltages: a current-voltage sweep that shows their hysteresis, and trains of equal pulses."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from ohmlet.cells.array import fabricated
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.memristor import Memristor
from ohmlet_kernels.noise import Stream

__all__ = ["Sweep", "Train", "Trains", "memristor", "sweep", "trains"]

Array = NDArray[np.float64]


def memristor(cell: UnitCell) -> Memristor:
    """Return a memristor; raises ConfigError for cells that answer pulses only."""
    if not isinstance(cell, Memristor):
        raise ConfigError(f"{type(cell).__name__} is no memristor: it answers pulses of one size, not voltages; plot it without voltages")
    return cell


@frozen(kw_only=True, eq=False)
class Sweep:
    """A voltage that goes up, down, and back, in steps, and what devices do at each."""

    volts: Array
    """[points]"""
    current: Array
    """[points, devices] in A, after the voltage was held for a step."""
    g: Array
    """[points, devices] in S, after it."""
    step_seconds: float
    points_per_cycle: int

    def summary(self) -> dict[str, str]:
        """Return the table: words -> value, with the standard deviation between devices."""
        last = self.g[-self.points_per_cycle :]
        return {
            "devices": str(self.g.shape[1]),
            "voltages": f"{self.volts.min():g} to {self.volts.max():g} V, {self.points_per_cycle} steps of {self.step_seconds:g} s a cycle",
            "lowest state in the last cycle": f"{_spread(1e6 * last.min(axis=0))} uS",
            "highest state in the last cycle": f"{_spread(1e6 * last.max(axis=0))} uS",
            "highest over lowest": _spread(last.max(axis=0) / last.min(axis=0)),
            "largest current": f"{_spread(np.abs(self.current).max(axis=0))} A",
            "area of the loop, last cycle": f"{_spread(self.area())} A V",
        }

    def area(self) -> Array:
        """Return what the last cycle's loop encloses, both lobes counted as positive, [devices] in A V."""
        # A cycle begins at 0 V, where no current flows.
        v = np.concatenate([[0.0], self.volts[-self.points_per_cycle :]])
        i = np.concatenate([0 * self.current[:1], self.current[-self.points_per_cycle :]])
        between = ((i[1:] + i[:-1]) / 2) * np.diff(v)[:, None]
        area: Array = sum(np.abs(between[(v[1:] + v[:-1]) * sign > 0].sum(axis=0)) for sign in (1, -1))
        return area


@frozen(kw_only=True)
class Train:
    """Equal pulses, one after the other."""

    volts: float
    seconds: float
    count: int


@frozen(kw_only=True, eq=False)
class Trains:
    """The states of devices before the first pulse and after each one."""

    trains: tuple[Train, ...]
    g: Array
    """[1 + pulses, devices] in S"""

    def summary(self) -> dict[str, str]:
        """Return the table: words -> value, with the standard deviation between devices."""
        rows, at = {"devices": str(self.g.shape[1]), "state before": f"{_spread(1e6 * self.g[0])} uS"}, 0
        for number, train in enumerate(self.trains, 1):
            at += train.count
            words = f"after train {number}, {train.count} of {train.volts:g} V for {train.seconds:g} s"
            rows[words] = f"{_spread(1e6 * self.g[at])} uS"
        return rows


def _spread(values: Array) -> str:
    return f"{values.mean():.3g} ± {values.std(ddof=1) if len(values) > 1 else 0.0:.2g}"


class _Bench:
    """Fresh devices [1, devices]."""

    def __init__(self, device: Memristor, devices: int, seed: int, start_uS: float | None) -> None:
        if devices < 1:
            raise ConfigError(f"devices = {devices}: give at least 1")
        self.device, self.noise, self.given = device, Stream(torch.tensor(seed)), 0
        like = torch.zeros((1, devices), dtype=torch.float64)
        self.cell, _ = fabricated(device, 1, devices, self.noise.child("fabrication"), like)
        low, high = device.window.g_min, device.window.g_max
        if start_uS is not None and not low <= start_uS <= high:
            raise ConfigError(f"start = {start_uS:g} uS lies outside of the window of {type(device).__name__}, {low:g} to {high:g} uS")
        start = device.weight(like + 1e-6 * start_uS) if start_uS is not None else like
        self.g = device.conductance(device.placed(start, self.cell))

    def hold(self, volts: float, seconds: float) -> Tensor:
        """Hold a voltage on all devices; return the current at its end."""
        event = self.noise._replace(event=torch.tensor([self.given]))
        v = torch.full_like(self.g, volts)
        self.g, self.given = self.device.applied(self.g, v, seconds, self.cell, event), self.given + 1
        return self.device.write_current(v, self.g, self.cell)


def sweep(
    cell: UnitCell,
    *,
    low: float | None = None,
    high: float | None = None,
    period: float | None = None,
    cycles: int = 2,
    points: int = 400,
    devices: int = 12,
    start_uS: float | None = None,
    seed: int = 0,
) -> Sweep:
    """Return the answer of fresh devices to a triangular voltage, 0 to `high` to `low` to 0 in `period` seconds, `cycles` times.

    The voltage rises in steps, each held for period / points. Left out: voltages a quarter beyond the write pulses' or as far as the
    model covers, steps as long as a set pulse, a start in the middle of the window. Raises ConfigError for what is no memristor, for
    voltages of one sign, fewer than 16 points, and for what the model does not cover.
    """
    device = memristor(cell)
    if points < 16 or cycles < 1:
        raise ConfigError(f"points = {points} and cycles = {cycles}: a sweep takes at least 16 points and a cycle")
    given = sorted((device.set_pulse.volts, device.reset_pulse.volts))
    bounds = device.v_write_range
    low = max(1.25 * given[0], bounds[0]) if low is None else low
    high = min(1.25 * given[1], bounds[1]) if high is None else high
    if not low < 0 < high:
        raise ConfigError(f"a sweep from {low:g} to {high:g} V shows no hysteresis of both signs: give a negative and a positive voltage")
    seconds = device.set_pulse.seconds if period is None else period / points
    if not (math.isfinite(seconds) and seconds > 0):
        raise ConfigError(f"period = {period!r} s is no time: give seconds above 0")
    corners = np.cumsum([0.0, high, high - low, -low])
    wave = np.interp(np.arange(1, points + 1) / points * corners[-1], corners, [0.0, high, low, 0.0])
    bench, current, g = _Bench(device, devices, seed, start_uS), [], []
    volts = np.tile(wave, cycles)
    for each in volts.tolist():
        current.append(bench.hold(each, seconds)[0].numpy())
        g.append(bench.g[0].numpy())
    return Sweep(volts=volts, current=np.stack(current), g=np.stack(g), step_seconds=seconds, points_per_cycle=points)


def trains(
    cell: UnitCell,
    pulses: Sequence[Train],
    *,
    devices: int = 12,
    start_uS: float | None = None,
    seed: int = 0,
) -> Trains:
    """Return the states of fresh devices after each pulse of several trains, one train after the other.

    Left out, they start in the middle of the window. Raises ConfigError for what is no memristor, no pulses, and pulses that the model
    does not cover.
    """
    if not pulses or any(train.count < 1 for train in pulses):
        raise ConfigError("a train of no pulses shows nothing: give a count of at least 1")
    bench = _Bench(memristor(cell), devices, seed, start_uS)
    g = [bench.g[0].numpy()]
    for train in pulses:
        for _ in range(train.count):
            bench.hold(train.volts, train.seconds)
            g.append(bench.g[0].numpy())
    return Trains(trains=tuple(pulses), g=np.stack(g))
