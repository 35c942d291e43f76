"""Device `soft_bounds_pmax`: soft bounds stated by how many pulses cover a range of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import boolean, number
from ohmlet_devices.linear_step import Sloped, quotient
from ohmlet_devices.pulsed import Varied
from ohmlet_kernels.noise import Stream

__all__ = ["SoftBoundsPmax"]


@frozen(kw_only=True)
class SoftBoundsPmax(Varied):
    """Soft bounds such that `p_max` pulses lead from one end of [range_min, range_max] to the other, in both directions.

        from range_min, after p pulses up      w = range_min + b (1 - exp(-alpha p))
        from range_max, after p pulses down    w = range_max - b (1 - exp(-alpha p))
        b = (range_max - range_min) / (1 - exp(-alpha p_max))

    which are steps (1 - exp(-alpha)) (w_max - w) and (1 - exp(-alpha)) (w - w_min) with bounds w_max = range_min + b and
    w_min = range_max - b beyond the range. Spreads are those of every pulsed device.

    All weights are normalised. Source: Frascaroli et al., Sci. Rep. 8, 7178 (2018), doi:10.1038/s41598-018-25376-x.
    """

    p_max: float = number(1000.0, "pulses from one end of the range to the other", unit="pulses", gt=0)
    alpha: float = number(0.0005, "rate of the saturation", unit="1/pulse", gt=0)
    range_min: float = number(-1.0, "lower end of the range", le=0)
    range_max: float = number(1.0, "upper end of the range", ge=0)
    mult_noise: bool = boolean(True, "the spread from pulse to pulse shrinks with the step, rather than being that at w = 0")

    def __attrs_post_init__(self) -> None:
        if self.range_min >= self.range_max:
            raise ConfigError(f"range_min = {self.range_min:g} must be below range_max = {self.range_max:g}")
        super().__attrs_post_init__()

    @property
    def width(self) -> float:
        """The distance b of a bound from the far end of the range."""
        return (self.range_max - self.range_min) / -math.expm1(-self.alpha * self.p_max)

    @property
    def w_max(self) -> float:
        """The weight that pulses up approach."""
        return self.range_min + self.width

    @property
    def w_min(self) -> float:
        """The weight that pulses down approach."""
        return self.range_max - self.width

    @property
    def dw_min(self) -> float:
        """The mean of the steps up and down at w = 0."""
        return -math.expm1(-self.alpha) * (self.w_max - self.w_min) / 2

    @property
    def beta(self) -> tuple[float, float]:
        """What pulses up and down do more than dw_min at w = 0, relative."""
        more = (self.w_max + self.w_min) / (self.w_max - self.w_min)
        return more, -more

    def parameters(self) -> Mapping[str, float]:
        """Return the spread from pulse to pulse, and whether the slope has it too."""
        return {"dw_min_std": self.dw_min_std, "mult_noise": float(self.mult_noise)}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with slopes that reach zero at the bounds."""
        cell = super().derive(drawn, noise)
        slopes = {"slope_up": quotient(-cell["dw_up"], cell["w_max"]), "slope_down": quotient(-cell["dw_down"], cell["w_min"])}
        return {**cell, **slopes}

    step = staticmethod(Sloped.step)

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        rate = -math.expm1(-self.alpha)
        return (f"up: dw = {rate:g} ({self.w_max:g} - w)", f"down: dw = -{rate:g} (w - ({self.w_min:g}))")
