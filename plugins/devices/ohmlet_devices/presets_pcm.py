"""Presets of phase-change memory under pulses."""

from __future__ import annotations

from typing import ClassVar

from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.preset import Preset, WritePulses
from ohmlet_devices.exp_step import ExpStep
from ohmlet_devices.label_step import LabelStep
from ohmlet_devices.one_sided import OneSided

__all__ = ["GSTPCM", "PCM", "PCMPair"]


class PCM(Preset):
    """Phase-change memory under partial SET pulses: unidirectional, so that a weight takes two (`pcm_pair`)."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "PCM"

    def build(self) -> UnitCell:
        """Return the device."""
        return ExpStep(
            dw_min=0.01,
            w_max=2.0,
            w_min=0.0,
            a=-1.0,
            b=0.0,
            gamma_up=2.5,
            gamma_down=2.5,
            A_up=-27.235,
            A_down=-2.235,
            dw_min_dtod=0.2,
            up_down_dtod=0.05,
            w_max_dtod=0.1,
            w_min_dtod=0.0,
            dw_min_std=0.6,
            dw_min_std_add=0.042,
            dw_min_std_slope=0.108,
            reset=0.01,
            reset_dtod=0.02,
            reset_dtod_form="absolute",
        )


class PCMPair(Preset):
    """Two phase-change memories as one weight, refreshed after every mini-batch."""

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406"
    status: ClassVar[str] = "fitted"
    family: ClassVar[str] = "PCM"

    def build(self) -> UnitCell:
        """Return the pair."""
        return OneSided(minus=PCM().build(), refresh_every=1)


class GSTPCM(Preset):
    """GST phase-change memory: linear up by weak SET pulses, fast down at the bottom.

    Labels, number of pulses and noise as tabulated with Chen, Peng and Yu, IEEE Trans. CAD 37, 3067 (2018), doi:10.1109/TCAD.2018.2789723.
    """

    gives: ClassVar[str] = "device"
    source: ClassVar[str] = "Kuzum et al., Nano Lett. 12, 2179 (2012), doi:10.1021/nl201040y"
    status: ClassVar[str] = "table"
    family: ClassVar[str] = "PCM"
    g_min_uS: ClassVar[float] = 10.72  # noqa: N815
    g_max_uS: ClassVar[float] = 212.3  # noqa: N815
    write: ClassVar[WritePulses] = WritePulses(up_V=0.7, up_s=6e-6, down_V=3.0, down_s=125e-9)

    def build(self) -> UnitCell:
        """Return the device."""
        return LabelStep(nl_up=0.105, nl_down=2.4, pulses_up=100.0, pulses_down=100.0, cycle_to_cycle=0.015)
