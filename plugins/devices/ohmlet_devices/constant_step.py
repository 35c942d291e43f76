"""Device `constant_step`: every pulse is worth the same until the weight meets a bound."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ohmlet_devices.pulsed import Pulsed

__all__ = ["ConstantStep"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class ConstantStep(Pulsed):
    """Constant steps between hard bounds.

        up    w <- w + dw_up (1 + dw_min_std xi)
        down  w <- w - dw_down (1 + dw_min_std xi),   then clipped to [w_min, w_max]

    All weights are normalised. Source: Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333.
    """

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        size = ops.where(up, cell.dw_up, -cell.dw_down) * (1 + params.dw_min_std * noise[0])
        return ops.minimum(ops.maximum(w + size, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (f"dw = +-{self.dw_min:g} (1 + {self.dw_min_std:g} xi), w within [{self.w_min:g}, {self.w_max:g}]",)
