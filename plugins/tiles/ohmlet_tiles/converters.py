"""Digital-to-analog converters, and what the settings of a converter may be: how many steps, over which range, rounded how."""

from __future__ import annotations

import math

from attrs import frozen

from ohmlet.errors import ConfigError
from ohmlet.spec import integer, number, one_of

__all__ = ["DAC"]


def check(bits: int | None, levels: float | None, bound: float, rounding: str) -> None:
    """Raise ConfigError for settings that contradict each other or have no effect."""
    if bits is not None and levels is not None:
        raise ConfigError(f"'bits' and 'levels' both state the resolution ({bits} bits are {2**bits - 2} levels): give one of them")
    if bits is None and levels is None and rounding != "nearest":
        raise ConfigError(f"rounding {rounding!r} has no effect without 'bits' or 'levels'")
    if bits is None and levels is None and math.isinf(bound):
        raise ConfigError("a converter without resolution and bound has no effect: leave it out")
    if (bits is not None or levels is not None) and math.isinf(bound):
        raise ConfigError("a resolution needs a finite 'bound', whose range it divides")


def step(bits: int | None, levels: float | None, bound: float) -> float:
    """Return the quantisation step, 2 bound / levels with levels = 2^bits - 2, or 0 without resolution."""
    count = levels if bits is None else 2**bits - 2
    return 0.0 if count is None else 2.0 * bound / count


@frozen(kw_only=True)
class DAC:
    """Digital-to-analog converter of the inputs: v = clip(round(x / step) step, +-bound), step = 2 bound / (2^bits - 2)."""

    bits: int | None = integer(None, "resolution; 8 bits are 254 steps over the range", unit="bit", ge=2, le=24)
    levels: float | None = number(None, "steps over the range, instead of bits; need not be whole", ge=1.0)
    bound: float = number(1.0, "largest input, relative to the input range", gt=0.0, infinite=True)
    rounding: str = one_of("nearest", ("nearest", "stochastic"), "half to even, or up with the probability of the remainder")

    def __attrs_post_init__(self) -> None:
        check(self.bits, self.levels, self.bound, self.rounding)

    @property
    def step(self) -> float:
        """The quantisation step, 0 without resolution."""
        return step(self.bits, self.levels, self.bound)
