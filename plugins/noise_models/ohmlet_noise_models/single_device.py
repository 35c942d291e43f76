"""Converter `single_device`: each weight is one conductance, the middle of the window standing for zero."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number

__all__ = ["SingleDevice"]


@frozen(kw_only=True)
class SingleDevice(ConductanceConverter):
    """One device per weight over the whole window; an ideal offset, subtracted digitally, makes its middle zero.

        g = g_min + (g_max - g_min) (w + 1) / 2    w = 2 (g - g_min) / (g_max - g_min) - 1

    Drift of the offset is not undone by the difference of a pair, so errors common to all devices shift every weight.

    References: Falcone et al., Adv. Funct. Mater. (2025), doi:10.1002/adfm.202504688.
    """

    g_max_uS: float = number(88.2, "conductance of a weight of 1", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so
    g_min_uS: float = number(9.0, "conductance of a weight of -1", unit="uS", ge=0.0)  # noqa: N815

    devices = 1

    @property
    def window(self) -> ConductanceWindow:
        """The window [g_min, g_max] in uS."""
        return ConductanceWindow(self.g_min_uS, self.g_max_uS)

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [1, ..., out, in] (uS)."""
        return (self.g_min_uS + (self.g_max_uS - self.g_min_uS) * (w.clamp(-1.0, 1.0) + 1.0) / 2.0).unsqueeze(0)

    def to_weights(self, g: Tensor) -> Tensor:
        """Return weights [..., out, in]."""
        return 2.0 * (g[0] - self.g_min_uS) / (self.g_max_uS - self.g_min_uS) - 1.0

    def equations(self) -> tuple[str, ...]:
        """Return the mapping with its values."""
        span = self.g_max_uS - self.g_min_uS
        return (f"g = {self.g_min_uS:g} + {span:g} (w + 1)/2 uS, w = 2 (g - {self.g_min_uS:g} uS) / {span:g} uS - 1",)
