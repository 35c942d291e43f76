"""Device `soft_bounds`: steps that vanish linearly towards the bounds."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet_devices.linear_step import Sloped
from ohmlet_kernels.noise import Stream

__all__ = ["SoftBounds"]


@frozen(kw_only=True)
class SoftBounds(Sloped):
    """Steps that vanish towards each device's own bounds.

        up    w <- w + dw_up (1 - w / w_max)(1 + dw_min_std xi)
        down  w <- w - dw_down (1 - w / w_min)(1 + dw_min_std xi),   then clipped to [w_min, w_max]

    All weights are normalised. Source: Fusi and Abbott, Nat. Neurosci. 10, 485 (2007), doi:10.1038/nn1859; Frascaroli et al., Sci. Rep.
    8, 7178 (2018), doi:10.1038/s41598-018-25376-x.
    """

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with slopes that reach zero at the bounds."""
        cell = super().derive(drawn, noise)
        return self.slopes(cell, (1.0, 1.0), cell["w_max"], cell["w_min"])

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        noise = f"(1 + {self.dw_min_std:g} xi)"
        return (f"up: dw = {self.dw_min:g} (1 - w/{self.w_max:g}) {noise}", f"down: dw = -{self.dw_min:g} (1 - w/({self.w_min:g})) {noise}")
