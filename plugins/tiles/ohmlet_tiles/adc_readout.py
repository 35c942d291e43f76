"""The converters of one crossbar: the range that its converter works with, and the state of a calibrated one."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ohmlet.errors import ConfigError, OrderError
from ohmlet.interfaces.adc import ADC
from ohmlet_kernels.noise import Stream

__all__ = ["Readout"]


class Readout(nn.Module):
    """Converts a crossbar's outputs; where the range is calibrated, its bound is NaN until `settle`.

    `most` is the largest output that there can be, `unit` the smallest difference of two ideal outputs where weights and inputs are
    whole digits, and `signed` says whether outputs can be negative. A calibrated step is then a power of two of `unit`, so that the
    digital sum over slices shifts and adds. `name` tells converters of one crossbar apart. Raises ConfigError for a range that no number
    follows from.
    """

    def __init__(self, adc: ADC, name: str, most: float, unit: float | None = None, signed: bool = True) -> None:
        super().__init__()
        self.adc, self.name, self.unit, self.signed = adc, name, unit, signed
        self.fixed: float | None = None
        self.observed: Any = None
        """While it is calibrated, what sees the outputs in the converter's place: an object with a method `see`."""
        self._known = False
        if adc.bound == "calibrated":
            self.bound: Tensor
            self.register_buffer("bound", torch.tensor(torch.nan))
        elif adc.bound == "granular":
            if unit is None:
                raise ConfigError("adc.bound granular needs weights and inputs of whole digits: tile bit_sliced with weight and input bits")
            self.fixed = unit / float(adc.step(1.0, signed))
        else:
            self.fixed = float(most) if adc.bound == "max" else float(adc.bound)

    @property
    def calibrates_outputs(self) -> bool:
        """Whether the range is measured, by `ohmlet.calibrate`."""
        return self.fixed is None

    def range(self) -> float | Tensor:
        """Return the bound; raises OrderError for one that was not calibrated."""
        if self.fixed is not None:
            return self.fixed
        if not self._known and not torch.compiler.is_compiling():
            # Asked until there is a value and not again: on a GPU the question waits for all work before it.
            if bool(self.bound.isnan()):
                raise OrderError("adc.bound calibrated was not calibrated: call ohmlet.calibrate(model, batches), or state a number")
            self._known = True
        return self.bound

    def fabricated(self, columns: int, like: Tensor, noise: Stream) -> Any:
        """Return what differs between the converters: a pure function of the crossbar's address, whenever it is asked for."""
        return self.adc.fabricate(columns, like, noise._replace(ordinals=None, event=None, path=f"fabrication adc {self.name}"))

    def forward(self, y: Tensor, noise: Stream, made: Any) -> Tensor:
        """Return what converters as they were `fabricated` read of outputs y [..., S, R, out]."""
        if self.observed is not None:
            self.observed.see(y)
            return y
        bound = self.range()
        return self.adc.convert(y, bound if isinstance(bound, float) else bound.to(y.dtype), self.signed, made, noise)

    def settle(self, sizes: Tensor, counts: Tensor, reach: float | None) -> float:
        """Set and return the bound that fits outputs of the given sizes and their counts.

        It is at least `reach` where that is given, a quantile of the sizes, and else the one with the smallest mean squared error
        of an ideal quantiser.
        """
        largest = float(sizes.max()) if reach is None else reach
        step = float(self.adc.step(1.0, self.signed))
        if self.unit is not None and step > 0:
            highest = math.ceil(math.log2(max(largest * step / self.unit, 1.0)))
            tried = [self.unit * 2.0**n / step for n in range(highest, highest - 16, -1)]
        else:
            tried = [largest * 2.0 ** (-j / 8) for j in range(64)]
        if reach is not None or step == 0:
            tried = tried[:1]
        chosen = min(tried, key=lambda bound: self._error(bound, sizes, counts)) if len(tried) > 1 else tried[0]
        self.bound.fill_(chosen)
        return chosen

    def _error(self, bound: float, sizes: Tensor, counts: Tensor) -> float:
        step = float(self.adc.step(bound, self.signed))
        read = (torch.round(sizes / step) * step).clamp_max(bound)
        return float((counts * (read - sizes).square()).sum())
