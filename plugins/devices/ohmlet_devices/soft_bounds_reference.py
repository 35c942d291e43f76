"""Device `soft_bounds_reference`: soft bounds around a reference of each cell's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.device import CellParameter
from ohmlet.spec import boolean, number
from ohmlet_devices.linear_step import quotient
from ohmlet_devices.referenced import Referenced
from ohmlet_kernels.noise import Stream

__all__ = ["SoftBoundsReference"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class SoftBoundsReference(Referenced):
    """Soft bounds of a device that is read against a reference: u = w + reference.

        up    u <- u + dw_up (1 - u / w_max + dw_min_std xi)
        down  u <- u - dw_down (1 - u / w_min + dw_min_std xi),   then clipped to [w_min, w_max], and w = u - reference

    With `mult_noise` the spread shrinks with the step: (1 - u / w_max)(1 + dw_min_std xi). `slope_*_dtod` spread the slopes alone: a
    bound is divided by |1 + slope_dtod xi|. The symmetry point is (dw_up - dw_down) / (dw_up / w_max - dw_down / w_min).

    All weights are normalised. Source: Gong et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569; Rasch et al., Nat. Commun. 15,
    7133 (2024), doi:10.1038/s41467-024-51221-z.
    """

    mult_noise: bool = boolean(False, "the spread from pulse to pulse shrinks with the step, rather than being that at u = 0")
    slope_up_dtod: float = number(0.0, "spread of the slope of steps up over devices, relative", ge=0)
    slope_down_dtod: float = number(0.0, "spread of the slope of steps down over devices, relative", ge=0)

    def parameters(self) -> Mapping[str, float]:
        """Return the spread from pulse to pulse, and whether the slope has it too."""
        return {"dw_min_std": self.dw_min_std, "mult_noise": float(self.mult_noise)}

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        slopes = {
            f"slope_{way}": CellParameter(mean=1.0, spread=getattr(self, f"slope_{way}_dtod"))
            for way in ("down", "up")
            if getattr(self, f"slope_{way}_dtod")
        }
        return {**super().cells(), **slopes}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with their slopes and references."""
        cell = super().derive(drawn, noise)
        w_max, w_min = cell["w_max"], cell["w_min"]
        works = (w_max > 0) & (w_min < 0)
        for way, name, bound in (("up", "w_max", w_max), ("down", "w_min", w_min)):
            if f"slope_{way}" in cell:
                cell[name] = torch.where(works, bound / cell[f"slope_{way}"].abs(), bound)
        cell["slope_up"] = torch.where(w_max > 0, quotient(-cell["dw_up"], cell["w_max"]), 0.0)
        cell["slope_down"] = torch.where(w_min < 0, quotient(-cell["dw_down"], cell["w_min"]), 0.0)
        return self.referenced(cell)

    def symmetry_point(self, cell: Mapping[str, Tensor]) -> Tensor:
        """Return where steps up and down of each device are equal, 0 for a device whose bounds do not enclose it."""
        works = (cell["w_max"] > 0) & (cell["w_min"] < 0)
        point = quotient(cell["dw_up"] - cell["dw_down"], cell["slope_down"] - cell["slope_up"])
        return torch.where(works, point, 0.0)

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        u = w + cell.reference
        size = ops.where(up, cell.dw_up, -cell.dw_down)
        tilt = ops.where(up, cell.slope_up, -cell.slope_down) * u
        after = u + size + tilt + (size + params.mult_noise * tilt) * params.dw_min_std * noise[0]
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max) - cell.reference, hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"up: du = {self.dw_min:g} (1 - u/{self.w_max:g} + {self.dw_min_std:g} xi), u = w + reference",
            f"down: du = -{self.dw_min:g} (1 - u/({self.w_min:g}) + {self.dw_min_std:g} xi)",
        )
