"""Memristors followed by other means: scalar equations of motion given to a general integrator, and solutions written down by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp

__all__ = ["drift_charge", "followed", "ion_drift_rate", "joglekar_time", "stanford_rate", "vteam_rate"]


def followed(rate: Callable[[float], float], x: float, seconds: float, low: float, high: float) -> float:
    """Return x after dx/dt = rate(x) for so long, held at the ends of [low, high]."""

    def bounded(_: float, state: np.ndarray) -> list[float]:
        here = float(state[0])
        speed = rate(min(max(here, low), high))
        return [0.0 if (here <= low and speed < 0) or (here >= high and speed > 0) else speed]

    found = solve_ivp(bounded, (0.0, seconds), [x], method="LSODA", rtol=1e-10, atol=1e-14 * max(high - low, 1e-30) + 1e-30)
    return float(min(max(found.y[0, -1], low), high))


def vteam_rate(volts: float, k_on: float, k_off: float, v_on: float, v_off: float, alpha_on: float, alpha_off: float) -> float:
    """Return dx/dt in m/s."""
    if volts > v_off:
        return k_off * math.pow(volts / v_off - 1, alpha_off)
    return k_on * math.pow(volts / v_on - 1, alpha_on) if volts < v_on else 0.0


def window(name: str, x: float, current: float, p: float, j: float) -> float:
    """Return the window functions as their papers print them."""
    if name == "joglekar":
        return 1 - (2 * x - 1) ** (2 * round(p))
    if name == "biolek":
        return 1 - (x - (0.0 if current >= 0 else 1.0)) ** (2 * round(p))
    return j * (1 - ((x - 0.5) ** 2 + 0.75) ** p) if name == "prodromakis" else 1.0


def ion_drift_rate(
    name: str, volts: float, r_on: float, r_off: float, mobility: float, d: float, p: float = 1, j: float = 1
) -> Callable[[float], float]:
    """Return dx/dt in 1/s as a function of x."""

    def rate(x: float) -> float:
        current = volts / (r_on * x + r_off * (1 - x))
        return mobility * r_on / d**2 * current * window(name, x, current, p, j)

    return rate


def drift_charge(x: float, volts: float, seconds: float, r_on: float, r_off: float, mobility: float, d: float) -> float:
    """Return x after a constant voltage without a window: R dR = -(r_off - r_on) mobility r_on / d^2 V dt, integrated."""
    square = (r_off - (r_off - r_on) * x) ** 2 - 2 * (r_off - r_on) * mobility * r_on / d**2 * volts * seconds
    return (r_off - math.sqrt(square)) / (r_off - r_on)


def joglekar_time(x0: float, x: float, volts: float, r_on: float, r_off: float, mobility: float, d: float) -> float:
    """Return the time from x0 to x with Joglekar's window, p = 1: partial fractions of (r_on x + r_off (1 - x)) / (4 x (1 - x))."""
    return (r_off * math.log(x / x0) - r_on * math.log((1 - x) / (1 - x0))) / (4 * mobility * r_on / d**2 * volts)


def stanford_rate(gap: float, volts: float) -> float:
    """Return d gap / dt in m/s of the Stanford-PKU model with its usual constants."""
    boltzmann = 1.380649e-23 / 1.602176634e-19
    current = 1e-3 * math.exp(-gap / 0.25e-9) * math.sinh(volts / 0.25)
    kelvin = 298.0 + 2.1e3 * abs(volts * current)
    gamma = 16.0 - 0.8 * (gap / 1e-9) ** 3
    if gamma * abs(volts) / 12e-9 < 1.4e9:
        return 0.0
    return -10.0 * math.exp(-0.6 / (boltzmann * kelvin)) * math.sinh(gamma * 0.25e-9 / 12e-9 * volts / (boltzmann * kelvin))
