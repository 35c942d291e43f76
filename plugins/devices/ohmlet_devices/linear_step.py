"""Device `linear_step`: steps that change linearly with the weight."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter
from ohmlet.spec import boolean, number
from ohmlet_devices.pulsed import Pulsed
from ohmlet_kernels.noise import Stream

__all__ = ["LinearStep", "Sloped", "quotient"]

ops: Any = None  # bound by each engine


def quotient(a: Tensor, b: Tensor | float) -> Tensor:
    """Return a / b, and 0 where b is 0."""
    below = torch.as_tensor(b, dtype=a.dtype, device=a.device)
    return torch.where(below == 0, 0.0, a / torch.where(below == 0, 1.0, below))


@frozen(kw_only=True)
class Sloped(Pulsed):
    """Steps on a straight line: what linear steps and soft bounds share.

        up    w <- w + (dw_up + slope_up w)(1 + dw_min_std xi)
        down  w <- w - (dw_down + slope_down w)(1 + dw_min_std xi),   then clipped to [w_min, w_max]

    Without `mult_noise` the spread does not change with the weight: dw (1 + dw_min_std xi) + slope w.
    """

    mult_noise: bool = boolean(True, "the spread from pulse to pulse shrinks with the step, rather than being that at w = 0")
    reverse_up: bool = boolean(False, "the step up grows with the weight, from zero at the lower bound minus reverse_offset")
    reverse_down: bool = boolean(False, "the step down grows as the weight falls, from zero at the upper bound plus reverse_offset")
    reverse_offset: float = number(0.01, "distance of the point without step from the bound, where steps are reversed")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if (self.reverse_up or self.reverse_down) and not self.mult_noise:
            raise ConfigError("reverse_up and reverse_down need mult_noise: a reversed step is zero at its bound, additive noise is not")
        if self.reverse_offset != 0.01 and not (self.reverse_up or self.reverse_down):
            raise ConfigError(f"reverse_offset = {self.reverse_offset:g} has no effect without reverse_up or reverse_down: leave it out")

    def parameters(self) -> Mapping[str, float]:
        """Return the spread from pulse to pulse, and whether the slope has it too."""
        return {"dw_min_std": self.dw_min_std, "mult_noise": float(self.mult_noise)}

    def slopes(self, cell: dict[str, Tensor], gammas: tuple[Any, Any], w_max: Any, w_min: Any) -> dict[str, Tensor]:
        """Return the cells with slopes -gamma dw / bound, from gammas and bounds that are tensors or numbers."""
        at_up = w_min - self.reverse_offset if self.reverse_up else w_max
        at_down = w_max + self.reverse_offset if self.reverse_down else w_min
        return {
            **cell,
            "slope_up": quotient(-gammas[0] * cell["dw_up"], at_up),
            "slope_down": quotient(-gammas[1] * cell["dw_down"], at_down),
        }

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        size = ops.where(up, cell.dw_up, -cell.dw_down)
        tilt = ops.where(up, cell.slope_up, -cell.slope_down) * w
        after = w + size + tilt + (size + params.mult_noise * tilt) * params.dw_min_std * noise[0]
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden


@frozen(kw_only=True)
class LinearStep(Sloped):
    """Steps that fall linearly with the weight, by a fraction gamma of themselves at the bound.

        up    dw = dw_up (1 - gamma_up w / w_max),   down  dw = dw_down (1 - gamma_down w / w_min)

    each times (1 + dw_min_std xi), then w is clipped to its bounds. gamma of a device is |gamma + gamma_dtod xi|; the bounds that
    scale the weight are the mean ones with `mean_bound_reference`. Without `mult_noise` the spread is that at w = 0.

    All weights are normalised. Source: Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494; for the ECRAM that it fits
    Tang et al., IEDM (2018), doi:10.1109/IEDM.2018.8614551.
    """

    gamma_up: float = number(0.0, "fall of the step up from w = 0 to w_max, relative")
    gamma_down: float = number(0.0, "fall of the step down from w = 0 to w_min, relative")
    gamma_up_dtod: float = number(0.05, "spread of gamma_up over devices, absolute", ge=0)
    gamma_down_dtod: float = number(0.05, "spread of gamma_down over devices, absolute", ge=0)
    allow_increasing: bool = boolean(False, "a device's gamma may be negative: steps that grow towards the bound")
    mean_bound_reference: bool = boolean(True, "slopes refer to the mean bounds rather than to each device's own")

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        for name in ("gamma_up", "gamma_down"):
            if getattr(self, name) < 0 and not self.allow_increasing:
                raise ConfigError(
                    f"{name} = {getattr(self, name):g} makes steps grow towards the bound: set allow_increasing, or turn the sign"
                )

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        gammas = {
            name: CellParameter(mean=getattr(self, name), spread=getattr(self, f"{name}_dtod"), distribution="normal_absolute")
            for name in ("gamma_up", "gamma_down")
        }
        return {**super().cells(), **gammas}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with their slopes."""
        cell = super().derive(drawn, noise)
        up, down = cell.pop("gamma_up"), cell.pop("gamma_down")
        gammas = (up, down) if self.allow_increasing else (up.abs(), down.abs())
        if self.mean_bound_reference:
            return self.slopes(cell, gammas, self.w_max, self.w_min)
        return self.slopes(cell, gammas, cell["w_max"], cell["w_min"])

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        noise = f"(1 + {self.dw_min_std:g} xi)"
        return (
            f"up: dw = {self.dw_min:g} (1 - {self.gamma_up:g} w/{self.w_max:g}) {noise}",
            f"down: dw = -{self.dw_min:g} (1 - {self.gamma_down:g} w/({self.w_min:g})) {noise}",
        )
