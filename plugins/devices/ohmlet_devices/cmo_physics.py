"""Device `cmo_physics`: pulses that move the vacancies in the dome of a CMO/HfOx cell, by its equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import integer, number
from ohmlet_devices.cmo_filament import Filament, responses
from ohmlet_devices.linear_step import quotient
from ohmlet_devices.piecewise_step import interpolated
from ohmlet_devices.pulsed import Varied
from ohmlet_kernels.noise import Stream

__all__ = ["CMOPhysics"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class CMOPhysics(Varied):
    """Conductive metal oxide on HfOx as a compact model: the conductance follows from the vacancy concentration C in its dome.

    The equations of `ohmlet_devices.cmo_filament.Filament`, solved once per setting for one rectangular pulse up (set) and one down
    (reset) from `nodes` conductances at equal distances between G(c_hrs) and G(c_lrs), read at v_read. A pulse follows these curves,
    interpolated linearly:

        up    w <- w + gain_up (w_max - w_min) f_up(x)(1 + dw_min_std xi),      x = (w - w_min) / (w_max - w_min)
        down  w <- w - gain_down (w_max - w_min) f_down(x)(1 + dw_min_std xi),  then clipped to [w_min, w_max]

    w_min = -1 is G(c_hrs) and w_max = 1 is G(c_lrs), 26.3 and 88.0 uS unless changed (`window_uS`). Heat is gone long before the next
    pulse, and no transistor takes part of the voltage. The model has no variability; the spreads that all pulsed devices have are
    zero unless set. Voltages in V, resistances in ohm and K/W, concentrations in 1/m^3.

    Source: Galetta et al., Adv. Electron. Mater. (2025), doi:10.1002/aelm.202500373.
    """

    v_set: float = number(1.35, "voltage of a pulse up", unit="V", gt=0, le=3)
    v_reset: float = number(1.3, "size of the negative voltage of a pulse down", unit="V", gt=0, le=3)
    pulse_width: float = number(1e-6, "width of both pulses", unit="s", gt=0, le=1)
    v_read: float = number(0.2, "voltage at which conductances are read", unit="V", gt=0, le=1)
    c_hrs: float = number(7e24, "vacancy concentration of the high-resistance state", unit="1/m^3", ge=1e20)
    c_lrs: float = number(3.77e25, "vacancy concentration of the low-resistance state", unit="1/m^3", gt=0, le=3e26)
    r_series: float = number(223.22, "series resistance", unit="ohm", gt=0, le=1e6)
    r_thermal: float = number(1.4e6, "thermal resistance", unit="K/W", ge=0, le=1e9)
    t_ambient: float = number(293.0, "temperature of the surroundings", unit="K", ge=77, le=1500)
    nodes: int = integer(128, "conductances at which pulses are solved", ge=3, le=4097)
    dw_min_dtod: float = number(0.0, "spread of steps over devices, relative", ge=0)
    dw_min_std: float = number(0.0, "spread of a device's step from pulse to pulse, relative", ge=0)
    w_max_dtod: float = number(0.0, "spread of w_max over devices, relative", ge=0)
    w_min_dtod: float = number(0.0, "spread of w_min over devices, relative", ge=0)
    up_down_dtod: float = number(0.0, "spread of up_down over devices, absolute", ge=0)

    def __attrs_post_init__(self) -> None:
        if self.c_hrs >= self.c_lrs:
            raise ConfigError(f"c_hrs = {self.c_hrs:g} must be below c_lrs = {self.c_lrs:g}: more vacancies conduct better")
        try:
            with np.errstate(over="raise", invalid="raise", divide="raise"):
                self.granularity  # noqa: B018
        except ArithmeticError as error:
            raise ConfigError(
                f"the filament has no current at {self.v_read:g} V, {self.t_ambient:g} K and vacancies from {self.c_hrs:g} to "
                f"{self.c_lrs:g} /m^3 that could be worked out ({error}): take values nearer to the defaults"
            ) from error
        if not self.granularity > 1e-7:
            raise ConfigError(
                f"a pulse of {self.v_set:g} V up and {self.v_reset:g} V down for {self.pulse_width:g} s moves the weight by "
                f"{self.granularity:.2g}, which is nothing: raise the voltages or the width"
            )
        super().__attrs_post_init__()

    @property
    def _solved(self) -> tuple[tuple[float, float], tuple[float, ...], tuple[float, ...]]:
        filament = Filament(r_series=self.r_series, r_thermal=self.r_thermal, t_ambient=self.t_ambient, c_hrs=self.c_hrs, c_lrs=self.c_lrs)
        return responses(filament, self.v_set, self.v_reset, self.pulse_width, self.v_read, self.nodes)

    @property
    def window_uS(self) -> tuple[float, float]:  # noqa: N802 - the unit is written so
        """The conductances [uS] of the weights -1 and 1."""
        g_min, g_max = self._solved[0]
        return g_min * 1e6, g_max * 1e6

    @property
    def w_max(self) -> float:
        """The weight of the low-resistance state."""
        return 1.0

    @property
    def w_min(self) -> float:
        """The weight of the high-resistance state."""
        return -1.0

    @property
    def dw_min(self) -> float:
        """The mean of the steps up and down midway between the bounds."""
        return sum(2.0 * interpolated(curve, 0.5) for curve in self._solved[1:]) / 2

    @property
    def beta(self) -> tuple[float, float]:
        """Nothing: the curves hold what pulses up and down do differently."""
        return 0.0, 0.0

    def tables(self) -> Mapping[str, tuple[float, ...]]:
        """Return the two curves in units of dw_min, for a window of 2."""
        _, up, down = self._solved
        per_step = 2.0 / self.dw_min
        return {"steps_up": tuple(per_step * each for each in up), "steps_down": tuple(per_step * each for each in down)}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with the width of their windows; steps scale with it."""
        cell = super().derive(drawn, noise)
        width = cell["w_max"] - cell["w_min"]
        steps = {name: cell[name] * width / 2.0 for name in ("dw_up", "dw_down")}
        return {**cell, **steps, "per_width": quotient(width * 0 + 1, width)}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        at = (w - cell.w_min) * cell.per_width
        rise = cell.dw_up * ops.interpolate(params.steps_up, at)
        fall = cell.dw_down * ops.interpolate(params.steps_down, at)
        after = w + ops.where(up, rise, -fall) * (1 + params.dw_min_std * noise[0])
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        low, high = self.window_uS
        _, up, down = self._solved
        middle = tuple((high - low) * interpolated(curve, 0.5) for curve in (up, down))
        return (
            f"up: {self.v_set:g} V for {self.pulse_width:g} s, down: -{self.v_reset:g} V; G(C) at {self.v_read:g} V from {low:.4g} uS "
            f"(w = -1) to {high:.4g} uS (w = 1)",
            f"midway {middle[0]:.3g} uS up and {middle[1]:.3g} uS down per pulse, times (1 + {self.dw_min_std:g} xi)",
        )
