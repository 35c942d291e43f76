"""Device `domain_wall`: a wall that pulses push from notch to notch, if it comes loose."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from attrs import frozen
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import CellParameter, Device
from ohmlet.spec import integer, number
from ohmlet_kernels.noise import Stream

__all__ = ["DomainWall"]

ops: Any = None  # bound by each engine


@frozen(kw_only=True)
class DomainWall(Device):
    """A domain wall in a track with notches, whose position is the weight: `levels` equally distant ones from w_min to w_max.

        up    to the next notch above with probability p_up, at the last one never
        down  to the next notch below with probability p_down,      levels w_k = w_min + k (w_max - w_min) / (levels - 1)

    A wall that does not come loose stays where it is, so that a train of n pulses moves it by a binomial number of notches, mean n p,
    variance n p (1 - p). Weights that are set become the nearest level. With probabilities of 1 it is any element of discrete,
    equally distant levels that a pulse moves by one. Probabilities spread over devices lognormally around their medians and end
    at 1. Weights are normalised.

    Source: Liu et al., Appl. Phys. Lett. 118, 202405 (2021).
    """

    normals: ClassVar[int] = 0
    uniforms: ClassVar[int] = 1

    levels: int = integer(32, "notches", ge=2)
    p_up: float = number(1.0, "probability that a pulse up moves the wall", gt=0, le=1)
    p_down: float = number(1.0, "probability that a pulse down moves the wall", gt=0, le=1)
    p_dtod: float = number(0.0, "spread of both probabilities over devices, lognormal", ge=0)
    w_max: float = number(1.0, "weight of the last notch")
    w_min: float = number(-1.0, "weight of the first notch")

    def __attrs_post_init__(self) -> None:
        if self.w_max <= self.w_min:
            raise ConfigError(f"w_max = {self.w_max:g} must be above w_min = {self.w_min:g}")

    @property
    def distance(self) -> float:
        """The weight from notch to notch."""
        return (self.w_max - self.w_min) / (self.levels - 1)

    @property
    def granularity(self) -> float:
        """The mean step of one pulse between the ends."""
        return (self.p_up + self.p_down) / 2 * self.distance

    def cells(self) -> Mapping[str, CellParameter]:
        """Return what differs between devices."""
        return {
            "p_up": CellParameter(mean=self.p_up, spread=self.p_dtod, distribution="lognormal"),
            "p_down": CellParameter(mean=self.p_down, spread=self.p_dtod, distribution="lognormal"),
        }

    def parameters(self) -> Mapping[str, float]:
        """Return the track."""
        return {"distance": self.distance, "first": self.w_min, "last": self.w_max}

    def derive(self, drawn: dict[str, Tensor], noise: Stream) -> dict[str, Tensor]:
        """Return probabilities of at most 1."""
        return {name: value.clamp_max(1.0) for name, value in drawn.items()}

    def placed(self, w: Tensor, cell: Mapping[str, Tensor]) -> Tensor:
        """Return the nearest levels."""
        return self.w_min + self.distance * ((w.clamp(self.w_min, self.w_max) - self.w_min) / self.distance).round()

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        """Return the weight after one pulse."""
        loose = noise[0] < ops.where(up, cell.p_up, cell.p_down)
        after = w + ops.where(loose, ops.where(up, params.distance, -params.distance), 0.0)
        return ops.minimum(ops.maximum(after, params.first), params.last), hidden

    def equations(self) -> tuple[str, ...]:
        """Return the model with its values."""
        return (
            f"{self.levels} levels from {self.w_min:g} to {self.w_max:g}, {self.distance:g} apart",
            f"one level up with probability {self.p_up:g}, down with probability {self.p_down:g}",
        )
