"""Noise model `hermes`: the phase-change memory of the 64-core HERMES chip."""

from __future__ import annotations

from typing import NamedTuple

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import integer, number, numbers
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import never_below, polynomial, power_law, read_growth, written

__all__ = ["Hermes"]


class Piecewise(NamedTuple):
    """A fit of two pieces: clip(slope ln g_r + offset, low, high) below the edge, a polynomial in g_r above."""

    edge: float
    slope: float
    offset: float
    low: float
    high: float
    above: tuple[float, ...]

    def __call__(self, g_r: Tensor) -> Tensor:
        """Return the fit at relative conductances."""
        below = (self.slope * g_r.clamp_min(1e-7).log() + self.offset).clamp(self.low, self.high)
        return torch.where(g_r < self.edge, below, polynomial(self.above, g_r))

    def __str__(self) -> str:
        """Return the fit as text."""
        below = f"clip({written((self.offset, self.slope), 'ln g_r')}, {self.low:g}, {self.high:g})"
        return f"{below} if g_r < {self.edge:g} else {written(self.above, 'g_r')}"


class Fits(NamedTuple):
    """What was fitted to the chip with a number of devices per polarity."""

    t_0: float
    g_max: float
    programming: tuple[float, ...]
    nu_mean: Piecewise
    nu_std: Piecewise
    read: Piecewise


NU_MEAN = Piecewise(0.0945, -0.0387, -0.0182, 0.0720, 0.13, (0.0736, -0.0126, -0.0436))
FITS = {
    1: Fits(
        200.0,
        10.35,
        (0.15781817, 2.32443916, -2.16310839, 0.68841818),
        NU_MEAN,
        Piecewise(0.3039, -0.0120, -0.0023, 0.0124, 0.04, (0.0104, 0.0116, -0.0165)),
        Piecewise(0.1591, -0.0078, 0.0038, 0.0179, 0.04, (0.0088, 0.0768, -0.1352, 0.0664)),
    ),
    2: Fits(
        300.0,
        20.7,
        (0.16603222, 4.71806468, -8.48101252, 4.68961419),
        NU_MEAN,
        Piecewise(0.3055, -0.0117, -0.0057, 0.0091, 0.04, (0.0073, 0.0093, -0.0118)),
        Piecewise(0.16, -0.0117, -0.0069, 0.015, 0.04, (0.0123, 0.0211, -0.0280, 0.0069)),
    ),
}


@frozen(kw_only=True)
class Hermes(NoiseModel):
    """Phase-change memory of the HERMES chip, with one or two devices in parallel for each polarity of a weight.

    As `pcm`, with fits to this chip; g_r = g_target / g_max, conductances in uS, times in s:

        programming   g_p = max(g_target + prog_noise_scale sigma_p(g_r) xi, 0),  sigma_p a polynomial times g_max / g_chip
        exponent      nu = |mu(g_r) + s(g_r) xi| drift_scale
        drift         g_d = g_p ((t + t_0) / t_0)^-nu
        read          g = max(g_d (1 + read_noise_scale Q(g_p / g_max) sqrt(ln((t + t_0 + t_read) / (2 t_read))) xi), 0)

    mu, s and Q are clipped logarithms of g_r at small conductances and polynomials above. One device reaches g_chip = 10.35 uS and was
    first read t_0 = 200 s after programming, two reach 20.7 uS and 300 s. A converter that asks for more than g_chip is refused with a
    ConfigError.

    References: Le Gallo et al., Nat. Electron. 6, 680 (2023), doi:10.1038/s41928-023-01010-1; Khaddam-Aljameh et al., IEEE J. Solid-State
    Circuits 57, 1027 (2022), doi:10.1109/JSSC.2022.3140414; Vasilopoulos et al., IEEE Trans. Electron Devices (2023).
    """

    num_devices: int = integer(2, "devices in parallel for each polarity", ge=1, le=2)
    t_first: float | None = number(None, "time between programming and the first read-out; the chip's if left out", unit="s", gt=0.0)
    t_read: float = number(512e-9, "width of a read pulse", unit="s", gt=0.0)
    prog_noise_scale: float = number(1.0, "factor on the programming error", ge=0.0)
    read_noise_scale: float = number(1.0, "factor on the read noise", ge=0.0)
    drift_scale: float = number(1.0, "factor on the drift exponents", ge=0.0)
    prog_coeff: tuple[float, ...] | None = numbers(None, "programming error as a polynomial in g_r; the chip's if left out", unit="uS")
    g_max_reference_uS: float | None = number(  # noqa: N815 - the unit is written so
        None, "largest conductance of the devices that prog_coeff was measured on; the chip's if left out", unit="uS", gt=0.0
    )

    def __attrs_post_init__(self) -> None:
        if self.prog_coeff is not None:
            never_below(0.0, self.prog_coeff, "prog_coeff")
        elif self.g_max_reference_uS is not None:
            raise ConfigError(f"'g_max_reference_uS' {self.g_max_reference_uS:g} has no effect without 'prog_coeff'")

    # A property, so that it follows num_devices when a config overrides that.
    @property
    def t_0(self) -> float:  # type: ignore[override]
        """Seconds between programming and the first read-out."""
        return self.fits.t_0 if self.t_first is None else self.t_first

    @property
    def fits(self) -> Fits:
        """The coefficients for this number of devices."""
        return FITS[self.num_devices]

    @property
    def programming(self) -> tuple[tuple[float, ...], float]:
        """The polynomial of the programming error [uS] and the largest conductance [uS] it was measured on."""
        return self.prog_coeff or self.fits.programming, self.g_max_reference_uS or self.fits.g_max

    @property
    def limits(self) -> ConductanceWindow:
        """The conductances [uS] of the chip."""
        return ConductanceWindow(0.0, self.fits.g_max)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS); raises ConfigError for a window beyond the chip's."""
        self.check(window)
        coefficients, reference = self.programming
        sigma = polynomial(coefficients, g_target / window.g_max) * (window.g_max / reference)
        return (g_target + self.prog_noise_scale * sigma * noise.normal("programming", g_target)).clamp_min(0.0)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the drift exponents."""
        g_r = g_target / window.g_max
        spread = self.fits.nu_std(g_r) * noise.normal("drift exponent", g_target)
        return (self.fits.nu_mean(g_r) + spread).abs() * self.drift_scale

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return drifted conductances (uS)."""
        return g_programmed if coefficients is None else power_law(g_programmed, coefficients, t, self.t_0)

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances (uS) with read noise."""
        scale = self.read_noise_scale * read_growth(t + self.t_0, self.t_read)
        q = self.fits.read(g_programmed / window.g_max)
        return (g_drifted + g_drifted * scale * q * noise.normal("read", g_drifted)).clamp_min(0.0)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        fits, (coefficients, reference) = self.fits, self.programming
        return (
            f"g_p = max(g + {self.prog_noise_scale:g} sigma_p xi, 0) uS, g at most {fits.g_max:g} uS",
            f"sigma_p = ({written(coefficients, 'g_r')}) g_max/{reference:g} uS, g_r = g/g_max",
            f"nu = {self.drift_scale:g} |mu + s xi|",
            f"mu = {fits.nu_mean}",
            f"s = {fits.nu_std}",
            f"g_d = g_p ((t + {self.t_0:g} s)/{self.t_0:g} s)^-nu",
            f"g = max(g_d (1 + {self.read_noise_scale:g} Q sqrt(ln((t + {self.t_0:g} s + t_r)/(2 t_r))) xi), 0), t_r = {self.t_read:g} s",
            f"Q = {fits.read}, g_r = g_p/g_max",
        )
