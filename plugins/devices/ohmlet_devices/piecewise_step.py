"""Device `piecewise_step`: steps along a measured curve, stated at equal distances over the range of weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.spec import numbers, one_of
from ohmlet_devices.linear_step import quotient
from ohmlet_devices.pulsed import Pulsed
from ohmlet_kernels.noise import Stream

__all__ = ["PiecewiseStep"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class PiecewiseStep(Pulsed):
    """Steps that follow a table, interpolated linearly between nodes at equal distances over each device's [w_min, w_max].

        up    w <- w + dw_up f_up(w)(1 + dw_min_std xi)
        down  w <- w - dw_down f_down(w)(1 + dw_min_std xi),   then clipped to [w_min, w_max]

    f_up and f_down are in units of dw_min, first node at w_min; one node is a constant. All weights are normalised.
    Source: Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494.
    """

    piecewise_up: tuple[float, ...] = numbers((1.0,), "steps up at the nodes, in units of dw_min")
    piecewise_down: tuple[float, ...] = numbers((1.0,), "steps down at the nodes, in units of dw_min; as many as piecewise_up")
    granularity_form: str = one_of(
        "zero",
        ("zero", "middle_node"),
        "which nominal step pulse probabilities are worked out with: zero: the mean of up and down at w = 0; middle_node: dw_min times the "
        "middle node up",
    )

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        if len(self.piecewise_up) != len(self.piecewise_down):
            raise ConfigError(
                f"piecewise_up has {len(self.piecewise_up)} nodes and piecewise_down {len(self.piecewise_down)}: give as many for both"
            )
        if self.granularity <= 0:
            raise ConfigError(f"the mean step of a pulse is {self.granularity:g} with these nodes, it must be positive: turn their signs")

    @property
    def granularity(self) -> float:
        """The nominal step at w = 0, or that of the middle node."""
        if self.granularity_form == "middle_node":
            return self.dw_min * self.piecewise_up[len(self.piecewise_up) // 2]
        width = self.w_max - self.w_min
        at = -self.w_min / width if width > 0 else 0.0
        up, down = (interpolated(nodes, at) for nodes in (self.piecewise_up, self.piecewise_down))
        return self.dw_min * ((1 + self.beta[0]) * up + (1 + self.beta[1]) * down) / 2

    def tables(self) -> Mapping[str, tuple[float, ...]]:
        """Return the two curves."""
        return {"piecewise_up": self.piecewise_up, "piecewise_down": self.piecewise_down}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return the cells with the width of their range."""
        cell = super().derive(drawn, noise)
        width = cell["w_max"] - cell["w_min"]
        return {**cell, "per_width": quotient(width * 0 + 1, width)}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        at = (w - cell.w_min) * cell.per_width
        rise = cell.dw_up * ops.interpolate(params.piecewise_up, at)
        fall = cell.dw_down * ops.interpolate(params.piecewise_down, at)
        after = w + ops.where(up, rise, -fall) * (1 + params.dw_min_std * noise[0])
        return ops.minimum(ops.maximum(after, cell.w_min), cell.w_max), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return tuple(
            f"{way}: dw = {sign}{self.dw_min:g} ({', '.join(f'{node:g}' for node in nodes)}) over [{self.w_min:g}, {self.w_max:g}]"
            for way, sign, nodes in (("up", "", self.piecewise_up), ("down", "-", self.piecewise_down))
        )


def interpolated(nodes: tuple[float, ...], at: float) -> float:
    """Return a table at a place within [0, 1]."""
    place = at * (len(nodes) - 1)
    left = min(int(place), max(len(nodes) - 2, 0))
    right = min(left + 1, len(nodes) - 1)
    return nodes[left] + (place - left) * (nodes[right] - nodes[left])
