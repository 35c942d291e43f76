"""Device `vteam`: a voltage-controlled memristor with thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.spec import number, one_of
from ohmlet_devices.switching import Switching

__all__ = ["VTEAM"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class VTEAM(Switching):
    """A resistance that moves at a rate which depends on the voltage beyond two thresholds, on nothing between them.

        dx/dt = k_off (V / v_off - 1)^alpha_off   for V > v_off        x within [0, d]; x = d is the high resistance
                k_on (V / v_on - 1)^alpha_on      for V < v_on
        I = V / R,   R = r_on + (r_off - r_on) x / d   (linear)   or   r_on (r_off / r_on)^(x / d)   (exponential)

    without window functions, so that a held voltage is followed exactly. Positive voltages lower the conductance. Times the rate of
    `Switching`. Source: Kvatinsky et al., IEEE Trans. Circuits Syst. II 62, 786 (2015), doi:10.1109/TCSII.2015.2433536.
    """

    polarity: ClassVar[int] = -1

    r_on: float = number(50.0, "low resistance", unit="ohm", gt=0)
    r_off: float = number(1000.0, "high resistance", unit="ohm", gt=0)
    d: float = number(3e-9, "range of the state", unit="m", gt=0)
    k_on: float = number(-10.0, "rate towards the low resistance at twice v_on", unit="m/s", lt=0)
    k_off: float = number(5e-4, "rate towards the high resistance at twice v_off", unit="m/s", gt=0)
    alpha_on: float = number(3.0, "exponent of the rate towards the low resistance", gt=0)
    alpha_off: float = number(1.0, "exponent of the rate towards the high resistance", gt=0)
    v_on: float = number(-0.2, "threshold of moving towards the low resistance", unit="V", lt=0)
    v_off: float = number(0.02, "threshold of moving towards the high resistance", unit="V", gt=0)
    resistance: str = one_of("linear", ("linear", "exponential"), "how the resistance follows the state")
    set_voltage: float = number(-0.22, "of a pulse up", unit="V", lt=0)
    set_width: float = number(2e-10, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(0.5, "of a pulse down", unit="V", gt=0)
    reset_width: float = number(2e-10, "duration of a pulse down", unit="s", gt=0)

    def current(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g V."""
        return g * v

    def slope(self, v: Tensor, g: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return g."""
        return g + 0 * v

    def cubic(self, g: Tensor, cell: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return g and no cubic part."""
        return g, torch.zeros_like(g)

    def conditions(self, set_volts: Tensor, set_seconds: Tensor, reset_volts: Tensor, reset_seconds: Tensor) -> Mapping[str, Any]:
        """Return how far the pulses move x / d, and the resistances."""
        up = (set_volts / self.v_on - 1).clamp_min(0.0) ** self.alpha_on * (self.k_on / self.d) * set_seconds
        down = (reset_volts / self.v_off - 1).clamp_min(0.0) ** self.alpha_off * (self.k_off / self.d) * reset_seconds
        ratio = self.r_off / self.r_on
        return {
            "up": up,
            "down": down,
            "low": 1 / ratio,
            "span": ratio - 1,
            "steepness": math.log(ratio),
            "exponential": float(self.resistance == "exponential"),
            "rate_std": self.rate_std,
        }

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse: from conductance to x, moved, and back."""
        g = params.low + (1 - params.low) * (w + 1) / 2
        x = ops.where(params.exponential + 0 * w > 0.5, -ops.log(g) / params.steepness, (1 / g - 1) / params.span)
        moved = x + ops.where(up, params.up, params.down) * cell.rate * ops.exp(params.rate_std * noise[0])
        x = ops.minimum(ops.maximum(moved, 0.0), 1.0)
        g = ops.where(params.exponential + 0 * w > 0.5, ops.exp(-params.steepness * x), 1 / (1 + params.span * x))
        return ops.minimum(ops.maximum(2 * (g - params.low) / (1 - params.low) - 1, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"dx/dt = {self.k_off:g} m/s (V/{self.v_off:g} - 1)^{self.alpha_off:g} above {self.v_off:g} V, "
            f"{self.k_on:g} m/s (V/({self.v_on:g}) - 1)^{self.alpha_on:g} below {self.v_on:g} V, x in [0, {self.d:g} m]",
            f"R from {self.r_on:g} to {self.r_off:g} ohm, {self.resistance} in x",
        )
