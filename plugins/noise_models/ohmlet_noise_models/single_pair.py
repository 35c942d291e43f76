"""Converter `single_pair`: each weight is the difference of two conductances."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number

__all__ = ["SinglePair"]


@frozen(kw_only=True)
class SinglePair(ConductanceConverter):
    """One device for the positive part of a weight and one for the negative part.

        g+ = g_min + (g_max - g_min) max(w, 0)    g- = g_min + (g_max - g_min) max(-w, 0)    w = (g+ - g-) / (g_max - g_min)

    References: Joshi et al., Nat. Commun. 11, 2473 (2020), doi:10.1038/s41467-020-16108-9.
    """

    g_max_uS: float = number(25.0, "conductance of the largest weight", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so
    g_min_uS: float = number(0.0, "conductance of a weight of zero", unit="uS", ge=0.0)  # noqa: N815

    @property
    def window(self) -> ConductanceWindow:
        """The window [g_min, g_max] in uS."""
        return ConductanceWindow(self.g_min_uS, self.g_max_uS)

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [2, ..., out, in] (uS)."""
        return self.g_min_uS + (self.g_max_uS - self.g_min_uS) * torch.stack((w, -w)).clamp(0.0, 1.0)

    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in]."""
        return (g[0] - g[1]) / (self.g_max_uS - self.g_min_uS)

    def equations(self) -> tuple[str, ...]:
        """Return the mapping with its values."""
        span = self.g_max_uS - self.g_min_uS
        return (f"g± = {self.g_min_uS:g} + {span:g} max(±w, 0) uS, w = (g+ - g-) / {span:g} uS",)
