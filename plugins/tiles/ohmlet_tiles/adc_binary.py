"""What converters of 2^bits codes have in common: the range as whole codes, groups of columns, and the gradient."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.adc import ADC, output_range
from ohmlet.spec import integer, number
from ohmlet_kernels.noise import Stream

__all__ = ["BinaryADC", "grouped"]


@frozen(kw_only=True)
class BinaryADC(ADC):
    """A converter that finds a code of `bits` binary digits for the position u of an output on its scale, u = y / step + zero + 1/2.

    The ideal code is floor(u) and stands for (code - zero) step, so that without errors the converter is the ideal quantiser of the
    same range: step = 2 bound / (2^bits - 2) and zero = 2^(bits - 1), or step = bound / (2^bits - 1) and zero = 0 where nothing can be
    negative. Errors state what they are relative to: 1 is a unit capacitor, or half the scale.
    """

    bits: int = integer(8, "resolution", unit="bit", ge=2, le=16)
    bound: float | str = output_range(
        12.0, "largest output, in units of one full input times one full weight; or `max`, `granular`, `calibrated`"
    )
    gain_db: float | None = number(None, "open-loop gain of the amplifier; infinite if left out", unit="dB", gt=0.0)
    sigma_comparator: float = number(0.0, "standard deviation of a comparator's offset, in units of half the scale", ge=0.0)

    def __attrs_post_init__(self) -> None:
        if self.bound == float("inf"):
            raise ConfigError("a resolution needs a finite 'bound', whose range it divides")

    def equations(self) -> tuple[str, ...]:
        """Return what a code stands for."""
        signed, positive = self.step(1.0, True), self.step(1.0, False)
        return (
            f"u = y / step + {self.half:g} + 1/2 with step = {signed:.6g} bound, or y / step + 1/2 with {positive:.6g} bound where y >= 0",
            "ADC(y) = (code(u) - floor(u(0))) step; without errors code(u) = floor(u)",
        )

    @property
    def half(self) -> float:
        """Half the scale, in steps."""
        return float(2 ** (self.bits - 1))

    @property
    def inverse_gain(self) -> float:
        """1 / A of the amplifier."""
        return 0.0 if self.gain_db is None else 10.0 ** (-self.gain_db / 20.0)

    def step(self, bound: Any, signed: bool) -> Any:
        """Return the difference of two neighbouring codes."""
        return bound / (2.0 ** (self.bits - 1) - 1.0) if signed else bound / (2.0**self.bits - 1.0)

    @abstractmethod
    def codes(self, u: Tensor, made: Any) -> Tensor:
        """Return the whole codes 0 ... 2^bits - 1, in u's type, of positions u [..., S, R, out]."""

    def convert(self, y: Tensor, bound: Any, signed: bool, made: Any, noise: Stream) -> Tensor:
        """Return what is read, (code - zero) step."""
        step, zero = self.step(bound, signed), self.half if signed else 0.0
        low = -bound if signed else 0.0 * bound
        with torch.no_grad():
            z: Tensor = (self.codes(y.clamp(low, bound) / step + (zero + 0.5), made) - zero) * step
        if not y.requires_grad:
            return z
        # As an ideal quantiser clips: after rounding. The value stays the code's to the last digit.
        inside = y.clamp(low - step / 2.0, bound + step / 2.0)
        passed: Tensor = z + (inside - inside.detach())
        return passed


def grouped(drawn: Tensor, size: int, columns: int) -> Tensor:
    """Return what each column meets, [..., columns, k], of what is drawn for each converter, [..., groups, k]."""
    return drawn.repeat_interleave(size, -2)[..., :columns, :]
