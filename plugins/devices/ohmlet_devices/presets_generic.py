"""Presets of devices that are no technology in particular."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset
from ohmlet_devices.constant_step import ConstantStep

__all__ = ["GokmenVlasov", "Idealized"]


class Idealized(Preset):
    """A device of about ten thousand states with the usual spreads and no asymmetry."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Rasch, Gokmen and Haensch, arXiv:1906.02698 (2019), after Gokmen and Vlasov, doi:10.3389/fnins.2016.00333"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "generic"

    def build(self) -> UnitCell:
        """Return the device."""
        return ConstantStep(dw_min=0.0002, w_max=1.0, w_min=-1.0, up_down_dtod=0.0)


class GokmenVlasov(Preset):
    """The resistive processing unit that would train without loss of accuracy: about 1200 states."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Gokmen and Vlasov, Front. Neurosci. 10, 333 (2016), doi:10.3389/fnins.2016.00333"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "generic"

    def build(self) -> UnitCell:
        """Return the device."""
        return ConstantStep(dw_min=0.0016, w_max=1.0, w_min=-1.0)
