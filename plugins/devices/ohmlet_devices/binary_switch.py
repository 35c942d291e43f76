"""Device `binary_switch`: two states, between which each pulse switches with a probability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.config import part
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter, Device
from ohmlet.spec import number
from ohmlet_devices.switching_probability import PerPulse, ThermallyActivated
from ohmlet_kernels.noise import Stream

__all__ = ["BinarySwitch"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class BinarySwitch(Device):
    """Two states, between which each pulse switches with a probability.

    With u uniform in (0, 1), drawn at each pulse:

        up    w <- w_high if u < p_up, else w
        down  w <- w_low  if u < p_down, else w

    so that n pulses up find a low device still low with probability (1 - p_up)^n, and a pulse to a device that is there already does
    nothing. The mean of many devices follows soft bounds; pulse probabilities are worked out with its mean step. Weights that are set
    become the nearer of the two states. Both are normalised and spread over devices, as their resistances do; probabilities spread
    lognormally around their medians and end at 1.

    Source: Vincent et al., IEEE Trans. Biomed. Circuits Syst. 9, 166 (2015).
    """

    normals: ClassVar[int] = 0
    uniforms: ClassVar[int] = 1

    switching: PerPulse | ThermallyActivated = part(PerPulse | ThermallyActivated, "how probable switching is", {"type": "per_pulse"})
    w_high: float = number(1.0, "mean weight of the high state")
    w_low: float = number(-1.0, "mean weight of the low state")
    w_high_dtod: float = number(0.0, "spread of the high state over devices, absolute", ge=0)
    w_low_dtod: float = number(0.0, "spread of the low state over devices, absolute", ge=0)
    p_dtod: float = number(0.0, "spread of both probabilities over devices, lognormal", ge=0)

    def __attrs_post_init__(self) -> None:
        if self.w_high <= self.w_low:
            raise ConfigError(f"w_high = {self.w_high:g} must be above w_low = {self.w_low:g}")
        if min(self.switching.probabilities) < 1e-12:
            raise ConfigError(
                f"pulses switch with probabilities {self.switching.probabilities}, which is never: raise voltages or widths, or lower the "
                "barrier"
            )

    @property
    def granularity(self) -> float:
        """The mean step of one pulse, over both states and both ways."""
        return sum(self.switching.probabilities) / 4 * (self.w_high - self.w_low)

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        up, down = self.switching.probabilities
        return {
            "w_max": CellParameter(mean=self.w_high, spread=self.w_high_dtod, distribution="normal_absolute"),
            "w_min": CellParameter(mean=self.w_low, spread=self.w_low_dtod, distribution="normal_absolute"),
            "p_up": CellParameter(mean=up, spread=self.p_dtod, distribution="lognormal"),
            "p_down": CellParameter(mean=down, spread=self.p_dtod, distribution="lognormal"),
        }

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return states in their order, and probabilities."""
        high, low = torch.maximum(drawn["w_max"], drawn["w_min"]), torch.minimum(drawn["w_max"], drawn["w_min"])
        return {"w_max": high, "w_min": low, **{name: drawn[name].clamp_max(1.0) for name in ("p_up", "p_down")}}

    def placed(self, w: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the nearer of the two states of each device."""
        return cell["w_max"].where(w > (cell["w_max"] + cell["w_min"]) / 2, cell["w_min"]) + 0 * w

    def inverted(self, cell: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return the mirror images."""
        return {"w_max": -cell["w_min"], "w_min": -cell["w_max"], "p_up": cell["p_down"], "p_down": cell["p_up"]}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        switched = noise[0] < ops.where(up, cell.p_up, cell.p_down)
        return ops.where(switched, ops.where(up, cell.w_max, cell.w_min), w), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        up, down = self.switching.probabilities
        return (f"up: {self.w_high:g} with probability {up:g}", f"down: {self.w_low:g} with probability {down:g}")
