"""Noise model `reram_cmo`: conductive metal oxide on HfOx."""

from __future__ import annotations

import math

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number, table
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import read_growth

__all__ = ["ReRAMCMO"]


@frozen(kw_only=True)
class ReRAMCMO(NoiseModel):
    """Conductive-metal-oxide/HfOx ReRAM: write-verify to an acceptance range, relaxation with ln t, 1/f read noise.

    With xi, zeta standard normal, conductances in uS, times in s after programming:

        programming   g_p = max(g_target + prog_noise_scale (c_0 + c_1 g_target) xi, 0),  c of the acceptance range
        relaxation    g_d = g_p + drift_scale (relaxation_mean ln t + max(relaxation_std_slope ln t + relaxation_std, 0) zeta)
        read          g = clip(g_d + read_noise_scale K log10(g_d) sqrt(ln((t + t_read) / (2 t_read))) xi, g_min, g_max)

    zeta is drawn once per device, so a device that has relaxed downwards stays low; at t = 0 nothing has relaxed and nothing is read. The
    devices were measured from 9 to 88.2 uS; a converter beyond that is refused with a ConfigError, as is an acceptance range that
    was not measured.

    References: Falcone et al., Adv. Funct. Mater. (2025), doi:10.1002/adfm.202504688.
    """

    t_0 = 0.0
    """Times count from programming."""

    acceptance_range: float = number(0.2, "acceptance range of write-verify: 0.2 or 2, or another row of programming", unit="%", gt=0.0)
    programming: tuple[tuple[float, ...], ...] = table(
        ((0.2, 0.00081107, 0.00106879), (2.0, 0.0112185391, 0.01129027418)),
        "one row per acceptance range: the range [%], c_0 [uS], c_1",
        unit="%, uS, 1",
        ge=0.0,
    )
    prog_noise_scale: float = number(1.0, "factor on the programming error", ge=0.0)
    read_noise_scale: float = number(1.0, "factor on the read noise", ge=0.0)
    drift_scale: float = number(1.0, "factor on the relaxation", ge=0.0)
    relaxation_mean: float = number(-0.08900206, "mean relaxation per ln t", unit="uS")
    relaxation_std: float = number(0.41183342, "spread of the relaxation at 1 s", unit="uS", ge=0.0)
    relaxation_std_slope: float = number(0.04201137, "growth of this spread per ln t", unit="uS")
    K: float = number(0.0277316483, "read noise", unit="uS", ge=0.0)
    t_read: float = number(1e-6, "width of a read pulse", unit="s", gt=0.0)

    def __attrs_post_init__(self) -> None:
        if any(len(row) != 3 for row in self.programming):
            raise ConfigError(f"each row of 'programming' needs a range, c_0 and c_1: {self.programming!r}")
        known = [row[0] for row in self.programming]
        if self.acceptance_range not in known:
            words = ", ".join(f"{each:g}" for each in known)
            raise ConfigError(f"'acceptance_range' {self.acceptance_range:g} % was not measured; known, in percent: {words}")

    @property
    def limits(self) -> ConductanceWindow:
        """The conductances [uS] that were measured."""
        return ConductanceWindow(9.0, 88.2)

    @property
    def coefficients(self) -> tuple[float, float]:
        """c_0 [uS] and c_1 of the acceptance range."""
        return next((row[1], row[2]) for row in self.programming if row[0] == self.acceptance_range)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS); raises ConfigError for a window beyond the measured one."""
        self.check(window)
        c_0, c_1 = self.coefficients
        return (g_target + self.prog_noise_scale * (c_0 + c_1 * g_target) * noise.normal("programming", g_target)).clamp_min(0.0)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return how many standard deviations each device relaxes by."""
        return noise.normal("relaxation", g_target)

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return relaxed conductances (uS)."""
        if t <= 0:
            return g_programmed
        log_t = math.log(t)
        shift = g_programmed + self.drift_scale * self.relaxation_mean * log_t
        if coefficients is not None:
            spread = max(self.relaxation_std_slope * log_t + self.relaxation_std, 0.0)
            shift = shift + self.drift_scale * spread * coefficients
        return shift.clamp_min(0.0)

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances (uS) with read noise, within the window."""
        if t <= 0:
            return g_drifted
        # Below 1 uS the fit's logarithm changes its sign; no device is there.
        spread = self.read_noise_scale * self.K * g_drifted.clamp_min(1.0).log10() * read_growth(t, self.t_read)
        return (g_drifted + spread * noise.normal("read", g_drifted)).clamp(window.g_min, window.g_max)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        c_0, c_1 = self.coefficients
        return (
            f"g_p = max(g + {self.prog_noise_scale:g} ({c_0:g} + {c_1:g} g) xi, 0) uS, accepted within {self.acceptance_range:g} %",
            f"g_d = g_p + {self.drift_scale:g} ({self.relaxation_mean:g} ln t "
            f"+ max({self.relaxation_std_slope:g} ln t + {self.relaxation_std:g}, 0) zeta) uS, t in s, zeta once per device",
            f"g = clip(g_d + {self.read_noise_scale:g} {self.K:g} log10(g_d) sqrt(ln((t + t_r)/(2 t_r))) xi, g_min, g_max) uS, "
            f"t_r = {self.t_read:g} s",
        )
