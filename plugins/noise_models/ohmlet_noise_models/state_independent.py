"""Noise model `state_independent`: programming error and drift that are the same at every conductance."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number, numbers
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import never_below, polynomial, power_law, read_growth, written

__all__ = ["StateIndependent"]


@frozen(kw_only=True)
class StateIndependent(NoiseModel):
    """Programming error and drift exponents of one spread for all conductances, and 1/f read noise: the plainest of models.

    With g_r = g_target / g_max and xi standard normal, conductances in uS, times in s:

        programming   g_p = max(g_target + prog_noise_scale (c_0 + c_1 g_r + c_2 g_r^2 + ...) xi, 0),  c = prog_coeff, all but c_0 zero
        exponent      nu = |drift_nu_mean + drift_nu_std xi| drift_scale
        drift         g_d = g_p ((t + t_0) / t_0)^-nu
        read          g = max(g_d + read_noise_scale (1 uS) (g_d / g_max) sqrt(ln((t + t_0 + t_read) / (2 t_read))) xi, 0)

    Neither spread depends on g_max, other than in `pcm`: both are conductances, whatever the window.

    References: Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494; for drift and 1/f noise Joshi et al., Nat. Commun. 11,
    2473 (2020), doi:10.1038/s41467-020-16108-9.
    """

    t_0: float = number(20.0, "time between programming and the first read-out", unit="s", gt=0.0)
    t_read: float = number(250e-9, "width of a read pulse", unit="s", gt=0.0)
    prog_coeff: tuple[float, ...] = numbers((0.2, 0.0, 0.0), "programming error as a polynomial in g_r", unit="uS")
    prog_noise_scale: float = number(1.0, "factor on the programming error", ge=0.0)
    drift_nu_mean: float = number(0.1, "mean of the drift exponents", ge=0.0)
    drift_nu_std: float = number(0.05, "standard deviation of the drift exponents", ge=0.0)
    drift_scale: float = number(1.0, "factor on the drift exponents", ge=0.0)
    read_noise_scale: float = number(1.0, "factor on the read noise", ge=0.0)

    def __attrs_post_init__(self) -> None:
        never_below(0.0, self.prog_coeff, "prog_coeff")

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS)."""
        sigma = polynomial(self.prog_coeff, g_target / window.g_max)
        return (g_target + self.prog_noise_scale * sigma * noise.normal("programming", g_target)).clamp_min(0.0)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the drift exponents."""
        return (self.drift_nu_mean + self.drift_nu_std * noise.normal("drift exponent", g_target)).abs() * self.drift_scale

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return drifted conductances (uS)."""
        return g_programmed if coefficients is None else power_law(g_programmed, coefficients, t, self.t_0)

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances (uS) with read noise."""
        scale = self.read_noise_scale * read_growth(t + self.t_0, self.t_read) / window.g_max
        return (g_drifted + g_drifted * scale * noise.normal("read", g_drifted)).clamp_min(0.0)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"g_p = max(g + {self.prog_noise_scale:g} ({written(self.prog_coeff, 'g_r')}) xi, 0) uS, g_r = g/g_max",
            f"nu = {self.drift_scale:g} |{self.drift_nu_mean:g} + {self.drift_nu_std:g} xi|",
            f"g_d = g_p ((t + {self.t_0:g} s)/{self.t_0:g} s)^-nu",
            f"g = max(g_d + {self.read_noise_scale:g} uS (g_d/g_max) sqrt(ln((t + {self.t_0:g} s + t_r)/(2 t_r))) xi, 0), "
            f"t_r = {self.t_read:g} s",
        )
