"""What a voltage pulse does to the vacancies in the dome of a CMO/HfOx cell: the equations behind device `cmo_physics`."""

from __future__ import annotations

import functools

import numpy as np
from attrs import evolve, frozen
from numpy.typing import NDArray

__all__ = ["Filament", "responses"]

Array = NDArray[np.float64]

Q = 1.602176634e-19
"""Elementary charge [C]."""
K_B = 1.380649e-23
"""Boltzmann's constant [J/K]."""
LENGTH, RADIUS = 12e-9, 11e-9
"""Thickness of the oxide and radius of the filament [m]."""
NU = 2e13
"""Attempt frequency of electrons [1/s]."""
ION_NU, ION_HOP = 4e12, 1e-9
"""Attempt frequency [1/s] and hopping distance [m] of vacancies."""
FULL = 1e28
"""Vacancy concentration at which no further ones fit [1/m^3]."""

CONCENTRATIONS = 4001
"""Nodes over the concentration, enough for conductances good to 1e-5."""


@frozen(kw_only=True)
class Filament:
    """Trap-assisted conduction through a heated dome whose vacancies hop; temperature follows at once, since R_th C_th = 28 ps.

        I  = pi r^2 1.44 q C a nu_0 exp(-E_a / k T) 2 sinh(q F a / 2 k T),  F = (V - I R_s) / L,  T = T_0 + R_th V I
        a  = max(2e-9, 3.6369e-9 - 3.0738e-35 C) m,  E_a = 1.275579e-20 - 3.69733e-47 C  J
        dC/dt = (C / L) 1e-9 4e12 exp(-dW / k T) 2 sinh(2 q F 1e-9 / 2 k T) (1 - C / 1e28)^10
        dW = 1.499179e-19 + 2.288824e-45 C  J for V >= 0,  1.18 eV for V < 0

    Source: Galetta et al., Adv. Electron. Mater. (2025), doi:10.1002/aelm.202500373.
    """

    r_series: float
    r_thermal: float
    t_ambient: float
    c_hrs: float
    c_lrs: float

    @property
    def concentrations(self) -> Array:
        """Vacancy concentrations [1/m^3] from the high- to the low-resistance state, at equal distances."""
        return np.linspace(self.c_hrs, self.c_lrs, CONCENTRATIONS)

    def operating_point(self, voltage: float) -> tuple[Array, Array]:
        """Return the current [A] and the temperature [K] at each of the concentrations."""
        c, size = self.concentrations, abs(voltage)
        hop, barrier = np.maximum(2e-9, 3.6369e-9 - 3.0738e-35 * c), 1.275579e-20 - 3.69733e-47 * c
        front = np.pi * RADIUS**2 * 1.44 * Q * c * hop * NU
        low, high = np.zeros_like(c), np.full_like(c, size / self.r_series)
        # The current that the dome would pass is above the one assumed at no current and below it at V / R_s.
        for _ in range(100):
            middle = (low + high) / 2
            kt = K_B * (self.t_ambient + self.r_thermal * size * middle)
            field = (size - middle * self.r_series) / LENGTH
            passed = front * np.exp(-barrier / kt) * 2 * np.sinh(Q * field * hop / (2 * kt))
            more = passed > middle
            low, high = np.where(more, middle, low), np.where(more, high, middle)
        current = (low + high) / 2
        return np.sign(voltage) * current, self.t_ambient + self.r_thermal * size * current

    def conductances(self, v_read: float) -> Array:
        """Return I / V [S] at each of the concentrations, at the temperature of the surroundings.

        The conductances quoted of the cell, 26.3 to 88.0 uS at 0.2 V, are without the few kelvin by which reading heats it; with them
        they would be 1 to 3 % larger.
        """
        return evolve(self, r_thermal=0.0).operating_point(v_read)[0] / v_read

    def rates(self, voltage: float) -> Array:
        """Return dC/dt [1/(m^3 s)] at each of the concentrations."""
        current, temperature = self.operating_point(voltage)
        c, kt = self.concentrations, K_B * temperature
        field = (voltage - current * self.r_series) / LENGTH
        barrier = 1.499179e-19 + 2.288824e-45 * c if voltage >= 0 else 1.18 * Q
        drive = np.exp(-barrier / kt) * 2 * np.sinh(2 * Q * field * ION_HOP / (2 * kt))
        rate: Array = c / LENGTH * ION_HOP * ION_NU * drive * (1 - c / FULL) ** 10
        return rate

    def after(self, voltage: float, seconds: float) -> Array:
        """Return the concentrations [1/m^3] that a pulse takes each of the concentrations to, at most the ends.

        At a given voltage C is its own clock: the time from one concentration to another is the integral of dC / (dC/dt), which is
        tabulated once and read backwards.
        """
        c, rate = self.concentrations, np.abs(self.rates(voltage))
        if voltage < 0:
            c, rate = c[::-1], rate[::-1]
        slowness = 1.0 / np.maximum(rate, 1e-300)
        clock = np.concatenate(([0.0], np.cumsum((slowness[1:] + slowness[:-1]) / 2 * np.abs(np.diff(c)))))
        ends: Array = np.interp(clock + seconds, clock, c)
        return ends if voltage > 0 else ends[::-1]


@functools.lru_cache(maxsize=64)
def responses(
    filament: Filament, v_set: float, v_reset: float, width: float, v_read: float, nodes: int
) -> tuple[tuple[float, float], tuple[float, ...], tuple[float, ...]]:
    """Return the window [S], and how far a pulse up and one down go from equally spaced conductances in it, as shares of the window."""
    g = filament.conductances(v_read)
    g_min, g_max = float(g[0]), float(g[-1])
    at = np.linspace(0.0, 1.0, nodes)
    c = filament.concentrations
    found = []
    for voltage in (v_set, -v_reset):
        ends = np.interp(filament.after(voltage, width), c, g)
        # Over the conductance rather than the concentration: what the cell's weight is.
        found.append(np.interp(at, (g - g_min) / (g_max - g_min), np.abs(ends - g) / (g_max - g_min)))
    up, down = (tuple(each.tolist()) for each in found)
    return (g_min, g_max), up, down
