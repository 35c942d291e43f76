"""Device `exp_step`: steps that fall exponentially towards the bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import number, one_of
from ohmlet_devices.linear_step import quotient
from ohmlet_devices.pulsed import Pulsed
from ohmlet_kernels.noise import Stream

__all__ = ["ExpStep"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class ExpStep(Pulsed):
    """Steps with exponential saturation, after a pulse response measured on ReRAM.

        up    dw = dw_up max(1 - A_up exp(gamma_up z), 0),   down  dw = -dw_down max(1 - A_down exp(-gamma_down z), 0)
        z = 2 a w / (w_max - w_min) + b
        w <- w + dw + dw_min_std (|dw| + dw_min_std_add + dw_min_std_slope |w|) xi,   then clipped to [w_min, w_max]

    All weights are normalised. Source: Gong et al., Nat. Commun. 9, 2102 (2018), doi:10.1038/s41467-018-04485-1; for the noise that
    depends on the state Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406.
    """

    A_up: float = number(0.00081, "strength of the saturation of steps up")
    A_down: float = number(0.36833, "strength of the saturation of steps down")
    gamma_up: float = number(12.44625, "rate of the saturation of steps up")
    gamma_down: float = number(12.78785, "rate of the saturation of steps down")
    a: float = number(0.244, "scale of the weight in the exponents")
    b: float = number(0.2425, "shift of the weight in the exponents")
    dw_min_std_add: float = number(0.0, "spread of pulses that does not depend on the step, in units of dw_min_std", ge=0)
    dw_min_std_slope: float = number(0.0, "spread of pulses that grows with the weight, in units of dw_min_std", ge=0)
    granularity_form: str = one_of(
        "both",
        ("both", "down"),
        "which nominal step at w = 0 pulse probabilities are worked out with: both: the mean of up and down; down: that of pulses down",
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name in ("dw_min_std_add", "dw_min_std_slope"):
            if getattr(self, name) and not self.dw_min_std:
                raise ConfigError(f"{name} = {getattr(self, name):g} has no effect without dw_min_std, whose factor it is: leave it out")

    @property
    def granularity(self) -> float:
        """The mean step at w = 0, or that of pulses down; dw_min where it is zero."""
        up = (1 + self.beta[0]) * self.dw_min * max(1 - self.A_up * math.exp(self.gamma_up * self.b), 0.0)
        down = (1 + self.beta[1]) * self.dw_min * max(1 - self.A_down * math.exp(-self.gamma_down * self.b), 0.0)
        step = down if self.granularity_form == "down" else (up + down) / 2
        return step if step > 0 else self.dw_min

    def parameters(self) -> Mapping[str, float]:
        """Return what all cells share."""
        names = ("A_up", "A_down", "gamma_up", "gamma_down", "b", "dw_min_std", "dw_min_std_add", "dw_min_std_slope")
        return {name: getattr(self, name) for name in names}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with the scale of their weight in the exponents."""
        cell = super().derive(drawn, noise)
        width = cell["w_max"] - cell["w_min"]
        return {**cell, "z_scale": quotient(width.new_tensor(2 * self.a).expand_as(width), width)}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        z = cell.z_scale * w + params.b
        strength = ops.where(up, params.A_up, params.A_down)
        rate = ops.where(up, params.gamma_up, -params.gamma_down)
        size = ops.where(up, cell.dw_up, cell.dw_down) * ops.maximum(1 - strength * ops.exp(rate * z), 0.0)
        spread = params.dw_min_std * (size + params.dw_min_std_add + params.dw_min_std_slope * ops.abs(w))
        after = w + ops.where(up, size, -size) + spread * noise[0]
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"up: dw = {self.dw_min:g} max(1 - {self.A_up:g} exp({self.gamma_up:g} z), 0)",
            f"down: dw = -{self.dw_min:g} max(1 - {self.A_down:g} exp(-{self.gamma_down:g} z), 0),  "
            f"z = {self.a:g} w/{(self.w_max - self.w_min) / 2:g} + {self.b:g}",
        )
