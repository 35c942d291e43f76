"""Presets of CMOS cells that hold the weight on a capacitor."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, WritePulses
from ohmlet_devices.label_step import LabelStep
from ohmlet_devices.linear_step import LinearStep

__all__ = ["Capacitor", "Capacitor3T1C", "Capacitor6T1C"]


class Capacitor(Preset):
    """CMOS capacitor cell with leakage; the lifetime in mini-batches is to be set to the time that a mini-batch takes."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Li et al., Symposium on VLSI Technology (2018), doi:10.1109/VLSIT.2018.8510648"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "CMOS"
    retention: ClassVar[str] = "leaks: the lifetime is in mini-batches"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.005,
            w_max=1.0,
            w_min=-1.0,
            mult_noise=False,
            gamma_up=0.05,
            gamma_down=0.05,
            dw_min_dtod=0.1,
            up_down_dtod=0.06,
            w_max_dtod=0.07,
            w_min_dtod=0.07,
            gamma_up_dtod=0.01,
            gamma_down_dtod=0.01,
            lifetime=1e6,
            lifetime_dtod=0.3,
        )


class Capacitor3T1C(Preset):
    """Three transistors and a capacitor of 100 fF: 32 states, almost linear.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Li et al., Symposium on VLSI Technology (2018), doi:10.1109/VLSIT.2018.8510648"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "CMOS"
    g_min_uS: ClassVar[float] = 4.0  # noqa: N815
    g_max_uS: ClassVar[float] = 20.0  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(note="not tabulated")

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=0.2, nl_down=-0.2, pulses_up=32.0, pulses_down=32.0, cycle_to_cycle=0.005)


class Capacitor6T1C(Preset):
    """Six transistors and a capacitor: about a thousand states whose steps grow with the weight, up and down alike.

    Steps, spreads and the time constant of the leak, 46505 s, are those of a public training script without a publication; the cell
    is that of the source. Set `lifetime` to 46505 s over the duration of a mini-batch: left out, nothing leaks.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Kim et al., MWSCAS (2017), doi:10.1109/MWSCAS.2017.8052950"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "CMOS"
    retention: ClassVar[str] = "leaks with a time constant of 46505 s"

    def build(self) -> UnitCell:
        """Return the device."""
        return LinearStep(
            dw_min=0.001981,
            w_max=1.0,
            w_min=-1.0,
            gamma_up=-0.1678,
            gamma_down=0.1410,
            allow_increasing=True,
            dw_min_dtod=0.1,
            w_max_dtod=0.05,
            w_min_dtod=0.05,
            write_noise_std=0.0182,
        )
