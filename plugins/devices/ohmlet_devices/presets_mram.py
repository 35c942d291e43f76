"""Presets of magnetic memory: binary junctions that switch at random, and a domain wall among notches."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, WritePulses
from ohmlet_devices.binary_switch import BinarySwitch
from ohmlet_devices.domain_wall import DomainWall
from ohmlet_devices.switching_probability import ThermallyActivated

__all__ = ["STTMRAM", "RacetrackFive", "STTMRAMStochastic"]


class STTMRAM(Preset):
    """Spin-transfer-torque junction as memory: two states a factor of 2.3 apart, written by 1 V for 10 ns.

    Resistance, on/off ratio and pulse as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018). At 1 V no barrier is left,
    so a pulse fails with exp(-10 ns / 1 ns) = 5e-5, the attempt time of 1 ns being the usual one. Barrier and critical voltage, which count
    at lower voltages only (`switching.up_V`), are typical and not tabulated.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "MRAM"
    g_min_uS: ClassVar[float] = 124.2  # noqa: N815
    g_max_uS: ClassVar[float] = 285.7  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=1.0, up_s=10e-9, down_V=-1.0, down_s=10e-9, note="polarity not tabulated")

    def build(self) -> UnitCell:
        """Return the device."""
        return BinarySwitch(switching=ThermallyActivated(up_V=1.0, down_V=1.0, up_s=1e-8, down_s=1e-8, critical_V=0.5, barrier=60.0))


class STTMRAMStochastic(Preset):
    """The same junction under weaker pulses, each of which switches about one device in two, as random-number generators do.

    That a stable junction under nanosecond pulses switches as a Poisson process of tunable rate is measured (source); barrier, critical
    voltage and the pulse that gives a probability of 0.49 are typical numbers.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Sidi El Valli et al., arXiv:2509.13458 (2025), doi:10.48550/arXiv.2509.13458"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "MRAM"
    g_min_uS: ClassVar[float] = 124.2  # noqa: N815
    g_max_uS: ClassVar[float] = 285.7  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=0.4775, up_s=10e-9, down_V=-0.4775, down_s=10e-9, note="of a critical 0.5 V")

    def build(self) -> UnitCell:
        """Return the device."""
        return BinarySwitch(
            switching=ThermallyActivated(up_V=0.4775, down_V=0.4775, up_s=1e-8, down_s=1e-8, critical_V=0.5, barrier=60.0), p_dtod=0.2
        )


class RacetrackFive(Preset):
    """A domain wall in a track with five positions, which a pulse moves by one with a probability of 0.9.

    Five stochastic states are those of the source, by micromagnetic simulation; the probability is typical.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Misba et al., arXiv:2111.07284 (2021), doi:10.48550/arXiv.2111.07284"
    status: ClassVar[str] = "illustrative"
    family: ClassVar[str] = "MRAM"

    def build(self) -> UnitCell:
        """Return the device."""
        return DomainWall(levels=5, p_up=0.9, p_down=0.9, p_dtod=0.1)
