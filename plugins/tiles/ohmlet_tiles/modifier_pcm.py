"""Weight modifier `pcm_noise`: what programming, drift and reading do to phase-change memory, with devices that fail."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import number
from ohmlet_kernels.mapped_mvm.reference import largest
from ohmlet_kernels.noise import Stream
from ohmlet_tiles.modifiers import passed_through

__all__ = ["PCMNoise"]

T_READ = 250e-9
"""s"""


@frozen(kw_only=True)
class PCMNoise:
    """Programming, drift and read noise of phase-change memory on g = clip(w, +-A) g_max / A, with g_r = |g| / g_max and t in s.

        failures    g -> 0, g +- g_max, or +-U g_max with the probabilities given; small |g| -> 0
        programming g_p = g + std (0.26348 + 1.965 g_r - 1.1731 g_r^2) xi, where g is not 0
        drift       g_d = g_p ((t_inference + t_0) / t_0)^-nu,  nu = |clip(-0.0125 ln g_r - 0.0059, 0.008, 0.045) xi|, the mean compensated
        read        g_d + std |g_d| Q sqrt(ln((t + t_read) / (2 t_read))) xi,  Q = min(0.0088 g_r^-0.65, 0.2)

    References: Nandakumar et al., ICECS (2019), doi:10.1109/ICECS46596.2019.8964852.
    """

    type_name: ClassVar[str] = "pcm_noise"
    std: float = number(1.0, "factor on programming and read noise", ge=0.0)
    g_max_uS: float = number(25.0, "conductance of the largest weight", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so
    zero_threshold: float = number(0.0, "conductances up to this many programming errors are set to zero", ge=0.0)
    prob_at_reset: float = number(0.0, "probability of a device stuck at zero", ge=0.0, le=1.0)
    prob_at_g_max: float = number(0.0, "probability of a device stuck at its largest conductance", ge=0.0, le=1.0)
    prob_at_random: float = number(0.0, "probability of a device stuck anywhere", ge=0.0, le=1.0)
    t_inference: float = number(0.0, "time after the first read-out; 0 leaves out drift and read noise", unit="s", ge=0.0)
    t_0: float = number(20.0, "time between programming and the first read-out", unit="s", gt=0.0)
    w_max: float | None = number(None, "A, instead of the crossbar's own", gt=0.0)

    def __attrs_post_init__(self) -> None:
        total = self.prob_at_reset + self.prob_at_g_max + self.prob_at_random
        if total > 1:
            raise ConfigError(f"the probabilities of failures add up to {total:g}, which is more than one")
        if self.std == 0 and self.zero_threshold > 0:
            raise ConfigError(
                f"zero_threshold {self.zero_threshold:g} counts in programming errors, of which std 0.0 leaves none: drop one"
            )
        if self.std == 0 and total == 0 and self.t_inference == 0 and self.w_max is None:
            raise ConfigError(
                "std 0.0 without failures or t_inference changes no weight: give a std above 0, or leave the modifier out (null)"
            )

    def modify(self, w: Tensor, noise: Stream) -> Tensor:
        """Return modified weights [..., out, in]."""
        a, shared = largest(w, self.w_max), noise.shared()
        g = self._failed(torch.maximum(torch.minimum(w.detach(), a), -a) * (self.g_max_uS / a), shared)
        live = g != 0
        g_r = g.abs() / self.g_max_uS
        sigma = 0.26348 + 1.965 * g_r - 1.1731 * g_r**2
        programmed = g + self.std * sigma * shared.normal("programming", w)
        now = self._drifted(programmed, shared) if self.t_inference > 0 else programmed
        kept = torch.where(live, torch.sign(g) * now.abs(), torch.zeros_like(g))
        return passed_through(w, kept * (a / self.g_max_uS))

    def _failed(self, g: Tensor, noise: Stream) -> Tensor:
        """Return conductances with small ones and failed devices replaced."""
        if self.zero_threshold > 0:
            g = torch.where(g.abs() <= self.zero_threshold * self.std * 0.26348, torch.zeros_like(g), g)
        if self.prob_at_reset + self.prob_at_g_max + self.prob_at_random == 0:
            return g
        fate, side = noise.uniform("failure", g), torch.where(noise.uniform("side", g) < 0.5, -1.0, 1.0)
        up_to_reset, up_to_g_max = self.prob_at_reset, self.prob_at_reset + self.prob_at_g_max
        anywhere = side * noise.uniform("anywhere", g) * self.g_max_uS
        g = torch.where((fate >= up_to_g_max) & (fate < up_to_g_max + self.prob_at_random), anywhere, g)
        g = torch.where((fate >= up_to_reset) & (fate < up_to_g_max), g + side * self.g_max_uS, g)
        return torch.where(fate < up_to_reset, torch.zeros_like(g), g).clamp(-self.g_max_uS, self.g_max_uS)

    def _drifted(self, programmed: Tensor, noise: Stream) -> Tensor:
        """Return conductances after drift, with read noise."""
        g_r, t = (programmed.abs() / self.g_max_uS).clamp_min(1e-7), self.t_inference + self.t_0
        nu = ((-0.0125 * g_r.log() - 0.0059).clamp(0.008, 0.045) * noise.normal("drift exponent", programmed)).abs()
        drifted = programmed * torch.exp(-nu * math.log(t / self.t_0))
        q = (0.0088 / g_r**0.65).clamp_max(0.2)
        growth = math.sqrt(math.log((t + T_READ) / (2.0 * T_READ)))
        return drifted + self.std * drifted.abs() * q * growth * noise.normal("read", programmed)
