"""Noise model `pcm`: phase-change memory, after the statistics of a million devices."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number, numbers
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.formulas import never_below, polynomial, power_law, read_growth, written

__all__ = ["PCM"]


@frozen(kw_only=True)
class PCM(NoiseModel):
    """Phase-change memory with state-dependent programming error, drift with spread, and 1/f read noise.

    With g_r = g_target / g_max and xi standard normal, conductances in uS, times in s:

        programming   g_p = max(g_target + prog_noise_scale sigma_p xi, 0)
                      sigma_p = (c_0 + c_1 g_r + c_2 g_r^2 + ...) g_max / g_max_reference_uS, c = prog_coeff
        exponent      nu = |mu + s xi| drift_scale
                      mu = clip(-0.0155 ln g_r + 0.0244, 0.049, 0.1),  s = clip(-0.0125 ln g_r - 0.0059, 0.008, 0.045)
        drift         g_d = g_p ((t + t_0) / t_0)^-nu
        read          g = max(g_d (1 + read_noise_scale Q sqrt(ln((t + t_0 + t_read) / (2 t_read))) xi), 0)
                      Q = min(0.0088 / (g_p / g_max)^0.65, 0.2)

    References: Nandakumar et al., ICECS (2019), doi:10.1109/ICECS46596.2019.8964852; Joshi et al., Nat. Commun. 11, 2473 (2020),
    doi:10.1038/s41467-020-16108-9.
    """

    t_0: float = number(20.0, "time between programming and the first read-out", unit="s", gt=0.0)
    t_read: float = number(250e-9, "width of a read pulse", unit="s", gt=0.0)
    prog_noise_scale: float = number(1.0, "factor on the programming error", ge=0.0)
    read_noise_scale: float = number(1.0, "factor on the read noise", ge=0.0)
    drift_scale: float = number(1.0, "factor on the drift exponents", ge=0.0)
    prog_coeff: tuple[float, ...] = numbers((0.26348, 1.965, -1.1731), "programming error as a polynomial in g_r", unit="uS")
    g_max_reference_uS: float = number(  # noqa: N815 - the unit is written so
        25.0, "largest conductance of the devices that prog_coeff was measured on", unit="uS", gt=0.0
    )

    def __attrs_post_init__(self) -> None:
        never_below(0.0, self.prog_coeff, "prog_coeff")

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS)."""
        sigma = polynomial(self.prog_coeff, g_target / window.g_max).clamp_min(0.0) * (window.g_max / self.g_max_reference_uS)
        return (g_target + self.prog_noise_scale * sigma * noise.normal("programming", g_target)).clamp_min(0.0)

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the drift exponents, drawn from the target's statistics."""
        log_g = (g_target / window.g_max).clamp_min(1e-7).log()
        mean = (-0.0155 * log_g + 0.0244).clamp(0.049, 0.1)
        spread = (-0.0125 * log_g - 0.0059).clamp(0.008, 0.045)
        return (mean + spread * noise.normal("drift exponent", g_target)).abs() * self.drift_scale

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return drifted conductances (uS)."""
        return g_programmed if coefficients is None else power_law(g_programmed, coefficients, t, self.t_0)

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return conductances (uS) with read noise."""
        q = (0.0088 / (g_programmed / window.g_max).clamp_min(0.0).pow(0.65).clamp_min(1e-3)).clamp_max(0.2)
        scale = self.read_noise_scale * read_growth(t + self.t_0, self.t_read)
        return (g_drifted + g_drifted * scale * q * noise.normal("read", g_drifted)).clamp_min(0.0)

    def exponent_equations(self) -> tuple[str, ...]:
        """Return the statistics of the drift exponents."""
        return (
            f"nu = {self.drift_scale:g} |mu + s xi|",
            "mu = clip(-0.0155 ln g_r + 0.0244, 0.049, 0.1), s = clip(-0.0125 ln g_r - 0.0059, 0.008, 0.045)",
        )

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"g_p = max(g + {self.prog_noise_scale:g} sigma_p xi, 0) uS",
            f"sigma_p = ({written(self.prog_coeff, 'g_r')}) g_max/{self.g_max_reference_uS:g} uS, g_r = g/g_max",
            *self.exponent_equations(),
            f"g_d = g_p ((t + {self.t_0:g} s)/{self.t_0:g} s)^-nu",
            f"g = max(g_d (1 + {self.read_noise_scale:g} Q sqrt(ln((t + {self.t_0:g} s + t_r)/(2 t_r))) xi), 0), "
            f"Q = min(0.0088 (g_p/g_max)^-0.65, 0.2), t_r = {self.t_read:g} s",
        )
