"""Presets of ReRAM with the labels of a published device table."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, ReadConditions, WritePulses
from ohmlet_devices.label_step import LabelStep

__all__ = ["PCMO", "AgASi", "AlOxHfO2", "EpiRAM", "TaOxHfOx", "TaOxTiO2"]


class AgASi(Preset):
    """Silver filament in amorphous silicon: many states, strongly asymmetric.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Jo et al., Nano Lett. 10, 1297 (2010), doi:10.1021/nl904092h"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 0.003077  # noqa: N815
    g_max_uS: ClassVar[float] = 0.03846  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=3.2, up_s=300e-6, down_V=-2.8, down_s=300e-6)
    read: ClassVar[ReadConditions] = ReadConditions(voltage_V=0.5)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=2.4, nl_down=-4.88, pulses_up=97.0, pulses_down=97.0, cycle_to_cycle=0.035)


class TaOxTiO2(Preset):
    """TaOx/TiO2 bilayer with a window of two.

    Labels, number of pulses and noise (stated as below 1 %, taken as that) as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37,
    3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Gao et al., Nanotechnology 26, 455204 (2015), doi:10.1088/0957-4484/26/45/455204"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 0.1  # noqa: N815
    g_max_uS: ClassVar[float] = 0.2  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=3.0, up_s=40e-3, down_V=-3.0, down_s=10e-3)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=1.85, nl_down=-1.79, pulses_up=102.0, pulses_down=102.0, cycle_to_cycle=0.01)


class TaOxHfOx(Preset):
    """TaOx/HfOx with a thermal enhancement layer: almost linear, noisy.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Wu et al., Symposium on VLSI Technology (2018); tabulated by Chen, Peng and Yu, doi:10.1109/TCAD.2018.2789723"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 1.0  # noqa: N815
    g_max_uS: ClassVar[float] = 10.0  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=1.6, up_s=50e-9, note="down: voltage not tabulated")

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=0.04, nl_down=-0.63, pulses_up=128.0, pulses_down=128.0, cycle_to_cycle=0.037)


class PCMO(Preset):
    """Pr0.7Ca0.3MnO3 interface-type ReRAM.

    Labels, number of pulses and noise (stated as below 1 %, taken as that) as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37,
    3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Park et al., IEDM (2013); tabulated by Chen, Peng and Yu, doi:10.1109/TCAD.2018.2789723"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 0.006356  # noqa: N815
    g_max_uS: ClassVar[float] = 0.04348  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=-2.0, up_s=1e-3, down_V=2.0, down_s=1e-3)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=3.68, nl_down=-6.76, pulses_up=50.0, pulses_down=50.0, cycle_to_cycle=0.01)


class AlOxHfO2(Preset):
    """AlOx/HfO2 bilayer under identical pulses.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = (
        "Woo et al., IEEE Electron Device Lett. 37, 994 (2016); tabulated by Chen, Peng and Yu, doi:10.1109/TCAD.2018.2789723"
    )
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 13.36  # noqa: N815
    g_max_uS: ClassVar[float] = 59.17  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=0.9, up_s=100e-6, down_V=-1.0, down_s=100e-6)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=1.94, nl_down=-0.61, pulses_up=40.0, pulses_down=40.0, cycle_to_cycle=0.05)


class EpiRAM(Preset):
    """EpiRAM: silver confined to dislocations of epitaxial SiGe, almost linear.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Choi et al., Nat. Mater. 17, 335 (2018), doi:10.1038/s41563-017-0001-5"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "RRAM"
    g_min_uS: ClassVar[float] = 0.2459  # noqa: N815
    g_max_uS: ClassVar[float] = 12.35  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=5.0, up_s=5e-6, down_V=-3.0, down_s=5e-6)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=0.5, nl_down=-0.5, pulses_up=64.0, pulses_down=64.0, cycle_to_cycle=0.02)
