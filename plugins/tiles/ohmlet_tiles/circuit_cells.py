"""The cells of a crossbar as its solver needs them: conductances, a current-voltage law, and what differs between devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet.interfaces.memristor import MICRO, Memristor
from ohmlet_kernels.crossbar_solve import IV, Cubic
from ohmlet_kernels.noise import Stream

__all__ = ["Cells", "drawn", "effective"]

VOLTAGES = 65


class Law(NamedTuple):
    """A memristor's law; with sign -1 that of cells whose voltage is counted from bit line to word line."""

    device: Memristor
    cell: Mapping[str, Tensor]
    sign: int

    def current(self, v: Tensor, g: Tensor) -> Tensor:
        """Return the current in A."""
        return self.sign * self.device.current(self.sign * v, g, self.cell)

    def slope(self, v: Tensor, g: Tensor) -> Tensor:
        """Return dI/dV in S."""
        return self.device.slope(self.sign * v, g, self.cell)


class Cells(NamedTuple):
    """Cells on crossbars, [..., rows, columns] float64: states g in S and what differs between devices; without a device, resistors."""

    g: Tensor
    device: Memristor | None
    cell: Mapping[str, Tensor]
    hertz: float | None
    sign: int = 1

    def law(self) -> tuple[Tensor, IV | None]:
        """Return conductances and the law on top of them, None for resistors."""
        if self.device is None:
            return self.g, None
        cubic = self.device.cubic(self.g, self.cell)
        if cubic is None:
            return self.g, Law(self.device, self._broadcast(), self.sign)
        linear, third = cubic
        return linear, Cubic(third.expand(self.g.shape).unsqueeze(-3)) if bool(third.any()) else None

    def variance(self, v: Tensor) -> Tensor | None:
        """Return the variance [A^2] of the bit lines' currents, [..., P, columns], for cell voltages v [..., P, rows, columns]."""
        if self.device is None or self.hertz is None:
            return None
        noise = self.device.read_noise(self.sign * v, self.g.unsqueeze(-3), self._broadcast(), self.hertz)
        return None if noise is None else noise.square().expand(v.shape).sum(-2)

    def turned(self) -> Cells:
        """Return the cells as seen when bit lines are driven, at the end where they are sensed otherwise."""
        cell = {name: value.mT.flip(-1, -2) for name, value in self.cell.items()}
        return Cells(self.g.mT.flip(-1, -2), self.device, cell, self.hertz, -self.sign)

    def check(self, v: Tensor) -> None:
        """Raise ConfigError for voltages beyond what the device's law was fitted for."""
        if self.device is not None:
            self.device.check_read(v)

    def _broadcast(self) -> dict[str, Tensor]:
        return {name: value.unsqueeze(-3) for name, value in self.cell.items()}


def drawn(device: Memristor, devices: int, like: Tensor, noise: Stream) -> dict[str, Tensor]:
    """Return what differs between the devices of crossbars, [devices, *L, out, in] float64, a pure function of the noise's keys [*L].

    `like` [..., out, in] states sizes.
    """
    noise = noise._replace(ordinals=None, event=None)
    made: list[dict[str, Tensor]] = []
    shape = torch.empty(like.shape[-2:], dtype=torch.float64, device=like.device)
    for number in range(devices):
        own = noise._replace(path=f"fabrication cells/device {number}")
        cells = {
            name: parameter.values(own.normal(f"cell {name}", shape) if parameter.spread else torch.zeros_like(shape))
            for name, parameter in device.cells().items()
        }
        made.append({name: value.expand(*noise.key.shape, *shape.shape) for name, value in device.derive(cells, own).items()})
    return {name: torch.stack([each[name] for each in made]) for name in made[0]}


def effective(device: Memristor | None, g: Tensor, v_read: float) -> Tensor:
    """Return the conductances [S] that states g [n] in uS of a typical device amount to: least squares of I = G V within +-v_read."""
    states = MICRO * g.to(torch.float64)
    if device is None:
        return states
    v = torch.linspace(-v_read, v_read, VOLTAGES, dtype=torch.float64)[:, None]
    current = device.current(v, states.expand(VOLTAGES, -1), device.typical())
    return (current * v).sum(0) / (v * v).sum()
