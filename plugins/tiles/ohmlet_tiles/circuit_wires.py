"""The wires of tile `circuit` as a config states them."""

from __future__ import annotations

from attrs import asdict, frozen

from ohmlet.spec import number, one_of
from ohmlet_kernels.crossbar_solve import Wires

__all__ = ["CircuitWires", "turned"]

ENDS = ("single", "double")


@frozen(kw_only=True)
class CircuitWires:
    """Resistances along word lines, which inputs drive, and bit lines, whose currents are the outputs; see `crossbar_solve.Wires`."""

    r_word: float = number(1.0, "of a word line between neighbouring cells", unit="ohm", ge=0.0)
    r_bit: float = number(1.0, "of a bit line between neighbouring cells", unit="ohm", ge=0.0)
    r_source: float = number(0.0, "between a DAC's output and its word line", unit="ohm", ge=0.0)
    r_sense: float = number(0.0, "between a bit line and the virtual ground of its amplifier", unit="ohm", ge=0.0)
    r_access: float = number(0.0, "in series with each cell, the channel of a 1T1R cell's transistor", unit="ohm", ge=0.0)
    drive: str = one_of("single", ENDS, "ends of a word line that are driven")
    sense: str = one_of("single", ENDS, "ends of a bit line that are sensed")

    def wires(self) -> Wires:
        """Return what the solver reads."""
        return Wires(**asdict(self))


def turned(wires: Wires) -> Wires:
    """Return the wires of the crossbar when bit lines are driven and word lines sensed, through the same resistances."""
    return Wires(wires.r_bit, wires.r_word, wires.r_sense, wires.r_source, wires.sense, wires.drive, wires.r_access)
