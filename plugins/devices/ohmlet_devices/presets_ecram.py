"""Presets of electrochemical RAM."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, WritePulses
from ohmlet_devices.label_step import LabelStep
from ohmlet_devices.linear_step import LinearStep

__all__ = ["ECRAM", "ECRAMMO", "ECRAMArray"]


class ECRAM(Preset):
    """Lithium electrochemical RAM, shifted to its symmetry point."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Tang et al., IEDM (2018), doi:10.1109/IEDM.2018.8614551"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "ECRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.002, w_max=1.1724, w_min=-0.8276, gamma_up=0.1153, gamma_down=0.5085, dw_min_dtod=0.1, w_max_dtod=0.05, w_min_dtod=0.05
        )


class ECRAMMO(Preset):
    """Metal-oxide electrochemical RAM, shifted to its symmetry point."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = (
        "Kim et al., IEDM (2019), 35.7; numbers as in the toolkit of Rasch et al., AICAS (2021), doi:10.1109/AICAS51828.2021.9458494"
    )
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "ECRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.00028214,
            w_max=1.1714,
            w_min=-0.8286,
            gamma_up=0.4152,
            gamma_down=0.7342,
            dw_min_dtod=0.1,
            w_max_dtod=0.05,
            w_min_dtod=0.05,
            dw_min_std=2.0,
        )


class ECRAMArray(Preset):
    """Electrochemical RAM of a passive 10x10 array, W/YSZ/WOx: linear and symmetric, 100 pulses over its window.

    Of six windows from 0.1 to 230 uS that the publication shows, each covered in 100 pulses up and 100 down, this is the one from 60 to
    100 uS. Noise and spreads are shown as small and not in numbers: there are none here.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Chen et al., Nat. Commun. 14, 6184 (2023), doi:10.1038/s41467-023-41958-4"
    status: ClassVar[str] = "measured"
    family: ClassVar[str] = "ECRAM"
    g_min_uS: ClassVar[float] = 60.0  # noqa: N815
    g_max_uS: ClassVar[float] = 100.0  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=5.0, up_s=0.1, down_V=-5.0, down_s=0.1, note="which sign raises is not stated")

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=0.0, nl_down=0.0, pulses_up=100.0, pulses_down=100.0)
