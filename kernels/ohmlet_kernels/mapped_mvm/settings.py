"""What happens to weights between a layer and its crossbar."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

__all__ = ["Mapping"]


class Mapping(NamedTuple):
    """Weights are divided by `divisor` [..., out or 1, 1], detached; with a `std` they get additive noise relative to the largest."""

    divisor: Tensor
    std: float = 0.0
    w_max: float | None = None
    """What `std` is relative to, instead of the crossbar's own largest |w|."""
