"""Noise model `sonos`: charge-trap flash in subthreshold."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number, numbers, table
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import polynomial

__all__ = ["SONOS"]

DAY = 86400.0
LARGEST = 1600.0
"""Largest current of the measurement, nA."""
FITTED = 1400.0
"""Current up to which the published polynomials follow the measured drift, nA; beyond they swing."""

SPREAD = (
    (0.0, 19.88665, 176.3115),
    (1.0, 25.59102, 186.85544),
    (2.0, 28.72753, 193.56834),
    (3.0, 31.04318, 198.90332),
    (4.0, 33.76214, 204.77023),
    (5.0, 34.57909, 207.34309),
)
DRIFT = (
    (1.0, 0.68365, 0.0065125, -0.000403163, 3.37944e-06, -1.87435e-08, 5.88902e-11, -1.07685e-13,
     1.17751e-16, -7.60016e-20, 2.67255e-23, -3.94954e-27),
    (2.0, 0.660925, 0.00860627, -0.000172936, 7.44096e-07, -5.94866e-09, 2.36734e-11, -4.8374e-14,
     5.56072e-17, -3.65397e-20, 1.28405e-23, -1.8745e-27),
    (3.0, 1.15821, 0.0196116, -0.000470807, 3.6751e-06, -2.08786e-08, 6.59752e-11, -1.19499e-13,
     1.28435e-16, -8.11574e-20, 2.78802e-23, -4.02057e-27),
    (4.0, 0.872216, 0.0170926, -0.00022337, 1.57526e-06, -1.32779e-08, 5.08256e-11, -1.01251e-13,
     1.14633e-16, -7.46124e-20, 2.60559e-23, -3.78724e-27),
    (5.0, 1.15294, 0.0103149, -6.05199e-05, 1.76086e-08, -6.4669e-09, 3.39044e-11, -7.53872e-14,
     8.98185e-17, -6.00346e-20, 2.12615e-23, -3.11099e-27),
)  # fmt: skip


@frozen(kw_only=True)
class SONOS(NoiseModel):
    """40-nm SONOS memory read in subthreshold: programming error, mean drift and its spread on five days, and read noise.

    Currents I = v_read g in nA for conductances in uS and v_read in mV, days d after programming, xi and zeta standard normal:

        programming   I_p = max(I_target + noise_scale sigma_0(I_target) xi, 0)
        after d days  I_d = max(I_m + noise_scale sqrt(sigma_d(I_m)^2 - sigma_0(I_m)^2) zeta, 0)
                      I_m = max(I_p + drift_scale delta_d(I_p), 0)
        spread        sigma_d(I) = A_d (1 - exp(-I / B_d))
        mean drift    delta_d(I) a polynomial of tenth degree, held above 1400 nA, where the published one swings
        read          I = max(I_d + read_noise_scale A_r (1 - exp(-I_d / B_r)) xi, 0)

    zeta is drawn once per device, so that the spread on each day is the measured one and devices stay on their side. Nothing was
    measured at other times than 0 and 1 to 5 days, which raise ConfigError, as does a window beyond 1600 nA.

    References: Agrawal et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019564; the coefficients are those of CrossSim 3.0.
    """

    t_0 = 0.0
    """Times count from programming."""

    v_read_mV: float = number(100.0, "read voltage, by which currents become conductances", unit="mV", gt=0.0)  # noqa: N815
    spread: tuple[tuple[float, ...], ...] = table(SPREAD, "one row per day from 0 on: the day, A, B", unit="d, nA, nA", ge=0.0)
    mean_drift: tuple[tuple[float, ...], ...] = table(DRIFT, "one row per day from 1 on: the day, then the polynomial in nA", unit="d, nA")
    read_noise: tuple[float, ...] = numbers((12.58037, 215.36557), "A and B of the read noise", unit="nA")
    noise_scale: float = number(1.0, "factor on the spreads", ge=0.0)
    drift_scale: float = number(1.0, "factor on the mean drift", ge=0.0)
    read_noise_scale: float = number(1.0, "factor on the read noise", ge=0.0)

    def __attrs_post_init__(self) -> None:
        days = [row[0] for row in self.spread]
        if [0.0, *(row[0] for row in self.mean_drift)] != days or days != sorted(set(days)):
            raise ConfigError(f"'spread' needs a row for day 0 and for each day of 'mean_drift', ascending: {days!r}")
        if any(len(row) != 3 or row[2] <= 0 for row in self.spread) or len(self.read_noise) != 2 or self.read_noise[1] <= 0:
            raise ConfigError(f"spreads need A and a positive B: {self.spread!r}, {self.read_noise!r}")

    @property
    def limits(self) -> ConductanceWindow:
        """The conductances [uS] of currents that were measured."""
        return ConductanceWindow(0.0, LARGEST / self.v_read_mV)

    @property
    def times(self) -> tuple[float, ...]:
        """The times [s] that were measured."""
        return tuple(row[0] * DAY for row in self.spread)

    def sigma(self, day: int, current: Tensor) -> Tensor:
        """Return the spread (nA) of currents (nA) on the day of a row."""
        _, a, b = self.spread[day]
        return a * -(-current / b).expm1()

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS); raises ConfigError for a window beyond the measured one."""
        self.check(window)
        current = g_target * self.v_read_mV
        reached = current + self.noise_scale * self.sigma(0, current) * noise.normal("programming", g_target)
        return reached.clamp_min(0.0) / self.v_read_mV

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return how many standard deviations each device wanders by."""
        return noise.normal("wandering", g_target)

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return conductances (uS) after t seconds; raises ConfigError for a time that was not measured."""
        self.check(window, t)
        day = self.times.index(t)
        if day == 0:
            return g_programmed
        current = g_programmed * self.v_read_mV
        mean = (current + self.drift_scale * polynomial(self.mean_drift[day - 1][1:], current.clamp_max(FITTED))).clamp_min(0.0)
        if coefficients is not None:
            more = (self.sigma(day, mean).square() - self.sigma(0, mean).square()).clamp_min(0.0).sqrt()
            mean = mean + self.noise_scale * more * coefficients
        return mean.clamp_min(0.0) / self.v_read_mV

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances (uS) with read noise."""
        current, (a, b) = g_drifted * self.v_read_mV, self.read_noise
        seen = current + self.read_noise_scale * a * -(-current / b).expm1() * noise.normal("read", g_drifted)
        return seen.clamp_min(0.0) / self.v_read_mV

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        a, b = self.read_noise
        return (
            *(f"day {day:g}: sigma = {height:g} (1 - exp(-I / {scale:g} nA)) nA" for day, height, scale in self.spread),
            f"read: I + {self.read_noise_scale:g} {a:g} (1 - exp(-I / {b:g} nA)) xi nA, I = {self.v_read_mV:g} mV g",
            f"spreads times {self.noise_scale:g}, mean drift times {self.drift_scale:g}; known on these days only",
        )
