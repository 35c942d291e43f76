"""Single devices, number by number in float64: HERMES, state-independent noise, two kinds of ReRAM, and a table of drift exponents.

HERMES after Le Gallo et al., Nat. Electron. 6 (2023); ReRAM after Wan et al., Nature 608 (2022), and Falcone et al., Adv. Funct. Mater.
(2025). Each class has the life of one device: `programmed`, `coefficient`, `drifted`, `read`, with their normal numbers given.
"""

from __future__ import annotations

import math

from tests.oracle import pcm


def clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


def read_growth(t: float, t_read: float) -> float:
    return math.sqrt(math.log((t + t_read) / (2.0 * t_read)))


class Hermes:
    """One device or two in parallel."""

    def __init__(self, devices: int, g_max: float, prog: float = 1.0, read: float = 1.0, drift: float = 1.0) -> None:
        self.devices, self.g_max, self.prog, self.scale, self.drift = devices, g_max, prog, read, drift
        self.t_0 = 200.0 if devices == 1 else 300.0

    def programmed(self, g: float, xi: float) -> float:
        r = g / self.g_max
        if self.devices == 1:
            sigma = (0.15781817 + 2.32443916 * r - 2.16310839 * r**2 + 0.68841818 * r**3) * self.g_max / 10.35
        else:
            sigma = (0.16603222 + 4.71806468 * r - 8.48101252 * r**2 + 4.68961419 * r**3) * self.g_max / 20.7
        return max(g + self.prog * sigma * xi, 0.0)

    def coefficient(self, g: float, xi: float) -> float:
        r = max(g / self.g_max, 1e-7)
        mean = clip(-0.0387 * math.log(r) - 0.0182, 0.0720, 0.13) if r < 0.0945 else -0.0436 * r**2 - 0.0126 * r + 0.0736
        if self.devices == 1:
            spread = clip(-0.0120 * math.log(r) - 0.0023, 0.0124, 0.04) if r < 0.3039 else -0.0165 * r**2 + 0.0116 * r + 0.0104
        else:
            spread = clip(-0.0117 * math.log(r) - 0.0057, 0.0091, 0.04) if r < 0.3055 else -0.0118 * r**2 + 0.0093 * r + 0.0073
        return abs(mean + spread * xi) * self.drift

    def drifted(self, g: float, nu: float, t: float) -> float:
        return float(g * ((t + self.t_0) / self.t_0) ** -nu)

    def read(self, g_drifted: float, g_programmed: float, t: float, xi: float) -> float:
        r = max(g_programmed / self.g_max, 1e-7)
        if self.devices == 1:
            low, high = clip(-0.0078 * math.log(r) + 0.0038, 0.0179, 0.04), 0.0664 * r**3 - 0.1352 * r**2 + 0.0768 * r + 0.0088
            q = low if r < 0.1591 else high
        else:
            low, high = clip(-0.0117 * math.log(r) - 0.0069, 0.015, 0.04), 0.0069 * r**3 - 0.0280 * r**2 + 0.0211 * r + 0.0123
            q = low if r < 0.16 else high
        return max(g_drifted + g_drifted * q * self.scale * read_growth(t + self.t_0, 512e-9) * xi, 0.0)


class StateIndependent:
    """Spreads that do not depend on g_max."""

    def __init__(self, g_max: float, prog: tuple[float, ...] = (0.2,), read: float = 1.0, drift: float = 1.0) -> None:
        self.g_max, self.prog, self.scale, self.drift = g_max, prog, read, drift

    def programmed(self, g: float, xi: float) -> float:
        return max(g + sum(c * (g / self.g_max) ** power for power, c in enumerate(self.prog)) * xi, 0.0)

    def coefficient(self, g: float, xi: float) -> float:
        return abs(0.1 + 0.05 * xi) * self.drift

    def drifted(self, g: float, nu: float, t: float) -> float:
        return float(g * ((t + 20.0) / 20.0) ** -nu)

    def read(self, g_drifted: float, g_programmed: float, t: float, xi: float) -> float:
        return max(g_drifted + g_drifted / self.g_max * self.scale * read_growth(t + 20.0, 250e-9) * xi, 0.0)


class CustomDriftPCM:
    """Phase-change memory with the exponents 0.08, 0.05, 0.02 and spreads 0.03, 0.02, 0.01 at 0, 10 and 25 uS."""

    g_max = 25.0

    def programmed(self, g: float, xi: float) -> float:
        return pcm.programmed(g, self.g_max, xi)

    def coefficient(self, g: float, xi: float) -> float:
        if g < 10.0:
            mean, spread = 0.08 - 0.03 * g / 10.0, 0.03 - 0.01 * g / 10.0
        else:
            mean, spread = 0.05 - 0.03 * (g - 10.0) / 15.0, 0.02 - 0.01 * (g - 10.0) / 15.0
        return abs(mean + spread * xi)

    def drifted(self, g: float, nu: float, t: float) -> float:
        return pcm.drifted(g, nu, t)

    def read(self, g_drifted: float, g_programmed: float, t: float, xi: float) -> float:
        return pcm.read(g_drifted, g_programmed, self.g_max, t, xi)


class ReRAMWan2022:
    """A device whose error of the first second grows as the measured spread does."""

    def __init__(self, g_max: float, scale: float = 1.0) -> None:
        self.g_max, self.scale = g_max, scale

    def spread(self, g: float, t: float) -> float:
        r = g / self.g_max
        if t <= 1.0:
            sigma = 0.348 + 16.030 * r - 43.853 * r**2 + 45.393 * r**3 - 16.815 * r**4
        elif t == 86400.0:
            sigma = 0.701 + 22.086 * r - 50.773 * r**2 + 47.095 * r**3 - 16.458 * r**4
        else:
            assert t == 172800.0
            sigma = 0.782 + 20.274 * r - 43.507 * r**2 + 37.062 * r**3 - 11.934 * r**4
        return self.scale * sigma * self.g_max / 40.0

    def at(self, g: float, t: float, xi: float) -> float:
        return max(g + self.spread(g, t) * xi, 0.0)


class ReRAMCMO:
    """A device from 9 to 88.2 uS; the coefficient is its relaxation in standard deviations."""

    def __init__(self, wide: bool, prog: float = 1.0, read: float = 1.0, drift: float = 1.0) -> None:
        self.wide, self.prog, self.scale, self.drift = wide, prog, read, drift

    def programmed(self, g: float, xi: float) -> float:
        sigma = 0.0112185391 + 0.01129027418 * g if self.wide else 0.00081107 + 0.00106879 * g
        return g + self.prog * sigma * xi

    def coefficient(self, g: float, xi: float) -> float:
        return xi

    def drifted(self, g: float, zeta: float, t: float) -> float:
        if t == 0:
            return g
        return g + self.drift * (-0.08900206 * math.log(t) + (0.04201137 * math.log(t) + 0.41183342) * zeta)

    def read(self, g_drifted: float, g_programmed: float, t: float, xi: float) -> float:
        if t == 0:
            return g_drifted
        sigma = 0.0277316483 * math.log10(g_drifted) * read_growth(t, 1e-6)
        return clip(g_drifted + self.scale * sigma * xi, 9.0, 88.2)
