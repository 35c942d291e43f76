"""What memristors with a switching rate have in common: how rates differ, and how an equation of motion is followed to a tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter
from ohmlet.interfaces.memristor import Memristor
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["Integrated", "Switching", "followed"]

TOLERANCES = {torch.float32: 1e-5, torch.float64: 1e-9}
"""Error of one part of a pulse, in weight, by dtype."""

SHORTEST = 1e-7
"""Part of a pulse that is accepted whatever its error: where a rate jumps, no part is short enough."""

NOTHING = 1e-12
"""What rounding makes of no change of weight."""

MOST_PARTS = 20_000
ONE_STEP = 2e-3
"""Largest error, in weight, of taking a write pulse in one step."""


@frozen(kw_only=True)
class Switching(Memristor):
    """A memristor between two resistances whose switching rate differs from device to device and from pulse to pulse.

        rate = exp(rate_dtod xi + rate_std xi')      multiplies dx/dt; xi of each device, xi' of each pulse, standard normals

    The window is 1 / r_off to 1 / r_on. Its state does not move beyond these.
    """

    normals: ClassVar[int] = 1

    rate_dtod: float = number(0.0, "spread of the logarithm of the switching rate over devices", ge=0)
    rate_std: float = number(0.0, "spread of the logarithm of the switching rate from pulse to pulse", ge=0)

    def __attrs_post_init__(self) -> None:
        self.window  # noqa: B018 - refuses an empty one
        for name, pulse, sign in (("set", self.set_pulse, self.polarity), ("reset", self.reset_pulse, -self.polarity)):
            if pulse.volts * sign <= 0:
                raise ConfigError(
                    f"{name}_voltage = {pulse.volts:g} V has the wrong sign: {type(self).__name__} is {name} by "
                    f"{'positive' if sign > 0 else 'negative'} voltages"
                )
            middle = torch.zeros((1, 1), dtype=torch.float64)
            if float(Memristor.stepped(self, middle, torch.full_like(middle, pulse.volts), pulse.seconds, self.typical()).abs()) < NOTHING:
                raise ConfigError(
                    f"{name}_voltage = {pulse.volts:g} V for {pulse.seconds:g} s does not move a device at the middle of its window: "
                    "raise the voltage or the width"
                )

    @property
    def window(self) -> ConductanceWindow:
        """The conductances of the two resistances."""
        return ConductanceWindow(1e6 / self.r_off, 1e6 / self.r_on)  # type: ignore[attr-defined]

    def cells(self) -> Mapping[str, CellParameter]:
        """Return the bounds and the rates of devices."""
        return {**super().cells(), "rate": CellParameter(mean=1.0, spread=self.rate_dtod, distribution="lognormal")}


@frozen(kw_only=True)
class Integrated(Switching):
    """A memristor whose `step` is one Runge-Kutta step of its equation of motion; a long pulse is taken in parts."""

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        w, cell = torch.linspace(-1, 1, 65, dtype=torch.float64)[None], self.typical()
        for name, pulse in (("set", self.set_pulse), ("reset", self.reset_pulse)):
            v, several = torch.full_like(w, pulse.volts), w
            for _ in range(8):
                several = Memristor.stepped(self, several, v, pulse.seconds / 8, cell)
            off = float((Memristor.stepped(self, w, v, pulse.seconds, cell) - several).abs().max())
            if off > ONE_STEP:
                raise ConfigError(
                    f"{name}_width = {pulse.seconds:g} s at {pulse.volts:g} V moves a device too far for one step, which would be off by "
                    f"{off:.2g} in weight: shorten the pulse or lower the voltage"
                )

    def stepped(self, w: Tensor, v: Tensor, seconds: Tensor | float, cell: Mapping[str, Tensor], noise: Stream | None = None) -> Tensor:
        """Return the weights after voltages were held, followed in as many parts as the tolerance needs."""
        v = torch.as_tensor(v, dtype=w.dtype, device=w.device)
        size, time = self.polarity * v.abs(), torch.as_tensor(seconds, dtype=w.dtype, device=w.device)
        up, draws = self.polarity * v > 0, self.draws(w, v, noise)

        def advance(at: Tensor, part: Tensor) -> Tensor:
            params: Mapping[str, Any] = self.conditions(size, time * part, -size, time * part)
            return self.answer(at, up, params, cell, draws)

        shape = torch.broadcast_shapes(w.shape, v.shape, time.shape, *(value.shape for value in cell.values()))
        return torch.where(v == 0, w, followed(advance, w.expand(shape), TOLERANCES.get(w.dtype, 1e-5), type(self).__name__))


def followed(advance: Callable[[Tensor, Tensor], Tensor], w: Tensor, tolerance: float, name: str) -> Tensor:
    """Return w after a whole pulse, from `advance(w, part)`, the fourth-order step over a part of it, with a part size of each cell's own.

    A part is accepted when taking it at once and in halves differ by at most `tolerance`. Raises ConfigError when no such parts get there.
    """
    left, part = torch.ones_like(w), torch.ones_like(w)
    for _ in range(MOST_PARTS):
        part = torch.minimum(part, left)
        halves = advance(advance(w, part / 2), part / 2)
        error = ((advance(w, part) - halves).abs() / tolerance).detach().nan_to_num(1e30, 1e30)
        fits = (error <= 1) | (part <= SHORTEST)
        w, left = torch.where(fits, halves, w), torch.where(fits, left - part, left)
        if not bool((left > 0).any()):
            return w
        part = (part * (0.9 * error.clamp_min(1e-9) ** -0.2).clamp(0.1, 4.0)).clamp_min(SHORTEST)
    raise ConfigError(f"{name} moves too fast to be followed through this pulse in {MOST_PARTS} parts: shorten it or lower the voltage")
