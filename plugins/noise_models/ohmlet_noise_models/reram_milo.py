"""Noise model `reram_milo`: HfO2 ReRAM after multilevel program-verify."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream

__all__ = ["ReRAMMilo"]


@frozen(kw_only=True)
class ReRAMMilo(NoiseModel):
    """HfO2 ReRAM of an array with multilevel program-verify: an error that falls slightly with the conductance, and nothing else.

    With xi standard normal, conductances in uS:

        programming   g_p = max(g_target + noise_scale max(c_0 + c_1 g_target, 0) xi, 0)

    There was no measurement of drift or read noise, so conductances stay as programmed. The devices were measured from 50 to 225 uS; a
    converter beyond that is refused with a ConfigError.

    References: Milo et al., IRPS (2021), doi:10.1109/IRPS46558.2021.9405119; the straight line is that of CrossSim 3.0.
    """

    t_0 = 0.0
    """Times count from programming."""

    c_0: float = number(4.782321, "programming error at g = 0", unit="uS", gt=0.0)
    c_1: float = number(-0.009107, "change of the programming error per conductance")
    noise_scale: float = number(1.0, "factor on the programming error", ge=0.0)

    def __attrs_post_init__(self) -> None:
        limits = self.limits
        if min(self.c_0 + self.c_1 * g for g in (limits.g_min, limits.g_max)) < 0.0:
            raise ConfigError(
                f"c_0 = {self.c_0:g} uS and c_1 = {self.c_1:g} make an error below zero between {limits.g_min:g} and {limits.g_max:g} uS"
            )

    @property
    def limits(self) -> ConductanceWindow:
        """The conductances [uS] that were measured."""
        return ConductanceWindow(50.0, 225.0)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return programmed conductances (uS); raises ConfigError for a window beyond the measured one."""
        self.check(window)
        sigma = self.noise_scale * (self.c_0 + self.c_1 * g_target)
        return (g_target + sigma * noise.normal("programming", g_target)).clamp_min(0.0)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (f"g_p = max(g + {self.noise_scale:g} ({self.c_0:g} {self.c_1:+g} g) xi, 0) uS; no drift, no read noise",)
