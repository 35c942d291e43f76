"""Noise model `custom_drift_pcm`: phase-change memory whose drift exponents come from a table."""

from __future__ import annotations

import itertools

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import numbers
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import interpolate
from ohmlet_noise_models.pcm import PCM

__all__ = ["CustomDriftPCM"]


@frozen(kw_only=True)
class CustomDriftPCM(PCM):
    """Phase-change memory whose drift exponents follow a measured table; all else is as in `pcm`.

        nu = |mu(g) + s(g) xi| drift_scale    mu, s straight lines between (g_uS, nu_mean) and (g_uS, nu_std)    g = g_target

    The table must cover the converter's window, or programming raises ConfigError. Unless given it holds the exponents of `pcm` at a
    few conductances.

    References: Li et al., Adv. Electron. Mater. 9, 2201190 (2023), doi:10.1002/aelm.202201190, for devices described this way;
    Joshi et al., Nat. Commun. 11, 2473 (2020), doi:10.1038/s41467-020-16108-9, for all else.
    """

    g_uS: tuple[float, ...] = numbers(  # noqa: N815 - the unit is written so
        (0.0, 2.5, 6.25, 12.5, 25.0), "conductances of the table, ascending", unit="uS", ge=0.0, shortest=2
    )
    nu_mean: tuple[float, ...] = numbers((0.1, 0.0601, 0.049, 0.049, 0.049), "means of the drift exponents at them", ge=0.0, shortest=2)
    nu_std: tuple[float, ...] = numbers((0.045, 0.0229, 0.0114, 0.008, 0.008), "their standard deviations", ge=0.0, shortest=2)

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if not len(self.g_uS) == len(self.nu_mean) == len(self.nu_std):
            raise ConfigError(
                f"'g_uS', 'nu_mean' and 'nu_std' need one number per row: {len(self.g_uS)}, {len(self.nu_mean)}, {len(self.nu_std)}"
            )
        if any(after <= before for before, after in itertools.pairwise(self.g_uS)):
            raise ConfigError(f"'g_uS' must ascend: {self.g_uS!r}")

    @property
    def limits(self) -> ConductanceWindow:
        """The conductances [uS] that the table covers."""
        return ConductanceWindow(self.g_uS[0], self.g_uS[-1])

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS); raises ConfigError for a window beyond the table."""
        self.check(window)
        return super().program(g_target, window, noise)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the drift exponents."""
        mean, spread = interpolate(g_target, self.g_uS, self.nu_mean), interpolate(g_target, self.g_uS, self.nu_std)
        return (mean + spread * noise.normal("drift exponent", g_target)).abs() * self.drift_scale

    def exponent_equations(self) -> tuple[str, ...]:
        """Return the statistics of the drift exponents."""
        rows = zip(self.g_uS, self.nu_mean, self.nu_std, strict=True)
        table = ", ".join(f"{g:g}: {mean:g} ± {spread:g}" for g, mean, spread in rows)
        return (f"nu = {self.drift_scale:g} |mu(g) + s(g) xi|", f"mu ± s at g [uS] = {table}; straight lines between")
