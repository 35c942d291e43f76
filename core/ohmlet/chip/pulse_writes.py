"""Writes by pulses, in a write-verify loop: each moves a device as its own physics has it."""

from __future__ import annotations

from typing import ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.cells.array import fabricated
from ohmlet.chip.writes import Array, Writer
from ohmlet.config.structure import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import Device, UnitCell
from ohmlet.nn.kernels import kernels_of
from ohmlet.spec import integer, number, one_of
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise import key as stream_key
from ohmlet_kernels.pulsed_update import Cells, Trains, read_step

__all__ = ["Pulses"]

ROW = 2**18
"""Cells that are updated as one row; addresses of pulses have room for 2^20 columns."""


@frozen(kw_only=True)
class Pulses:
    """Each write is one or several pulses, up or down, of a device; every device of the array has its own fabrication.

        g = g_min + (g_max - g_min) (w - w_min) / (w_max - w_min)
        n = min(max(round(|target - g_seen| / step), 1), max_pulses), up where g_seen < target
        step = granularity of the device (its mean step), in uS

    with w the device's normalised weight and [g_min, g_max] the converter's window. A device whose own bounds do not reach its target
    never converges. Raises ConfigError for a unit cell that is no single device, or whose bounds are neither known nor given.
    """

    type_name: ClassVar[str] = "pulses"
    reads_first: ClassVar[bool] = True
    device: UnitCell = part(UnitCell, "what is pulsed")
    max_pulses: int = integer(64, "largest number of pulses in one write; 1 for one pulse between reads", ge=1, le=2**20)
    w_min: float | None = number(None, "weight that is the smallest conductance; left out: the mean of the device's w_min")
    w_max: float | None = number(None, "weight that is the largest conductance; left out: the mean of the device's w_max")
    start: str = one_of("g_min", ("g_min", "g_max", "programmed"), "where devices are before: reset, set, or as the noise model programs")

    def __attrs_post_init__(self) -> None:
        low, high = self.bounds
        if low >= high:
            raise ConfigError(f"'w_min' must be below 'w_max': {low!r} >= {high!r}")

    @property
    def single(self) -> Device:
        """The device; raises ConfigError for a unit cell of several."""
        if not isinstance(self.device, Device):
            raise ConfigError(f"{type(self.device).__name__} is no single device, and a write pulses one; name one of its devices")
        return self.device

    @property
    def bounds(self) -> tuple[float, float]:
        """The weights that are the smallest and the largest conductance."""
        cells, found = self.single.cells(), []
        for name, given in (("w_min", self.w_min), ("w_max", self.w_max)):
            if given is None and name not in cells:
                raise ConfigError(f"{type(self.device).__name__} states no {name}: set '{name}', the weight at the end of the window")
            found.append(cells[name].mean if given is None else given)
        return found[0], found[1]

    def begin(self, array: Array) -> Writer:
        """Return the devices of an array, about to be written."""
        return _Pulsed(self, array)


class _Cells:
    """The devices of one chip instance (and group), [out, in], with their state."""

    def __init__(self, device: Device, start: Tensor, key: Tensor) -> None:
        self.device, self.noise = device, Stream(key)
        cell, hidden = fabricated(device, start.shape[0], start.shape[1], self.noise.child("fabrication"), start)
        parameters, tables = device.parameters(), device.tables()
        step = read_step(type(device).step, tuple(cell), tuple(hidden), tuple(parameters), tuple(tables), device.normals, device.uniforms)
        self.cells = Cells(
            step,
            device.placed(start, cell).clone(),
            tuple(cell[name].contiguous() for name in step.cell),
            tuple(state.contiguous() for state in hidden.values()),
            tuple(parameters.values()),
            tuple(tables.values()),
        )
        self.apparent = self.cells.w
        self.update = kernels_of("auto")("pulsed_update", start.device.type)

    def pulse(self, count: Tensor, up: Tensor, iteration: int) -> None:
        """Give each cell its number of pulses, float32 [out, in], up or down."""
        noise, cells = self.noise.child("write"), self.cells
        # As arrays of one row, whose only sample gives each column the pulses of one cell.
        flat = [each.view(1, -1).split(ROW, -1) for each in (cells.w, count, up, *cells.cell, *cells.hidden)]
        for part_of, (w, its_count, its_up, *rest) in enumerate(zip(*flat, strict=True)):
            one, no = w.new_ones((1, 1)), torch.zeros((1, 1), dtype=torch.bool, device=w.device)
            row = cells._replace(w=w, cell=tuple(rest[: len(cells.cell)]), hidden=tuple(rest[len(cells.cell) :]))
            ordinal = torch.tensor([iteration * len(flat[0]) + part_of], device=w.device)
            self.update(row, Trains(its_count, one, its_up, no, one[0]), noise.key, noise.word("pulse noise"), ordinal)
        if self.device.write_noise > 0:
            xi = self.noise.child(f"write {iteration}").normal("write noise", cells.w)
            self.apparent = (cells.w + self.device.write_noise * xi).where(count > 0, self.apparent)


class _Pulsed:
    def __init__(self, spec: Pulses, array: Array) -> None:
        self.spec, self.array = spec, array
        assert array.noise.event is not None
        device, keys = int(array.noise.event), array.noise.key
        low, high = spec.bounds
        self.low, self.uS = low, (array.window.g_max - array.window.g_min) / (high - low)
        start = ((array.fresh(spec.start) - array.window.g_min) / self.uS + low).float().flatten(0, -3)
        # Each of a weight's devices is fabricated on its own.
        lanes = [
            torch.tensor(stream_key(lane, "device", device), dtype=torch.int64, device=keys.device) for lane in keys.flatten().tolist()
        ]
        self.lanes = [_Cells(spec.single, w, key) for w, key in zip(start, lanes, strict=True)]
        self.g = self._held()

    def _held(self) -> Tensor:
        array = self.array
        w = torch.stack([cells.apparent for cells in self.lanes]).to(array.target.dtype)
        g = array.window.g_min + self.uS * (w - self.low)
        return array.held(g.view(*array.noise.key.shape, *array.target.shape[-2:]).clamp_min(0.0))

    def write(self, chosen: Tensor, seen: Tensor | None, iteration: int) -> Tensor:
        if seen is None:
            raise ConfigError("pulses are counted from a read, and none came before")
        error = self.array.target - seen
        step = self.spec.single.granularity * self.uS
        # A stuck device takes pulses like any other; nothing comes of them.
        counts = (error.abs() / step).round().clamp(1, self.spec.max_pulses).masked_fill(~chosen, 0.0).float()
        for cells, count, up in zip(self.lanes, counts.flatten(0, -3), (error > 0).flatten(0, -3), strict=True):
            cells.pulse(count, up, iteration)
        self.g = self._held()
        return counts.to(torch.int32)
