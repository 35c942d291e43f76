"""Converter `sign_magnitude`: each weight is one conductance, its sign kept digitally."""

from __future__ import annotations

from attrs import frozen
from torch import Tensor

from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet.spec import number

__all__ = ["SignMagnitude"]


@frozen(kw_only=True)
class SignMagnitude(ConductanceConverter):
    """One device for the magnitude of a weight; its sign is a bit beside the array, which no error reaches.

        g = g_max |w|    w = sign(w asked for) g / g_max

    With `mapping.scales: columnwise` each output row uses the whole range, as chips are written whose conductances are exported to
    files and read back.

    References: Le Gallo et al., APL Mach. Learn. 1, 041102 (2023), doi:10.1063/5.0168089.
    """

    g_max_uS: float = number(40.0, "conductance of the largest magnitude", unit="uS", gt=0.0)  # noqa: N815 - the unit is written so

    devices = 1

    @property
    def window(self) -> ConductanceWindow:
        """The window [0, g_max] in uS."""
        return ConductanceWindow(0.0, self.g_max_uS)

    def to_conductances(self, w: Tensor) -> Tensor:
        """Return conductances [1, ..., out, in] (uS)."""
        return (self.g_max_uS * w.abs().clamp_max(1.0)).unsqueeze(0)

    def to_weights(self, g: Tensor) -> Tensor:
        """Return magnitudes of weights [..., out, in]."""
        return g[0] / self.g_max_uS

    def recover(self, g: Tensor, w: Tensor) -> Tensor:
        """Return weights [..., out, in] with the signs of those asked for."""
        return self.to_weights(g) * w.sign()

    def equations(self) -> tuple[str, ...]:
        """Return the mapping with its values."""
        return (f"g = {self.g_max_uS:g} |w| uS, w = sign(w) g / {self.g_max_uS:g} uS, the sign digital",)
