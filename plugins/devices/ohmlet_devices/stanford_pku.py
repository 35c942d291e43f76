"""Device `stanford_pku`: a filament whose gap grows and closes by thermally activated hopping, with Joule heating."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.memristor import BOLTZMANN
from ohmlet.spec import number
from ohmlet_devices.switching import Integrated

__all__ = ["StanfordPKU"]

ops: Any = None  # bound by each engine

CHARGE = 1.602176634e-19


@frozen(kw_only=True)
class StanfordPKU(Integrated):
    """Metal-oxide RRAM with one filament, whose state is the gap between its tip and the electrode.

        I        = I_0 exp(-gap / g_0) sinh(V / V_0)
        d gap/dt = -vel_0 exp(-E_a / (k T)) sinh(gamma a_0 q V / (t_ox k T))
        T        = t_ambient + R_th |V I|
        gamma    = gamma_0 - beta (gap / 1 nm)^3,  and 0 where gamma |V| / t_ox < f_min

    The state is given as the conductance at v_reference, g = I(v_reference) / v_reference, and stays between 1 / r_off and 1 / r_on.
    The temperature follows at once. Followed by Runge-Kutta steps of fourth order, in parts where a pulse is long. Times the rate of
    `Switching`. Source: Jiang et al., IEEE Trans. Electron Devices 63, 1884 (2016), doi:10.1109/TED.2016.2545412; defaults as MemTorch
    spreads them.
    """

    r_on: float = number(542.0, "resistance at v_reference with the smallest gap", unit="ohm", gt=0)
    r_off: float = number(218586.0, "resistance at v_reference with the largest gap", unit="ohm", gt=0)
    v_reference: float = number(0.1, "voltage at which states are given as conductances", unit="V", gt=0)
    i_0: float = number(1e-3, "current scale", unit="A", gt=0)
    g_0: float = number(0.25e-9, "length over which the current falls with the gap", unit="m", gt=0)
    v_0: float = number(0.25, "voltage scale of the current", unit="V", gt=0)
    vel_0: float = number(10.0, "velocity scale of the gap", unit="m/s", gt=0)
    e_a: float = number(0.6, "activation energy", unit="eV", gt=0)
    a_0: float = number(0.25e-9, "hopping distance", unit="m", gt=0)
    t_ox: float = number(12e-9, "thickness of the oxide", unit="m", gt=0)
    gamma_0: float = number(16.0, "enhancement of the field without a gap", gt=0)
    beta: float = number(0.8, "fall of the enhancement with the cube of the gap in nm", ge=0)
    f_min: float = number(1.4e9, "enhanced field below which nothing moves", unit="V/m", ge=0)
    r_th: float = number(2.1e3, "thermal resistance", unit="K/W", ge=0)
    t_ambient: float = number(298.0, "temperature of the surroundings", unit="K", gt=0)
    set_voltage: float = number(1.2, "of a pulse up", unit="V", gt=0)
    set_width: float = number(1e-10, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(-1.2, "of a pulse down", unit="V", lt=0)
    reset_width: float = number(1e-10, "duration of a pulse down", unit="s", gt=0)

    @property
    def closed(self) -> float:
        """The conductance [S] at v_reference that a gap of zero would have."""
        return self.i_0 * math.sinh(self.v_reference / self.v_0) / self.v_reference

    def gap(self, g: Tensor) -> Tensor:
        """Return the gaps [m] of states [S]."""
        return -self.g_0 * (g / self.closed).log()

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the current; its dependence on voltage is the same in all states."""
        return g / self.closed * self.i_0 * (v / self.v_0).sinh()

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the derivative of the current."""
        return g / self.closed * (self.i_0 / self.v_0) * (v / self.v_0).cosh()

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return drive, pull, heat and gate of each way; lengths in units of g_0, temperatures in units of the ambient's."""
        thermal = BOLTZMANN * self.t_ambient / CHARGE
        made: dict[str, Any] = {}
        for way, volts, seconds in (("up", set_volts, set_seconds), ("down", reset_volts, reset_seconds)):
            size = volts.abs()
            made |= {
                f"{way}_drive": self.vel_0 * seconds / (2 * self.g_0) * volts.sign(),
                f"{way}_pull": self.a_0 * size / (self.t_ox * thermal),
                f"{way}_heat": size * self.i_0 * (size / self.v_0).sinh() * (self.r_th / self.t_ambient),
                f"{way}_gate": self.f_min * self.t_ox / size.clamp_min(1e-6),
            }
        return made | {
            "barrier": self.e_a / thermal,
            "gamma_0": self.gamma_0,
            "bend": self.beta * (self.g_0 / 1e-9) ** 3,
            "low": 1 / (self.r_off * self.closed),
            "span": (1 / self.r_on - 1 / self.r_off) / self.closed,
            "shortest": math.log(self.closed * self.r_on),
            "longest": math.log(self.closed * self.r_off),
            "rate_std": self.rate_std,
        }

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse: a Runge-Kutta step of z = gap / g_0; b is gamma, h the temperature, each at its stage."""
        drive = -ops.where(up, params.up_drive, params.down_drive) * cell.rate * ops.exp(params.rate_std * noise[0])
        pull, heat = ops.where(up, params.up_pull, params.down_pull), ops.where(up, params.up_heat, params.down_heat)
        gate = ops.where(up, params.up_gate, params.down_gate)
        z0 = -ops.log(params.low + params.span * (w + 1) / 2)
        b0 = params.gamma_0 - params.bend * z0 * z0 * z0
        h0 = 1 + heat * ops.exp(-z0)
        a0 = ops.where(b0 < gate, 0.0 * b0, pull * b0)
        k1 = drive * (ops.exp((a0 - params.barrier) / h0) - ops.exp((-a0 - params.barrier) / h0))
        z1 = ops.minimum(ops.maximum(z0 + k1 / 2, params.shortest), params.longest)
        b1 = params.gamma_0 - params.bend * z1 * z1 * z1
        h1 = 1 + heat * ops.exp(-z1)
        a1 = ops.where(b1 < gate, 0.0 * b1, pull * b1)
        k2 = drive * (ops.exp((a1 - params.barrier) / h1) - ops.exp((-a1 - params.barrier) / h1))
        z2 = ops.minimum(ops.maximum(z0 + k2 / 2, params.shortest), params.longest)
        b2 = params.gamma_0 - params.bend * z2 * z2 * z2
        h2 = 1 + heat * ops.exp(-z2)
        a2 = ops.where(b2 < gate, 0.0 * b2, pull * b2)
        k3 = drive * (ops.exp((a2 - params.barrier) / h2) - ops.exp((-a2 - params.barrier) / h2))
        z3 = ops.minimum(ops.maximum(z0 + k3, params.shortest), params.longest)
        b3 = params.gamma_0 - params.bend * z3 * z3 * z3
        h3 = 1 + heat * ops.exp(-z3)
        a3 = ops.where(b3 < gate, 0.0 * b3, pull * b3)
        k4 = drive * (ops.exp((a3 - params.barrier) / h3) - ops.exp((-a3 - params.barrier) / h3))
        # From the weight itself, so that a gap that stays leaves it as it is.
        moved = ops.minimum(ops.maximum(z0 + (k1 + 2 * k2 + 2 * k3 + k4) / 6, params.shortest), params.longest)
        after = w + 2 * (ops.exp(-moved) - ops.exp(-z0)) / params.span
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"I = {self.i_0:g} A exp(-gap/{self.g_0:g} m) sinh(V/{self.v_0:g} V)",
            f"d gap/dt = -{self.vel_0:g} m/s exp(-{self.e_a:g} eV/kT) sinh(gamma {self.a_0:g} m q V/({self.t_ox:g} m kT)), "
            f"T = {self.t_ambient:g} K + {self.r_th:g} K/W |V I|, gamma = {self.gamma_0:g} - {self.beta:g} (gap/nm)^3",
        )
