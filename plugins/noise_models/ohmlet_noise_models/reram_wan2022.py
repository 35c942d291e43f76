"""Noise model `reram_wan2022`: relaxing filamentary ReRAM, measured at three times."""

from __future__ import annotations

import itertools

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number, table
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import never_below, polynomial, written

__all__ = ["ReRAMWan2022"]


@frozen(kw_only=True)
class ReRAMWan2022(NoiseModel):
    """Filamentary ReRAM whose conductances relax around their targets by spreads that were measured at 1 s, 1 day and 2 days.

    With g_r = g_target / g_max and xi standard normal, conductances in uS, times in s after programming:

        at the first time   g_1 = max(g_target + noise_scale sigma_1(g_r) xi, 0)
        later               g_k = max(g_target + (sigma_k / sigma_1) (g_1 - g_target), 0)
        spread              sigma_k(g_r) = (c_0 + c_1 g_r + c_2 g_r^2 + ...) g_max / g_max_reference_uS

    so that g_k spreads around the target by sigma_k, as measured, and each device stays on its side. (The publication states the spreads
    and not how a device's errors at different times go together.) What is programmed is what the first time shows; `drift`
    takes the targets as its coefficients. Any time but 0 and those of the table raises ConfigError, since nothing was measured there.

    References: Wan et al., Nature 608, 504 (2022), doi:10.1038/s41586-022-04992-8.
    """

    t_0 = 0.0
    """Times count from programming."""

    spread: tuple[tuple[float, ...], ...] = table(
        (
            (1.0, 0.348, 16.030, -43.853, 45.393, -16.815),
            (86400.0, 0.701, 22.086, -50.773, 47.095, -16.458),
            (172800.0, 0.782, 20.274, -43.507, 37.062, -11.934),
        ),
        "one row per time: the time [s], then the spread as a polynomial in g_r [uS]",
        unit="s, uS",
    )
    g_max_reference_uS: float = number(  # noqa: N815 - the unit is written so
        40.0, "largest conductance of the devices that the spreads were measured on", unit="uS", gt=0.0
    )
    noise_scale: float = number(1.0, "factor on the spreads", ge=0.0)

    def __attrs_post_init__(self) -> None:
        if any(len(row) < 2 for row in self.spread):
            raise ConfigError(f"each row of 'spread' needs a time and at least one coefficient: {self.spread!r}")
        measured = [row[0] for row in self.spread]
        if measured[0] <= 0 or any(after <= before for before, after in itertools.pairwise(measured)):
            raise ConfigError(f"the times in 'spread' must be above 0 and ascend: {measured!r}")
        for row in self.spread:
            # Later errors grow out of the first, so that one must exist.
            never_below(1e-6 if row is self.spread[0] else 0.0, row[1:], "spread")

    @property
    def times(self) -> tuple[float, ...]:
        """The times [s] of the table, and 0."""
        return (0.0, *(row[0] for row in self.spread))

    def sigma(self, row: tuple[float, ...], g_target: Tensor, window: ConductanceWindow) -> Tensor:
        """Return the spread (uS) around targets that a row of the table states."""
        return polynomial(row[1:], g_target / window.g_max) * (window.g_max / self.g_max_reference_uS)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances (uS) as the first time of the table shows them."""
        sigma = self.noise_scale * self.sigma(self.spread[0], g_target, window)
        return (g_target + sigma * noise.normal("relaxation", g_target)).clamp_min(0.0)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the targets, which devices spread around."""
        return g_target

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return relaxed conductances (uS); raises ConfigError for a time that is not in the table."""
        self.check(window, t)
        first, row = self.spread[0], next((row for row in self.spread if row[0] == t), self.spread[0])
        if row is first or coefficients is None:
            return g_programmed
        growth = self.sigma(row, coefficients, window) / self.sigma(first, coefficients, window)
        return (coefficients + growth * (g_programmed - coefficients)).clamp_min(0.0)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        rows = (f"sigma({row[0]:g} s) = ({written(row[1:], 'g_r')}) g_max/{self.g_max_reference_uS:g} uS" for row in self.spread)
        return (
            f"g = max(g_target + {self.noise_scale:g} sigma(t) xi, 0) uS, xi the same at all times",
            *rows,
            "g_r = g_target/g_max; known at these times only, 0 showing the first",
        )
