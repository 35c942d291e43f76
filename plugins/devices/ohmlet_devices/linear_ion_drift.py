"""Device `linear_ion_drift`: a doped region that grows with the charge that flows, with a window function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import number, one_of
from ohmlet_devices.switching import Integrated

__all__ = ["LinearIonDrift"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class LinearIonDrift(Integrated):
    """The memristor of linear ion drift: a doped part x of the film, low in resistance, that grows with the current.

        dx/dt = (mobility r_on / d^2) I f(x)   beyond the thresholds,    x in [0, 1]
        I = V / R,   R = r_on x + r_off (1 - x)

        f(x)    none         1
                joglekar     1 - (2 x - 1)^(2 p)
                biolek       1 - (x - stp(-I))^(2 p),   stp(-I) = 1 for negative current, else 0
                prodromakis  j (1 - ((x - 0.5)^2 + 0.75)^p)

    Joglekar's and Prodromakis's windows vanish at both ends, which a device then never leaves; Biolek's at the end that it moves to.
    Followed by Runge-Kutta steps of fourth order, in parts where a pulse is long. Times the rate of `Switching`. Source: Strukov et
    al., Nature 453, 80 (2008), doi:10.1038/nature06932; Joglekar and Wolf, Eur. J. Phys. 30, 661 (2009), doi:10.1088/0143-0807/30/4/001;
    Biolek et al., Radioengineering 18, 210 (2009); Prodromakis et al., IEEE Trans. Electron Devices 58, 3099 (2011),
    doi:10.1109/TED.2011.2158004.
    """

    r_on: float = number(100.0, "resistance of the doped film", unit="ohm", gt=0)
    r_off: float = number(16e3, "resistance of the undoped film", unit="ohm", gt=0)
    mobility: float = number(1e-14, "of the dopants", unit="m^2/(V s)", gt=0)
    d: float = number(10e-9, "thickness of the film", unit="m", gt=0)
    window_function: str = one_of("joglekar", ("none", "joglekar", "biolek", "prodromakis"), "how the rate falls towards the ends")
    p: float = number(1.0, "exponent of the window function", ge=1)
    j: float = number(1.0, "height of Prodromakis's window function", gt=0)
    v_set: float = number(0.55, "voltage up to which x does not grow", unit="V", ge=0)
    v_reset: float = number(-0.55, "voltage down to which x does not shrink", unit="V", le=0)
    set_voltage: float = number(1.0, "of a pulse up", unit="V", gt=0)
    set_width: float = number(2e-5, "duration of a pulse up", unit="s", gt=0)
    reset_voltage: float = number(-1.0, "of a pulse down", unit="V", lt=0)
    reset_width: float = number(2e-5, "duration of a pulse down", unit="s", gt=0)

    def __attrs_post_init__(self) -> None:
        if self.p != 1.0 and self.window_function == "none":
            raise ConfigError(f"p = {self.p:g} has no effect without a window_function: set one or leave p out")
        if self.j != 1.0 and self.window_function != "prodromakis":
            raise ConfigError(
                f"j = {self.j:g} has no effect with window_function {self.window_function}: it is Prodromakis's; leave it out"
            )
        super().__attrs_post_init__()

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
        """Return the drive of the pulses and the window as j (1 - (curve (x - centre)^2 + floor)^p), centres by direction."""
        drive = self.mobility / self.d**2
        curve, floor, up_centre, down_centre = {
            "none": (0.0, 0.0, 0.5, 0.5),
            "joglekar": (4.0, 0.0, 0.5, 0.5),
            "biolek": (1.0, 0.0, 0.0, 1.0),
            "prodromakis": (1.0, 0.75, 0.5, 0.5),
        }[self.window_function]
        return {
            "up": torch.where(set_volts > self.v_set, set_volts, 0.0) * set_seconds * drive,
            "down": torch.where(reset_volts < self.v_reset, reset_volts, 0.0) * reset_seconds * drive,
            "height": self.j,
            "curve": curve,
            "floor": floor,
            "up_centre": up_centre,
            "down_centre": down_centre,
            "p": self.p,
            "span": self.r_off / self.r_on - 1,
            "rate_std": self.rate_std,
        }

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse: a Runge-Kutta step of r = R / r_on, whose undoped part is u = (r - 1) / span = 1 - x."""
        drive = ops.where(up, params.up, params.down) * params.height * cell.rate * ops.exp(params.rate_std * noise[0])
        centre = 1 - ops.where(up, params.up_centre, params.down_centre)
        u0 = (1 / ((1 + params.span * (w + 1) / 2) / (1 + params.span)) - 1) / params.span
        k1 = -drive * (1 - ops.pow(params.curve * (u0 - centre) * (u0 - centre) + params.floor, params.p)) / (1 + params.span * u0)
        u1 = ops.minimum(ops.maximum(u0 + k1 / 2, 0.0), 1.0)
        k2 = -drive * (1 - ops.pow(params.curve * (u1 - centre) * (u1 - centre) + params.floor, params.p)) / (1 + params.span * u1)
        u2 = ops.minimum(ops.maximum(u0 + k2 / 2, 0.0), 1.0)
        k3 = -drive * (1 - ops.pow(params.curve * (u2 - centre) * (u2 - centre) + params.floor, params.p)) / (1 + params.span * u2)
        u3 = ops.minimum(ops.maximum(u0 + k3, 0.0), 1.0)
        k4 = -drive * (1 - ops.pow(params.curve * (u3 - centre) * (u3 - centre) + params.floor, params.p)) / (1 + params.span * u3)
        u = ops.minimum(ops.maximum(u0 + (k1 + 2 * k2 + 2 * k3 + k4) / 6, 0.0), 1.0)
        moved = 2 * ((1 + params.span) / (1 + params.span * u) - 1) / params.span - 1
        return ops.minimum(ops.maximum(moved, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"dx/dt = {self.mobility * self.r_on / self.d**2:g} / (A s) I f(x), f {self.window_function}, p = {self.p:g}",
            f"R = {self.r_on:g} x + {self.r_off:g} (1 - x) ohm; moves above {self.v_set:g} V and below {self.v_reset:g} V",
        )
