"""Devices `cubic_iv` and `polynomial_iv`: measured current-voltage laws on cells that switch at a threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import number, numbers
from ohmlet_devices.switching import Switching

__all__ = ["CubicIV", "PolynomialIV"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class Relaxing(Switching):
    """A cell without a fitted dynamics: beyond a threshold its weight approaches the end of the window exponentially.

        w -> +-1 - (+-1 - w) exp(-rate t / (pulses width)),   t the time beyond the threshold

    so that `pulses` write pulses go 1 - 1/e of the way, whatever their voltage.
    """

    pulses: float = number(50.0, "write pulses that go 1 - 1/e of the way to the end of the window", gt=0)
    v_threshold: float = number(0.8, "voltage up to which nothing moves", unit="V", ge=0)
    set_voltage: float = number(1.0, "of a pulse up", unit="V", gt=0)
    set_width: float = number(1e-6, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(-1.0, "of a pulse down", unit="V", lt=0)
    reset_width: float = number(1e-6, "duration of a pulse down", unit="s", gt=0)

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return the times of the pulses in units of the relaxation time."""
        return {
            "up": torch.where(set_volts > self.v_threshold, set_seconds, 0.0) / (self.set_width * self.pulses),
            "down": torch.where(reset_volts < -self.v_threshold, reset_seconds, 0.0) / (self.reset_width * self.pulses),
            "rate_std": self.rate_std,
        }

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        time = ops.where(up, params.up, params.down) * cell.rate * ops.exp(params.rate_std * noise[0])
        end = ops.where(up, cell.w_max, cell.w_min)
        return ops.minimum(ops.maximum(w + (end - w) * (1 - ops.exp(-time)), cell.w_min), cell.w_max), hidden


@frozen(kw_only=True)
class CubicIV(Relaxing):
    """The current I = g (V + third V^3), on a cell that switches at a threshold.

    Raises ConfigError where the current would fall with the voltage within v_read_max. The default is CrossSim's generic nonlinear
    device; it stands for no measurement.
    """

    r_on: float = number(1e4, "resistance of weight 1", unit="ohm", gt=0)
    r_off: float = number(1e6, "resistance of weight -1", unit="ohm", gt=0)
    third: float = number(-0.25, "cubic part of the current, relative to the linear one at 1 V", unit="1/V^2")
    v_read_max: float = number(1.0, "largest voltage of the law", unit="V", gt=0)

    def __attrs_post_init__(self) -> None:
        if 1 + 3 * self.third * self.v_read_max * self.v_read_max <= 0:
            raise ConfigError(
                f"with third = {self.third:g} the current falls with the voltage above {(-3 * self.third) ** -0.5:.3g} V, "
                f"and v_read_max = {self.v_read_max:g} V: lower it"
            )
        super().__attrs_post_init__()

    def cubic(self, g: Tensor, cell: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return g and third g."""
        return g, self.third * g

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g (V + third V^3)."""
        return g * v * (1 + self.third * v * v)

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g (1 + 3 third V^2)."""
        return g * (1 + 3 * self.third * v * v)

    def equations(self) -> tuple[str, ...]:
        """Return the law with its values."""
        return (f"I = g (V + {self.third:g} V^3), |V| <= {self.v_read_max:g} V, 1/g from {self.r_on:g} to {self.r_off:g} ohm",)


@frozen(kw_only=True)
class PolynomialIV(Relaxing):
    """The current I = g V + N2(x) V^2 + N3(x) V^3 with polynomials in x = log10(g / 1 S), on a cell that switches at a threshold.

    An even part makes the current differ with the sign of the voltage. Raises ConfigError where the current would fall with the voltage
    within v_read_max. Defaults: HfO2 RRAM from 50 to 225 uS, the law best between 62.5 and 110 uS, as fitted in CrossSim to Milo et
    al., IRPS (2021); the dynamics were not fitted.
    """

    r_on: float = number(1e6 / 225, "resistance of weight 1", unit="ohm", gt=0)
    r_off: float = number(1e6 / 50, "resistance of weight -1", unit="ohm", gt=0)
    second: tuple[float, ...] = numbers((1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3), "of N2, highest power first", unit="A/V^2")
    third: tuple[float, ...] = numbers((8.871e-5, 6.7919e-4, 1.2968e-3), "of N3, highest power first", unit="A/V^3")
    v_read_max: float = number(0.5, "largest voltage of the law", unit="V", gt=0)

    def __attrs_post_init__(self) -> None:
        g = torch.linspace(1 / self.r_off, 1 / self.r_on, 65, dtype=torch.float64)
        v = torch.linspace(-self.v_read_max, self.v_read_max, 65, dtype=torch.float64)[:, None]
        slope = self.slope(v, g, {})
        if float(slope.min()) <= 0:
            at = divmod(int(slope.argmin()), 65)
            raise ConfigError(
                f"the current falls with the voltage at {float(v[at[0]]):.3g} V and {1e6 * float(g[at[1]]):.4g} uS: lower v_read_max, "
                "or change the polynomials"
            )
        super().__attrs_post_init__()

    def parts(self, g: Tensor) -> tuple[Tensor, Tensor]:
        """Return N2 and N3 of states [S]."""
        x = g.log10()
        made = []
        for coefficients in (self.second, self.third):
            value = torch.zeros_like(x)
            for each in coefficients:
                value = value * x + each
            made.append(value)
        return made[0], made[1]

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g V + N2 V^2 + N3 V^3."""
        second, third = self.parts(g)
        return v * (g + v * (second + v * third))

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g + 2 N2 V + 3 N3 V^2."""
        second, third = self.parts(g)
        return g + v * (2 * second + 3 * v * third)

    def equations(self) -> tuple[str, ...]:
        """Return the law with its values."""
        second, third = (", ".join(f"{each:g}" for each in part) for part in (self.second, self.third))
        return (f"I = g V + N2 V^2 + N3 V^3, |V| <= {self.v_read_max:g} V, in x = log10(g/S): N2 ({second}), N3 ({third})",)
