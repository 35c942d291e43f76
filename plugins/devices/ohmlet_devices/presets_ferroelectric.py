"""Presets of ferroelectric devices: transistors with many domains and with one, hybrid cells, tunnel junctions."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, WritePulses
from ohmlet_devices.binary_switch import BinarySwitch
from ohmlet_devices.label_step import LabelStep
from ohmlet_devices.switching_probability import PerPulse

__all__ = ["FTJ", "FeFETHZO", "FeFETSingleDomain", "Hybrid2T1F"]


class FeFETHZO(Preset):
    """Ferroelectric transistor with Hf0.5Zr0.5O2: 32 states a factor of 45 apart, down along the curve up.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Jerry et al., IEDM (2017), doi:10.1109/IEDM.2017.8268338"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "FeFET"
    g_min_uS: ClassVar[float] = 0.03973  # noqa: N815
    g_max_uS: ClassVar[float] = 1.788  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=3.65, up_s=75e-9, down_V=-2.95, down_s=75e-9)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=1.75, nl_down=1.46, pulses_up=32.0, pulses_down=32.0, cycle_to_cycle=0.005)


class FeFETSingleDomain(Preset):
    """A ferroelectric transistor so small that single domains switch, at random, each pulse with a probability of 0.1.

    That switching is binary, abrupt and stochastic is measured (source); the probability is an example.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Mulaosmanovic et al., ACS Appl. Mater. Interfaces 9, 3792 (2017), doi:10.1021/acsami.6b13866"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "FeFET"

    def build(self) -> UnitCell:
        """Return the device."""
        return BinarySwitch(switching=PerPulse(p_up=0.1, p_down=0.1), p_dtod=0.3)


class Hybrid2T1F(Preset):
    """Two transistors and a ferroelectric transistor: the volatile lower bits of a hybrid cell, 64 states along one curve.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    The upper bits are four states of the ferroelectric, which are programmed and not pulsed.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Sun et al., IEDM (2018), doi:10.1109/IEDM.2018.8614611"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "FeFET"
    g_min_uS: ClassVar[float] = 0.0397  # noqa: N815
    g_max_uS: ClassVar[float] = 1.788  # noqa: N815

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=0.5, nl_down=0.5, pulses_up=64.0, pulses_down=64.0, cycle_to_cycle=0.005)


class FTJ(Preset):
    """Ferroelectric tunnel junction: the spreads are measured, its hundred states and labels of two are typical.

    Spread between devices 0.032 over six dies of an 8-inch wafer and from cycle to cycle 0.036, relative (source), taken as those of
    a step.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Moon et al., Neuromorph. Comput. Eng. 3, 024001 (2023), doi:10.1088/2634-4386/accc51"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "FTJ"

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=2.0, nl_down=-2.0, pulses_up=100.0, pulses_down=100.0, dw_min_dtod=0.032, dw_min_std=0.036)
