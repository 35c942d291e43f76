"""Converter `uniform`: the ideal quantiser."""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.adc import ADC, output_range
from ohmlet.spec import integer, number, one_of
from ohmlet_kernels.analog_mvm.quantise import rounded
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.converters import check

__all__ = ["UniformADC"]


@frozen(kw_only=True)
class UniformADC(ADC):
    """Analog-to-digital converter of the outputs: z = clip(round(y / step) step, +-bound), step = 2 bound / (2^bits - 2).

    Where nothing can be negative, z = clip(round(y / step) step, 0, bound) with step = bound / (2^bits - 1).
    """

    bits: int | None = integer(None, "resolution; 8 bits are 254 steps over the range", unit="bit", ge=2, le=24)
    levels: float | None = number(None, "steps over the range, instead of bits; need not be whole", ge=1.0)
    bound: float | str = output_range(
        12.0, "largest output, in units of one full input times one full weight; or `max`, `granular`, `calibrated`"
    )
    rounding: str = one_of("nearest", ("nearest", "stochastic"), "half to even, or up with the probability of the remainder")

    def __attrs_post_init__(self) -> None:
        check(self.bits, self.levels, self.bound if isinstance(self.bound, float) else 1.0, self.rounding)
        if self.bound == "granular" and self.bits is None:
            raise ConfigError("bound 'granular' follows from the resolution: give bits")

    def step(self, bound: Any, signed: bool) -> Any:
        """Return the quantisation step, 0 without resolution."""
        count = self.levels if self.bits is None else 2.0**self.bits - (2.0 if signed else 1.0)
        return 0.0 if count is None else (2.0 if signed else 1.0) * bound / count

    @property
    def fixed_step(self) -> float:
        """The step of a range that the config states."""
        return float(self.step(self.bound, True))

    def equations(self) -> tuple[str, ...]:
        """Return the quantiser with its values."""
        kept = f"clipped to +-{self.bound:g}" if isinstance(self.bound, float) else f"clipped to its range, {self.bound}"
        count = self.levels if self.bits is None else 2.0**self.bits - 2.0
        if count is None:
            return (f"z = y, {kept}",)
        return (f"z = round(y / step) step, {kept}; {count:g} steps over the range, rounding {self.rounding}",)

    def convert(self, y: Tensor, bound: Any, signed: bool, made: Any, noise: Stream) -> Tensor:
        """Return z [..., S, R, out]."""
        del made
        if self.bits is not None or self.levels is not None:
            step = self.step(bound, signed)
            y = rounded(y / step, 1.0, noise.uniform("adc", y) if self.rounding == "stochastic" else None) * step
        return y if isinstance(bound, float) and math.isinf(bound) else y.clamp(-bound if signed else 0.0 * bound, bound)
