"""What else stands between a number and a crossbar: bound management, S shapes, offsets, wires, several passes."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ohmlet.errors import ConfigError
from ohmlet.spec import boolean, integer, number, one_of

__all__ = [
    "BitWisePasses",
    "BoundManagement",
    "IRDrop",
    "IRDropModel",
    "Iterative",
    "IterativeWorstCase",
    "Nonlinearity",
    "Passes",
    "SeparatePasses",
    "SplitPasses",
    "TimeDependentIRDrop",
    "VoltageDrop",
]


@frozen(kw_only=True)
class Iterative:
    """Samples whose outputs pass the ADC's bound are read again with inputs halved, until they do not."""

    type_name: ClassVar[str] = "iterative"
    max_reduction: float = number(1000.0, "inputs are divided by no more than about this", ge=1.0)
    max_in_resolution: float = number(0.25, "and not further once a DAC step exceeds this part of full scale", gt=0.0)
    test_negative: bool = boolean(True, "whether outputs below the negative bound count")


@frozen(kw_only=True)
class IterativeWorstCase:
    """As `iterative`, but the second reading uses the scale under which no output can overflow, were all weights `assumed_w_max`."""

    type_name: ClassVar[str] = "iterative_worst_case"
    max_reduction: float = number(1000.0, "inputs are divided by no more than about this", ge=1.0)
    max_in_resolution: float = number(0.25, "and not further once a DAC step exceeds this part of full scale", gt=0.0)
    test_negative: bool = boolean(True, "whether outputs below the negative bound count")
    assumed_w_max: float = number(0.6, "largest |weight| that the scale assumes", gt=0.0, le=1.0)


BoundManagement = Iterative | IterativeWorstCase


@frozen(kw_only=True)
class Nonlinearity:
    """S shape of an output: y <- f y / (1 + |n y|), n = |strength / bound (1 + spread xi)| fixed per output.

    With a calibrated slope c the gain is f = (1 + (mean n + r_series) c bound)^2, else 1; `bound` is the ADC's.
    """

    strength: float = number(0.1, "1 halves an output at the ADC's bound", ge=0.0)
    spread: float = number(0.0, "standard deviation between outputs, relative", ge=0.0)
    slope_calibration: float = number(0.0, "point, as a fraction of the bound, where the slope is made right; 0 is none", ge=0.0)

    def __attrs_post_init__(self) -> None:
        if self.strength == 0 and self.slope_calibration == 0:
            raise ConfigError("a nonlinearity without strength and slope_calibration has no effect: leave it out")
        if self.strength == 0 and self.spread > 0:
            raise ConfigError(f"spread {self.spread!r} has no effect without strength")


@frozen(kw_only=True)
class VoltageDrop:
    """Voltage offset and series resistance of an output line, with or without a reference line.

    y <- (1 - o)(y + r) / (1 + rs |y + r|) - (1 + o) r / (1 + rs |r|),  r = -reference_w sum_j v_j,  o = max(offset_std xi, 0) per output
    """

    offset_std: float = number(0.0, "standard deviation of the relative offset between outputs", ge=0.0)
    r_series: float = number(0.0, "series resistance, as a fraction of the inverse of the largest device conductance", ge=0.0)
    reference_w: float = number(-1.0, "weight of the reference devices; 0 is no reference line")

    def __attrs_post_init__(self) -> None:
        if self.offset_std == 0 and self.r_series == 0:
            raise ConfigError("a voltage_drop without offset_std and r_series has no effect: leave it out")


@frozen(kw_only=True)
class IRDrop:
    """Resistance of the output lines, to second order: see `ohmlet_kernels.analog_mvm.nonideal.ir_drop_loss`.

    References: Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494.
    """

    type_name: ClassVar[str] = "quadratic"
    scale: float = number(1.0, "factor on the loss", gt=0.0)
    g_ratio: float = number(1.0 / 0.35 / 5e-6, "conductance of a wire segment over a device's largest", gt=0.0)


@frozen(kw_only=True)
class TimeDependentIRDrop:
    """Inputs as pulse lengths on resistive output lines, solved along the line: see `ohmlet_kernels.time_coded_mvm`.

    Needs a DAC of bound 1 and 2^bits - 2 levels, and a converter of one device pair per weight. The lines are linear, so the train of
    pulses collapses into one matrix and costs no more than one product.
    """

    type_name: ClassVar[str] = "time_dependent"
    rows: int = integer(512, "physical rows of the array", ge=1)
    segments: int = integer(8, "stretches that a line is lumped into; must divide rows", ge=1)
    r_wire: float = number(0.15, "wire resistance between two rows", unit="ohm", ge=0.0)
    v_read: float = number(0.4005, "voltage that the read-out holds a line at", unit="V")
    integration: str = one_of("sum", ("sum", "trapezoid"), "of the current over time steps; trapezoids over-count when there are few")
    adc_frequency: float = number(
        0.0, "of the ADC's ramp, which counts charge in units of 100 / frequency; 0 reads it exactly", unit="GHz", ge=0.0
    )

    def __attrs_post_init__(self) -> None:
        if self.rows % self.segments:
            raise ConfigError(f"'segments' must divide 'rows': {self.segments!r} does not divide {self.rows!r}")


IRDropModel = IRDrop | TimeDependentIRDrop


@frozen(kw_only=True)
class SeparatePasses:
    """Negative and positive inputs in passes of their own, added as currents or after the ADC."""

    type_name: ClassVar[str] = "separate"
    sum: str = one_of("analog", ("analog", "digital"), "where the two passes are added")
    w_asymmetry: float = number(0.0, "spread between cells of the weight that negative inputs see, relative", ge=0.0)


@frozen(kw_only=True)
class SplitPasses:
    """High and low bits of the input code in passes of their own, added digitally; with time-dependent IR drop."""

    type_name: ClassVar[str] = "split"
    bit_shift: int = integer(3, "low bits", unit="bit", ge=1)


@frozen(kw_only=True)
class BitWisePasses:
    """Each bit of the input code in a pass of its own, added digitally; with time-dependent IR drop."""

    type_name: ClassVar[str] = "bit_wise"


Passes = SeparatePasses | SplitPasses | BitWisePasses
