"""Devices `data_driven` and `data_driven_2021`: resistances that approach a limit set by the voltage, fitted to pulse measurements."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import number
from ohmlet_devices.switching import Switching

__all__ = ["DataDriven", "DataDriven2021"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class Limited(Switching):
    """What the two models share: a hyperbolic-sine current, and limits r(V) = r_0 + r_1 V that resistances move to from one side only."""

    r_on: float = number(1280.0, "smallest resistance", unit="ohm", gt=0)
    r_off: float = number(17e3, "largest resistance", unit="ohm", gt=0)
    a_p: float = number(0.24, "scale of the current at positive voltages", unit="V", gt=0)
    a_n: float = number(0.24, "scale of the current at negative voltages", unit="V", gt=0)
    b_p: float = number(3.0, "steepness of the current at positive voltages", unit="1/V", gt=0)
    b_n: float = number(3.0, "steepness of the current at negative voltages", unit="1/V", gt=0)
    r_p0: float = number(16719.0, "limit of the resistance at positive voltages, constant part", unit="ohm")
    r_p1: float = number(0.0, "limit of the resistance at positive voltages, slope", unit="ohm/V")
    r_n0: float = number(29304.82557, "limit of the resistance at negative voltages, constant part", unit="ohm")
    r_n1: float = number(23692.77225, "limit of the resistance at negative voltages, slope", unit="ohm/V")

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return a g sinh(b V)."""
        return g * torch.where(v >= 0, self.a_p * (self.b_p * v).sinh(), self.a_n * (self.b_n * v).sinh())

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return a b g cosh(b V)."""
        return g * torch.where(v >= 0, self.a_p * self.b_p * (self.b_p * v).cosh(), self.a_n * self.b_n * (self.b_n * v).cosh())

    @abstractmethod
    def speed(self, size: Tensor, positive: bool) -> Tensor:
        """Return what the time [s] is multiplied by, from |V| and its sign, as `step` reads it."""

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return how far towards its limit a pulse goes, and the limit, of each way."""
        made: dict[str, Any] = {"r_on": self.r_on, "r_off": self.r_off, "rate_std": self.rate_std}
        for way, volts, seconds in (("up", set_volts, set_seconds), ("down", reset_volts, reset_seconds)):
            positive = (way == "up") == (self.polarity > 0)
            zero, slope = (self.r_p0, self.r_p1) if positive else (self.r_n0, self.r_n1)
            made |= {f"{way}_gain": self.speed(volts.abs(), positive) * seconds, f"{way}_limit": zero + slope * volts}
        return made


