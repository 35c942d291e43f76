"""Analog-to-digital converters: what becomes of a column's output when it is read as a number."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import Attribute, field

from ohmlet.errors import shortened
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from ohmlet_kernels.noise import Stream

__all__ = ["ADC", "RANGES", "output_range"]

RANGES = ("max", "granular", "calibrated")
"""Words that may stand where a bound is a number."""


def output_range(default: float | str, doc: str) -> Any:
    """Return an attrs field for the largest output of a converter: a positive number, or one of `RANGES`."""

    def plain(value: Any) -> Any:
        # Files that have no infinity say it in a word.
        return float(value) if value == "inf" or (isinstance(value, int) and not isinstance(value, bool)) else value

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        if isinstance(value, str):
            if value not in RANGES:
                raise ValueError(f"'{attribute.name}' must be a number or one of {', '.join(RANGES)}: {shortened(value)}")
        elif not isinstance(value, float):
            raise ValueError(f"'{attribute.name}' must be a number [1]: {shortened(value)}")
        elif math.isnan(value):
            raise ValueError(f"'{attribute.name}' must be finite: {shortened(value)}")
        elif value <= 0:
            raise ValueError(f"'{attribute.name}' must be > 0: {shortened(value)}")

    metadata = {"unit": "1", "doc": doc, "bounds": {">": 0.0}, "infinite": True}
    return field(default=default, converter=plain, validator=check, metadata=metadata)


class ADC(Spec):
    """Turns the outputs y [..., S, R, out] of a crossbar into multiples of a step within a range.

    The range is [-bound, bound], or [0, bound] where nothing can be negative (`signed` is False). `bound` is in units of one full input
    times one full weight and a field of every converter (`output_range`): a number; `max`, the number of the crossbar's inputs, which
    no output can pass; `granular`, with the smallest difference of two ideal outputs as the step; or `calibrated`, which
    `ohmlet.calibrate` measures for each converter. Whoever builds the converter into a crossbar finds the number: a converter gets it.

    What differs between converters of one kind is drawn once, by `fabricate`, from the crossbar's address. A whole converter:

        @frozen(kw_only=True)
        class Offset(ADC):
            \"\"\"An ideal quantiser behind a comparator with an offset for each column.\"\"\"

            bits: int = integer(8, "resolution", unit="bit", ge=2)
            bound: float | str = output_range(12.0, "largest output")
            sigma: float = number(0.5, "offset in steps", ge=0.0)

            def step(self, bound, signed):
                return bound / (2 ** (self.bits - 1) - 1 if signed else 2**self.bits - 1)

            def fabricate(self, columns, like, noise):
                return self.sigma * noise.normal("offset", like.new_empty((1, columns))).squeeze(-2)

            def convert(self, y, bound, signed, made, noise):
                step, low = self.step(bound, signed), -bound if signed else 0.0 * bound
                inside = y.clamp(low, bound)
                z = (torch.round(y / step + made[..., None, None, :]) * step).clamp(low, bound)
                return inside + (z - inside).detach()
    """

    kind: ClassVar[str] = "adc"
    assumed_type: ClassVar[str] = "uniform"
    """What a config without `type` means."""

    if TYPE_CHECKING:
        bound: float | str

    @abstractmethod
    def step(self, bound: Any, signed: bool) -> Any:
        """Return the difference of two neighbouring codes, nominally; 0 for a converter without resolution."""

    def fabricate(self, columns: int, like: Tensor, noise: Stream) -> Any:
        """Return what differs between a crossbar's converters: tensors [*L, ...] for the L crossbars that `noise` addresses, or None.

        `noise` is without samples, `like` states dtype and device.
        """
        del columns, like, noise

    @abstractmethod
    def convert(self, y: Tensor, bound: Any, signed: bool, made: Any, noise: Stream) -> Tensor:
        """Return what is read of y [..., S, R, out]; `made` is what `fabricate` returned, `noise` is addressed by sample.

        The gradient passes rounding unchanged and is zero where an output lies beyond the range.
        """
