"""The numbers of a time-coded product."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["TimeCoded"]


class TimeCoded(NamedTuple):
    """Inputs as pulses of v_high or v_low against v_rest, currents integrated over the time steps of a DAC code.

    Resistances in ohm, voltages in volt, conductances in uS.
    """

    levels: float = 254.0
    """Steps of the DAC over its range; codes run from -levels/2 to levels/2."""
    rows: int = 512
    """Physical rows of the array; inputs sit in the middle."""
    segments: int = 8
    """Stretches that an output line is lumped into."""
    r_wire: float = 0.15
    """Wire resistance between two rows, in ohm."""
    v_read: float = 0.4005
    """Voltage that the read-out holds the line at."""
    trapezoid: bool = False
    """Integrate by trapezoids with the first sample twice, as one peer does; else by the sum, which is exact."""
    adc_frequency: float = 0.0
    """GHz of the ADC's ramp, which counts in units of 100 / frequency; 0 reads charge exactly."""
    passes: str = "one"
    """"one"; "split": high and low bits of the code apart; "bit_wise": each bit apart."""
    bit_shift: int = 3
    """Low bits of a split code."""


V_REST, V_SWING = 0.4, 0.2
"""Volt: rows rest at the first, and a pulse raises one device of a pair by the second and lowers the other."""