@frozen(kw_only=True)
class DataDriven(Limited):
    """TiO2 ReRAM fitted to pulse measurements: resistances that approach a limit exponentially.

        I      = a sinh(b V) / R
        dR/dt  =  s_p(V)(exp(k_p (r_p(V) - R)) - 1)   for V > 0 while R < r_p(V)
                 -s_n(V)(exp(k_n (R - r_n(V))) - 1)   for V < 0 while R > r_n(V)
        s(V)   = |A (exp(t |V|) - 1)|,   r(V) = r_0 + r_1 V

    solved exactly for a held voltage; R stays within r_on and r_off. Positive voltages lower the conductance. Times the rate of
    `Switching`. Source: Messaris et al., IEEE Trans. Comput.-Aided Des. Integr. Circuits Syst. 37, 3151 (2018),
    doi:10.1109/TCAD.2018.2791468.
    """

    polarity: ClassVar[int] = -1

    A_p: float = number(743.47, "speed at positive voltages", unit="ohm/s", gt=0)
    A_n: float = number(-68012.28374, "speed at negative voltages", unit="ohm/s", lt=0)
    t_p: float = number(6.51, "growth of the speed with positive voltages", unit="1/V", gt=0)
    t_n: float = number(0.31645, "growth of the speed with negative voltages", unit="1/V", gt=0)
    k_p: float = number(5.11e-4, "steepness of the approach at positive voltages", unit="1/ohm", gt=0)
    k_n: float = number(1.17e-3, "steepness of the approach at negative voltages", unit="1/ohm", gt=0)
    set_voltage: float = number(-1.2, "of a pulse up", unit="V", lt=0)
    set_width: float = number(1e-4, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(0.5, "of a pulse down", unit="V", gt=0)
    reset_width: float = number(1e-6, "duration of a pulse down", unit="s", gt=0)

    def speed(self, size: Tensor, positive: bool) -> Tensor:
        """Return k |A| (exp(t |V|) - 1), in 1 / s."""
        k, scale, growth = (self.k_p, self.A_p, self.t_p) if positive else (self.k_n, -self.A_n, self.t_n)
        return k * scale * (growth * size).expm1()

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return gains and limits, and the steepness of each way."""
        return {**super().conditions(set_volts, set_seconds, reset_volts, reset_seconds), "up_k": self.k_n, "down_k": self.k_p}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse, with series where differences from 1 would be lost."""
        g = (1 + (w + 1) / 2 * (params.r_off / params.r_on - 1)) / params.r_off
        r = 1 / g
        k = ops.where(up, params.up_k, params.down_k)
        distance = ops.maximum(ops.where(up, r - params.up_limit, params.down_limit - r), 0.0)
        time = ops.where(up, params.up_gain, params.down_gain) * cell.rate * ops.exp(params.rate_std * noise[0])
        share = ops.where(time < 0.01, time * (1 - time / 2 * (1 - time / 3)), 1 - ops.exp(-time))
        part = share * (ops.exp(k * distance) - 1)
        change = ops.where(part < 0.01, part * (1 - part / 2 * (1 - part * 2 / 3)), ops.log(1 + part)) / k
        after = ops.minimum(ops.maximum(r + ops.where(up, -change, change), params.r_on), params.r_off)
        # From the weight itself, so that a resistance that stays leaves it as it is.
        moved = w + 2 * (r - after) * g / (after * (1 / params.r_on - 1 / params.r_off))
        return ops.minimum(ops.maximum(moved, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"V > 0: dR/dt = {self.A_p:g}(exp({self.t_p:g} V) - 1)(exp({self.k_p:g}(r_p - R)) - 1), r_p = {self.r_p0:g} + {self.r_p1:g} V",
            f"V < 0: dR/dt = {self.A_n:g}(exp({self.t_n:g}|V|) - 1)(exp({self.k_n:g}(R - r_n)) - 1), r_n = {self.r_n0:g} + {self.r_n1:g} V",
        )


@frozen(kw_only=True)
class DataDriven2021(Limited):
    """ReRAM fitted to pulse measurements: resistances that approach a limit as the square of the distance.

        I      = a sinh(b V) / R
        dR/dt  = s(V)(r(V) - R)^2,   V > 0: down, while R > r_p(V);   V < 0: up, while R < r_n(V)
        s(V)   = A (exp(|V| / t) - 1),   r(V) = r_0 + r_1 V

    solved exactly for a held voltage; R stays within r_on and r_off. Positive voltages raise the conductance. Times the rate of
    `Switching`. Source: arXiv:2012.02267.
    """

    r_on: float = number(1600.0, "smallest resistance", unit="ohm", gt=0)
    r_off: float = number(3000.0, "largest resistance", unit="ohm", gt=0)
    a_p: float = number(0.32046175, "scale of the current at positive voltages", unit="V", gt=0)
    a_n: float = number(0.32046175, "scale of the current at negative voltages", unit="V", gt=0)
    b_p: float = number(2.71689828, "steepness of the current at positive voltages", unit="1/V", gt=0)
    b_n: float = number(2.71689828, "steepness of the current at negative voltages", unit="1/V", gt=0)
    r_p0: float = number(2699.2336, "limit of the resistance at positive voltages, constant part", unit="ohm")
    r_p1: float = number(-672.930205, "limit of the resistance at positive voltages, slope", unit="ohm/V")
    r_n0: float = number(649.413746, "limit of the resistance at negative voltages, constant part", unit="ohm")
    r_n1: float = number(-1474.32358, "limit of the resistance at negative voltages, slope", unit="ohm/V")
    A_p: float = number(600.10075, "speed at positive voltages", unit="1/(ohm s)", gt=0)
    A_n: float = number(-34.5988399, "speed at negative voltages", unit="1/(ohm s)", lt=0)
    t_p: float = number(-0.0212028, "voltage scale of the speed at positive voltages", unit="V", lt=0)
    t_n: float = number(-0.05343997, "voltage scale of the speed at negative voltages", unit="V", lt=0)
    set_voltage: float = number(1.6, "of a pulse up", unit="V", gt=0)
    set_width: float = number(1e-7, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(-1.6, "of a pulse down", unit="V", lt=0)
    reset_width: float = number(3e-7, "duration of a pulse down", unit="s", gt=0)

    def speed(self, size: Tensor, positive: bool) -> Tensor:
        """Return |A (exp(|V| / t) - 1)|, in 1 / (ohm s)."""
        scale, voltage = (self.A_p, self.t_p) if positive else (-self.A_n, self.t_n)
        return -scale * (size / voltage).expm1()

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        g = (1 + (w + 1) / 2 * (params.r_off / params.r_on - 1)) / params.r_off
        r = 1 / g
        distance = ops.maximum(ops.where(up, r - params.up_limit, params.down_limit - r), 0.0)
        gain = ops.where(up, params.up_gain, params.down_gain) * cell.rate * ops.exp(params.rate_std * noise[0])
        change = gain * distance * distance / (1 + gain * distance)
        after = ops.minimum(ops.maximum(r + ops.where(up, -change, change), params.r_on), params.r_off)
        # From the weight itself, so that a resistance that stays leaves it as it is.
        moved = w + 2 * (r - after) * g / (after * (1 / params.r_on - 1 / params.r_off))
        return ops.minimum(ops.maximum(moved, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"V > 0: dR/dt = {self.A_p:g}(exp(V/({self.t_p:g})) - 1)(r_p - R)^2, r_p = {self.r_p0:g} + {self.r_p1:g} V",
            f"V < 0: dR/dt = {self.A_n:g}(exp(|V|/({self.t_n:g})) - 1)(r_n - R)^2, r_n = {self.r_n0:g} + {self.r_n1:g} V",
        )
