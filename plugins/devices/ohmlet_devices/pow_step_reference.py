"""Device `pow_step_reference`: power-law steps around a reference of each cell's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter
from ohmlet.spec import integer, number, one_of
from ohmlet_devices.pow_step import GRANULARITY, check_powers, power_beta, power_cells, power_granularity, powers
from ohmlet_devices.referenced import Referenced
from ohmlet_kernels.noise import Stream

__all__ = ["PowStepReference"]

ops: Any = None  # bound by each engine

HALVINGS = 40
"""Of the range that encloses a symmetry point: as many as float32 weights can tell apart, and some."""


@frozen(kw_only=True)
class PowStepReference(Referenced):
    """Power-law steps of a device that is read against a reference: u = w + reference.

        up    u <- u + dw_up ((w_max - u) / (w_max - w_min))^gamma_up (1 + dw_min_std xi)
        down  u <- u - dw_down ((u - w_min) / (w_max - w_min))^gamma_down (1 + dw_min_std xi),   then clipped, and w = u - reference

    The symmetry point is where the two steps are equal, found exactly, or as after `n_estimation_steps` pairs of noise-free pulses from
    u = 0. Exponents are those of `pow_step`.

    All weights are normalised. Source: Gong et al., IEDM (2022), doi:10.1109/IEDM45625.2022.10019569.
    """

    pow_gamma: float = number(1.0, "exponent", ge=0)
    pow_gamma_dtod: float = number(0.1, "spread of the exponent over devices, relative", ge=0)
    pow_up_down: float = number(0.0, "what the exponent of pulses up is more than pow_gamma, relative, in the form of up_down")
    pow_up_down_dtod: float = number(0.0, "spread of pow_up_down over devices, absolute", ge=0)
    granularity_form: str = one_of("zero", ("zero", "centre"), GRANULARITY)
    n_estimation_steps: int | None = integer(
        None, "pairs of pulses that find the symmetry point; exact if left out", unit="pulse pairs", ge=1
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        check_powers(self)
        if self.n_estimation_steps is not None and not self.subtract_symmetry_point:
            raise ConfigError("n_estimation_steps has no effect without subtract_symmetry_point: leave it out")

    @property
    def pow_beta(self) -> tuple[float, float]:
        """What the exponents are more than pow_gamma."""
        return power_beta(self)

    @property
    def granularity(self) -> float:
        """The nominal step at w = 0 or midway between the bounds."""
        return power_granularity(self)

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        return {**super().cells(), **power_cells(self)}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with their exponents and references."""
        return self.referenced(powers(self, super().derive(drawn, noise)))

    def symmetry_point(self, cell: Mapping[str, Tensor]) -> Tensor:
        """Return where steps up and down of each device are equal, 0 for a device without steps."""
        like = cell["w_max"]
        exact = {name: value.to(torch.float64) for name, value in cell.items()}

        def excess(u: Tensor) -> Tensor:
            up = exact["dw_up"] * ((exact["w_max"] - u) * exact["per_width"]).clamp_min(0) ** exact["gamma_up"]
            return up - exact["dw_down"] * ((u - exact["w_min"]) * exact["per_width"]).clamp_min(0) ** exact["gamma_down"]

        works = (exact["w_max"] > exact["w_min"]) & (exact["dw_up"] + exact["dw_down"] > 0)
        if self.n_estimation_steps is not None:
            u = torch.zeros_like(exact["w_max"])
            for _ in range(self.n_estimation_steps):
                u = u + excess(u)
            return torch.where(works, u, 0.0).to(like.dtype)
        low, high = exact["w_min"], exact["w_max"]
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            above = excess(middle) > 0
            low, high = middle.where(above, low), high.where(above, middle)
        return torch.where(works, (low + high) / 2, 0.0).to(like.dtype)

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        u = w + cell.reference
        distance = ops.where(up, cell.w_max - u, u - cell.w_min) * cell.per_width
        size = ops.where(up, cell.dw_up, -cell.dw_down) * ops.pow(ops.maximum(distance, 0.0), ops.where(up, cell.gamma_up, cell.gamma_down))
        after = u + size * (1 + params.dw_min_std * noise[0])
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max) - cell.reference, hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        width, (up, down) = self.w_max - self.w_min, self.pow_beta
        return (
            f"up: du = {self.dw_min:g} (({self.w_max:g} - u)/{width:g})^{self.pow_gamma * (1 + up):g}, u = w + reference",
            f"down: du = -{self.dw_min:g} ((u - ({self.w_min:g}))/{width:g})^{self.pow_gamma * (1 + down):g}",
        )
