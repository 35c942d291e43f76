"""Noise model `gaussian`: one programming error and one drift exponent for all devices."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["Gaussian"]


@frozen(kw_only=True)
class Gaussian(NoiseModel):
    """Programming error of constant spread, and power-law drift with one exponent for all devices.

    With xi standard normal, conductances in uS, times in s:

        programming   g_p = max(g_target + sigma xi, 0)
        drift         g_d = g_p ((t + t_0) / t_0)^-nu
    """

    sigma: float = number(0.5, "standard deviation of the programming error", unit="uS", ge=0.0)
    nu: float = number(0.05, "drift exponent", ge=0.0)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS)."""
        return (g_target + self.sigma * noise.normal("programming", g_target)).clamp_min(0.0)

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return drifted conductances (uS)."""
        return g_programmed * float(((t + self.t_0) / self.t_0) ** -self.nu)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (f"g_p = max(g + {self.sigma:g} xi, 0) uS", f"g_d = g_p ((t + {self.t_0:g} s)/{self.t_0:g} s)^-{self.nu:g}")
