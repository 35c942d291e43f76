"""Compensation `none`: outputs stay as drift leaves them."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.drift_compensation import DriftCompensation

__all__ = ["NoCompensation"]


@frozen(kw_only=True)
class NoCompensation(DriftCompensation):
    """No factor: alpha = 1."""

    def read_out(self, mvm: Callable[[Tensor], Tensor], in_features: int, like: Tensor) -> None:
        """Remember nothing."""
