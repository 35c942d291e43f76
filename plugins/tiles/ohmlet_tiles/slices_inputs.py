"""How inputs drive a crossbar: as amplitudes, bit by bit, in slices of bits, or as the length of a pulse."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import torch
from attrs import field, frozen
from torch import Tensor

from ohmlet.spec import integer, one_of
from ohmlet_tiles.slices_weights import slice_widths, widths

__all__ = ["Amplitude", "BitSerial", "Digit", "InputEncoding", "PulseWidth", "Sliced"]


class Digit(NamedTuple):
    """What drives the rows in one read-out, and what its result counts in the sum."""

    drive: Tensor
    """[..., S, R, in], 1 being full scale"""
    factor: float


def code(v: Tensor, levels: float, lowest: float) -> tuple[Tensor, Tensor]:
    """Return whole codes of inputs v (1 is `levels`) and what carries their gradient, zero in value."""
    exact = v.clamp(lowest, 1.0) * levels
    return torch.round(exact.detach()), (exact - exact.detach()) / levels


def shared(drives: list[Tensor], factors: list[float], change: Tensor) -> list[Digit]:
    """Return digits that share the gradient in proportion to what they count, so that that of their sum is the input's own."""
    norm = sum(factor**2 for factor in factors)
    pairs = zip(drives, factors, strict=True)
    return [Digit(drive + factor / norm * change if change.requires_grad else drive, factor) for drive, factor in pairs]


@frozen(kw_only=True)
class Amplitude:
    """One read-out with the whole input as a voltage; v = round(levels x / r) / levels with levels = 2^(bits - 1) - 1."""

    type_name: ClassVar[str] = "amplitude"
    bits: int | None = integer(None, "resolution; exact if left out", unit="bit", ge=2, le=16)
    sign: str = one_of("magnitude", ("magnitude", "none"), "voltages of both signs, or inputs that are never negative (2^bits - 1 levels)")
    accumulation: ClassVar[str] = "digital"

    @property
    def levels(self) -> float | None:
        """The code of a full-scale input, None where inputs are not rounded."""
        return None if self.bits is None else 2.0 ** (self.bits - (self.sign == "magnitude")) - 1.0

    @property
    def unit(self) -> float | None:
        """The smallest difference of two drives."""
        return None if self.levels is None else 1.0 / self.levels

    def digits(self, v: Tensor) -> list[Digit]:
        """Return the read-outs of inputs v, 1 being full scale."""
        lowest = -1.0 if self.sign == "magnitude" else 0.0
        if self.levels is None:
            return [Digit(v.clamp(lowest, 1.0), 1.0)]
        k, change = code(v, self.levels, lowest)
        return shared([k / self.levels], [1.0], change)


@frozen(kw_only=True)
class Sliced:
    """One read-out for each slice of the input's bits, weighted and added: v = sum_b factor_b drive_b.

    A slice's digit d drives its rows with d / (2^b - 1), b the widest slice's bits, so that all slices use one DAC. `magnitude` gives
    each digit the input's sign; `twos_complement` reads the sign's bit on its own and subtracts it; `none` is for inputs that are never
    negative. Sums of slices are digital, behind an ADC for each, or analog, with one ADC at the end.
    """

    type_name: ClassVar[str] = "sliced"
    bits: int = integer(8, "resolution", unit="bit", ge=2, le=16)
    slice_bits: tuple[int, ...] = slice_widths((2,), "width of every slice, or of each, lowest first, the sign's bit not counted")
    sign: str = one_of("magnitude", ("magnitude", "twos_complement", "none"), "how negative inputs are sent")
    accumulation: str = one_of("digital", ("digital", "analog"), "where the slices are added")

    def __attrs_post_init__(self) -> None:
        self.widths()

    def widths(self) -> tuple[int, ...]:
        """Return the bits of each slice, lowest first, the sign's bit left out."""
        return widths(self.slice_bits, self.bits - (self.sign != "none"), f"inputs of {self.bits} bits with sign {self.sign} have")

    @property
    def levels(self) -> float:
        """The code of a full-scale input."""
        return 2.0 ** (self.bits - (self.sign != "none")) - 1.0

    @property
    def unit(self) -> float:
        """The smallest difference of two drives of a slice, or of two inputs where slices are added before the ADC."""
        return 1.0 / self.levels if self.accumulation == "analog" else 1.0 / (2.0 ** max(self.widths()) - 1.0)

    def digits(self, v: Tensor) -> list[Digit]:
        """Return the read-outs of inputs v, 1 being full scale."""
        full = 2.0 ** max(self.widths()) - 1.0
        lowest = {"magnitude": -1.0, "none": 0.0}.get(self.sign, -(self.levels + 1.0) / self.levels)
        k, change = code(v, self.levels, lowest)
        negative = (k < 0).to(k.dtype)
        rest = k.abs() if self.sign == "magnitude" else k + negative * (self.levels + 1.0)
        drives, factors, shift = [], [], 0
        for width in self.widths():
            digit = torch.remainder(torch.floor(rest / 2.0**shift), 2.0**width) / full
            drives.append(k.sign() * digit if self.sign == "magnitude" else digit)
            factors.append(2.0**shift * full / self.levels)
            shift += width
        if self.sign == "twos_complement":
            drives.append(negative / full)
            factors.append(-(self.levels + 1.0) * full / self.levels)
        return shared(drives, factors, change)


@frozen(kw_only=True)
class BitSerial(Sliced):
    """One read-out for each bit of the input: `sliced` with slices of one bit."""

    type_name: ClassVar[str] = "bit_serial"
    slice_bits: tuple[int, ...] = field(default=(1,), init=False, metadata={"unit": "bit", "doc": "width of a slice"})


@frozen(kw_only=True)
class PulseWidth:
    """Pulses of one height whose length is the input: levels = 2^(bits - 1) - 1 time steps, each row on during the first |k| of them.

    The charge of all steps is converted once. Every step is read as its rows alone are on, so cells, wires and noise see pulses of full
    height; where they are linear and silent, it is `amplitude`. Tile `inference` has a faster form for linear wires, `ir_drop:
    time_dependent`.
    """

    type_name: ClassVar[str] = "pulse_width"
    bits: int = integer(5, "resolution", unit="bit", ge=2, le=10)
    sign: str = one_of("magnitude", ("magnitude", "none"), "pulses of both signs, or inputs that are never negative (2^bits - 1 steps)")
    accumulation: ClassVar[str] = "analog"

    @property
    def levels(self) -> float:
        """The time steps of a full-scale input."""
        return 2.0 ** (self.bits - (self.sign == "magnitude")) - 1.0

    @property
    def unit(self) -> float:
        """The smallest difference of two inputs."""
        return 1.0 / self.levels

    def digits(self, v: Tensor) -> list[Digit]:
        """Return the read-outs of inputs v, 1 being full scale."""
        k, change = code(v, self.levels, -1.0 if self.sign == "magnitude" else 0.0)
        steps = range(1, int(self.levels) + 1)
        return shared([k.sign() * (k.abs() >= step) for step in steps], [1.0 / self.levels] * len(steps), change)


InputEncoding = Amplitude | BitSerial | Sliced | PulseWidth
