"""Converter `balanced_pair`: both devices of a pair move, and their sum stays."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number

__all__ = ["BalancedPair"]


@frozen(kw_only=True)
class BalancedPair(ConductanceConverter):
    """One pair of devices per weight around the middle of the window: what one device gains the other loses.

        g+ = g_min + span (1 + w) / 2    g- = g_min + span (1 - w) / 2    w = (g+ - g-) / span    span = g_max - g_min

    Every pair conducts g_min + g_max, whatever its weight, so wires carry the same load; a weight of zero costs two devices at half
    their range, whose errors it has, where `single_pair` has two idle ones.

    References: Xiao et al., IEEE Circuits Syst. Mag. 22 (2022), doi:10.1109/MCAS.2022.3214409.
    """

    g_max_uS: float = number(25.0, "largest conductance of a device", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so
    g_min_uS: float = number(0.0, "smallest conductance of a device", unit="uS", ge=0.0)  # noqa: N815

    @property
    def window(self) -> ConductanceWindow:
        """The window [g_min, g_max] in uS."""
        return ConductanceWindow(self.g_min_uS, self.g_max_uS)

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [2, ..., out, in] (uS)."""
        signed = torch.stack((w, -w)).clamp(-1.0, 1.0)
        return self.g_min_uS + (self.g_max_uS - self.g_min_uS) * (1.0 + signed) / 2.0

    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in]."""
        return (g[0] - g[1]) / (self.g_max_uS - self.g_min_uS)

    def equations(self) -> tuple[str, ...]:
        """Return the mapping with its values."""
        span = self.g_max_uS - self.g_min_uS
        return (
            f"g+ = {self.g_min_uS:g} + {span:g} (1 + w)/2 uS, g- = {self.g_min_uS:g} + {span:g} (1 - w)/2 uS, w = (g+ - g-) / {span:g} uS",
        )
