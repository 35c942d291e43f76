"""How a crossbar of memristors is tuned: the settings, and what it takes and leaves."""

from __future__ import annotations

from typing import NamedTuple

import torch
from attrs import field, frozen
from torch import Tensor

from ohmlet.circuit.bias import SCHEMES
from ohmlet.errors import ConfigError
from ohmlet.interfaces.memristor import Memristor
from ohmlet.spec import integer, number, one_of

__all__ = ["Progress", "Tuned", "Tuning"]


class Progress(NamedTuple):
    """How far a crossbar is before a sweep."""

    sweep: int
    pending: float
    """Share of cells outside of their tolerance."""
    error_uS: float  # noqa: N815
    """Root mean square distance of what an exact read sees from the targets."""
    pulses: float
    """Mean number of pulses that a cell has had."""


@frozen(kw_only=True)
class Tuning:
    """How cells are pulsed towards their targets: biasing scheme, pulses, tolerance.

        volts(n) = start + n voltage_step, away from zero;   width(s) = width width_growth^s

    Both go up to what the device's model covers. n counts a cell's pulses in the same direction since the last change of direction, s the
    sweeps; the start and the width are those of the device's write pulses unless given. A sweep reads all cells, then goes through the
    word lines, first with the cells that are to be raised, then with those that are to be lowered. Raises ConfigError for a tolerance of
    zero.
    """

    scheme: str = one_of("v_half", SCHEMES, "voltages of the lines that are not selected")
    tolerance: float = number(0.05, "accepted distance from the target, relative to it", ge=0)
    tolerance_uS: float = number(0.0, "further accepted distance", unit="uS", ge=0)  # noqa: N815
    max_sweeps: int = integer(100, "sweeps after which cells are given up", ge=1)
    set_voltage: float | None = number(None, "of the first pulse up; left out: the device's", unit="V")
    reset_voltage: float | None = number(None, "of the first pulse down; left out: the device's", unit="V")
    set_width: float | None = number(None, "of a pulse up; left out: the device's", unit="s", gt=0)
    reset_width: float | None = number(None, "of a pulse down; left out: the device's", unit="s", gt=0)
    voltage_step: float = number(0.0, "by which a voltage grows from pulse to pulse in one direction", unit="V", ge=0)
    width_growth: float = number(1.0, "by which widths grow from sweep to sweep", ge=1)
    order: str = one_of(
        "in_turn",
        ("in_turn", "at_once"),
        "whether each word line sees the states that those before it left, or all of a sweep those at its beginning, which is far faster; "
        "the same on ideal wires where cells that are not selected do not move",
    )
    v_read: float = number(0.1, "voltage that cells are verified at", unit="V", gt=0)
    read_bandwidth: float | None = number(None, "of a read, for the device's own read noise; left out: reads are exact", unit="Hz", gt=0)

    def __attrs_post_init__(self) -> None:
        if self.tolerance == 0 and self.tolerance_uS == 0:
            raise ConfigError("'tolerance' and 'tolerance_uS' are both 0, and no pulse meets its target exactly; set either")

    def start(self, memristor: Memristor, up: bool) -> float:
        """Return the voltage of the first pulse in a direction; raises ConfigError for one of the wrong sign."""
        given, own = (self.set_voltage, memristor.set_pulse) if up else (self.reset_voltage, memristor.reset_pulse)
        volts = own.volts if given is None else given
        if volts * memristor.polarity * (1 if up else -1) <= 0:
            raise ConfigError(
                f"{'set' if up else 'reset'}_voltage = {volts:g} V has the wrong sign for {type(memristor).__name__}: "
                f"its own is {own.volts:g} V"
            )
        return volts

    def width(self, memristor: Memristor, up: bool, sweep: int) -> float:
        """Return the duration [s] of the pulses of a sweep."""
        given, own = (self.set_width, memristor.set_pulse) if up else (self.reset_width, memristor.reset_pulse)
        longest = memristor.write_seconds_range[1]
        return min((own.seconds if given is None else given) * self.width_growth**sweep, longest)

    def volts(self, memristor: Memristor, up: bool, count: Tensor) -> Tensor:
        """Return the voltages of pulses that are number `count` of their direction."""
        start = self.start(memristor, up)
        low, high = memristor.v_write_range
        return (start + (1 if start > 0 else -1) * self.voltage_step * count).clamp(low, high)


@frozen(eq=False)
class Tuned:
    """What tuning left in a crossbar, and what it took; leading sizes are crossbars of their own."""

    g: Tensor = field()
    """States [..., rows, columns] in S."""
    read: Tensor = field()
    """What an exact read at `v_read` sees of them, in S; a device's deviations make it differ from its state."""
    target: Tensor = field()
    accepted: Tensor = field()
    """Cells whose last read was within tolerance."""
    pulses: Tensor = field()
    """Spent on each cell when it was selected."""
    disturb: Tensor = field()
    """S: sum of how far pulses to other cells moved each."""
    energy: Tensor = field()
    """[...] in J, that the sources delivered in all pulses: selected and half-selected cells, and wires."""
    seconds: float = field()
    """Of pulses, one after the other, without reads."""
    history: tuple[Progress, ...] = field()

    def summary(self) -> dict[str, str]:
        """Return the table: words -> value."""
        error = 1e6 * (self.read - self.target)
        pulses = self.pulses.to(torch.float64)
        return {
            "cells within tolerance": f"{float(self.accepted.double().mean()):.1%}",
            "error, root mean square": f"{float((error * error).mean().sqrt()):.3g} uS",
            "pulses per cell": f"{float(pulses.mean()):.3g}, at most {int(pulses.max())}",
            "moved by pulses to other cells": f"{1e6 * float(self.disturb.mean()):.3g} uS a cell",
            "energy": f"{float(self.energy.mean()):.3g} J",
            "time in pulses": f"{self.seconds:.3g} s",
            "sweeps": str(len(self.history) - 1),
        }
