"""Converter `n_pair`: each weight is a weighted sum of several differences."""

from __future__ import annotations

import torch
from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number, numbers

__all__ = ["NPair"]


@frozen(kw_only=True)
class NPair(ConductanceConverter):
    """Several pairs of devices per weight, each with its own factor; the first pair fills up before the next is used.

    With n factors f_k, span = g_max - g_min and full = span (f_1 + ... + f_n):

        g_k+- = g_min + clip((max(+-w full, 0) - (f_1 + ... + f_(k-1)) span) / f_k, 0, span)
        w     = sum_k f_k (g_k+ - g_k-) / full

    Devices are ordered 1+, 1-, 2+, 2-, and so on.

    References: Mackin et al., Nat. Commun. 13, 3765 (2022), doi:10.1038/s41467-022-31405-1.
    """

    factors: tuple[float, ...] = numbers((1.0, 2.0, 4.0), "factor of each pair, the one that fills first in front", gt=0.0)
    g_max_uS: float = number(25.0, "largest conductance of a device", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so
    g_min_uS: float = number(0.0, "smallest conductance of a device", unit="uS", ge=0.0)  # noqa: N815

    @property
    def devices(self) -> int:
        """Two devices per factor."""
        return 2 * len(self.factors)

    @property
    def window(self) -> ConductanceWindow:
        """The window [g_min, g_max] in uS."""
        return ConductanceWindow(self.g_min_uS, self.g_max_uS)

    @property
    def span(self) -> float:
        """What one device adds, in uS."""
        return self.g_max_uS - self.g_min_uS

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [2 n, ..., out, in] (uS)."""
        wanted = self.span * sum(self.factors) * torch.stack((w, -w)).clamp_min(0.0)
        pairs, filled = [], 0.0
        for f in self.factors:
            pairs.append(self.g_min_uS + ((wanted - filled) / f).clamp(0.0, self.span))
            filled += f * self.span
        return torch.cat(pairs)

    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in]."""
        differences = g.unflatten(0, (len(self.factors), 2))
        total = torch.zeros_like(g[0])
        for f, (plus, minus) in zip(self.factors, differences, strict=True):
            total = total + f * (plus - minus)
        return total / (self.span * sum(self.factors))

    def equations(self) -> tuple[str, ...]:
        """Return the mapping with its values."""
        total = " + ".join(f"{f:g} (g{k}+ - g{k}-)" for k, f in enumerate(self.factors, start=1))
        return (
            f"w = ({total}) / {self.span * sum(self.factors):g} uS",
            f"each device from {self.g_min_uS:g} to {self.g_max_uS:g} uS; pair 1 fills before pair 2, and so on",
        )
