"""Noise models: what happens to a conductance when it is programmed, while it drifts and when it is read."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from attrs import frozen

from ohmlet.errors import ConfigError
from ohmlet.spec import Spec

if TYPE_CHECKING:
    from torch import Tensor

    from ohmlet_kernels.noise import Stream

__all__ = ["ConductanceWindow", "NoiseModel"]


@frozen
class ConductanceWindow:
    """The smallest and the largest conductance [uS] that a converter uses on a device; raises ConfigError when it is empty."""

    g_min: float
    g_max: float

    def __attrs_post_init__(self) -> None:
        if self.g_min >= self.g_max:
            raise ConfigError(f"'g_min_uS' must be below 'g_max_uS': {self.g_min!r} >= {self.g_max!r}")


class NoiseModel(Spec):
    """Programming error, drift and read noise of a device, on conductances in uS and times in seconds.

    Subclass it as a frozen attrs class. All methods are pure: conductances in, conductances out, randomness only from `noise`, whose
    numbers are addressed (`noise.normal("purpose", g)` has g's last two sizes and, in front, one entry per chip instance, so results
    broadcast). A chip calls, for each of a converter's devices,

        g_p = program(g_target)     nu = drift_coefficients(g_target)     g(t) = read(drift(g_p, nu, t), g_p, t)

    with t counted from the first read-out, `t_0` seconds after programming. A whole model in ten lines:

        @frozen(kw_only=True)
        class Gaussian(NoiseModel):
            \"\"\"Programming noise of constant spread and power-law drift with one exponent.\"\"\"

            sigma: float = number(0.5, "programming error", unit="uS", ge=0)
            nu: float = number(0.05, "drift exponent", ge=0)

            def program(self, g_target, window, noise):
                return (g_target + self.sigma * noise.normal("programming", g_target)).clamp_min(0)

            def drift(self, g_programmed, coefficients, t, window):
                return g_programmed * (1 + t / self.t_0) ** -self.nu
    """

    kind: ClassVar[str] = "noise_model"
    t_0: float = 20.0
    """Seconds between programming and the first read-out; declare a field of this name to make it a parameter."""

    @property
    def limits(self) -> ConductanceWindow:
        """The conductances [uS] that the model describes; a converter's window must lie within. Any, unless overridden."""
        return ConductanceWindow(0.0, math.inf)

    @property
    def times(self) -> tuple[float, ...]:
        """The only times [s] after the first read-out that the model describes; empty for any, unless overridden."""
        return ()

    def check(self, window: ConductanceWindow, t: float = 0.0) -> None:
        """Raise ConfigError for a window beyond `limits` or a time that is none of `times`; a model with either calls it itself."""
        name, limits = type(self).__name__, self.limits
        if window.g_min < limits.g_min or window.g_max > limits.g_max:
            raise ConfigError(
                f"{name} describes conductances from {limits.g_min:g} to {limits.g_max:g} uS and the conductance converter uses "
                f"{window.g_min:g} to {window.g_max:g} uS; set the converter's g_min_uS and g_max_uS within"
            )
        if self.times and t not in self.times:
            known = ", ".join(f"{time:g} s" for time in self.times)
            raise ConfigError(f"{name} is known at {known} after the first read-out and at no other time: {t:g} s")

    @abstractmethod
    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the conductances [instances..., ..., out, in] (uS) that programming reaches for the targets [..., out, in] (uS)."""

    def drift_coefficients(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor | None:
        """Return each device's drift exponent, drawn once when it is programmed, shaped as `program`'s result; None without spread."""
        return None

    def drift(self, g_programmed: Tensor, coefficients: Tensor | None, t: float, window: ConductanceWindow) -> Tensor:
        """Return the mean conductances (uS) at `t` seconds after the first read-out; the default does not drift."""
        return g_programmed

    def read(self, g_drifted: Tensor, g_programmed: Tensor, t: float, window: ConductanceWindow, noise: Stream) -> Tensor:
        """Return the conductances (uS) as one read-out at `t` sees them; the default adds no read noise."""
        return g_drifted
