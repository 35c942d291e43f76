"""One phase-change device, number by number in float64, after Nandakumar et al., ICECS (2019), and Joshi et al., Nat. Commun. 11 (2020)."""

from __future__ import annotations

import math

T_READ = 250e-9


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def programming_spread(g_target: float, g_max: float) -> float:
    """Return the standard deviation of the programmed conductance in uS, before it is cut off at zero."""
    g = g_target / g_max
    return (0.26348 + 1.965 * g - 1.1731 * g**2) * g_max / 25.0


def programmed(g_target: float, g_max: float, normal: float, scale: float = 1.0) -> float:
    return max(g_target + scale * programming_spread(g_target, g_max) * normal, 0.0)


def exponent_statistics(g_target: float, g_max: float) -> tuple[float, float]:
    """Return mean and spread of the drift exponent before its absolute value is taken."""
    g = max(g_target / g_max, 1e-7)
    return clip(-0.0155 * math.log(g) + 0.0244, 0.049, 0.1), clip(-0.0125 * math.log(g) - 0.0059, 0.008, 0.045)


def exponent(g_target: float, g_max: float, normal: float, scale: float = 1.0) -> float:
    mean, spread = exponent_statistics(g_target, g_max)
    return abs(mean + spread * normal) * scale


def drifted(g_programmed: float, nu: float, t_inference: float, t_0: float = 20.0) -> float:
    return float(g_programmed * ((t_inference + t_0) / t_0) ** (-nu))


def read_spread(
    g_drifted: float, g_programmed: float, g_max: float, t_inference: float, t_0: float = 20.0, t_read: float = T_READ
) -> float:
    """Return the standard deviation of one read-out in uS."""
    q = min(0.0088 / max(math.pow(g_programmed / g_max, 0.65), 1e-3), 0.2)
    return g_drifted * q * math.sqrt(math.log((t_inference + t_0 + t_read) / (2 * t_read)))


def read(g_drifted: float, g_programmed: float, g_max: float, t_inference: float, normal: float, scale: float = 1.0) -> float:
    return max(g_drifted + scale * read_spread(g_drifted, g_programmed, g_max, t_inference) * normal, 0.0)


def mean_of_positive_part(mean: float, spread: float) -> tuple[float, float]:
    """Return mean and standard deviation of max(X, 0) for a normal X."""
    if spread == 0:
        return max(mean, 0.0), 0.0
    a = mean / spread
    density, below = math.exp(-a * a / 2) / math.sqrt(2 * math.pi), 0.5 * math.erfc(-a / math.sqrt(2))
    first = mean * below + spread * density
    second = (mean**2 + spread**2) * below + mean * spread * density
    return first, math.sqrt(max(second - first**2, 0.0))


def mean_of_absolute(mean: float, spread: float) -> tuple[float, float]:
    """Return mean and standard deviation of |X| for a normal X."""
    first = spread * math.sqrt(2 / math.pi) * math.exp(-(mean**2) / (2 * spread**2)) + mean * math.erf(mean / (spread * math.sqrt(2)))
    return first, math.sqrt(mean**2 + spread**2 - first**2)
