"""Presets of training in memory by TTv2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ohmlet_devices.buffered_preset import BufferedPreset

__all__ = ["CapacitorTTv2", "ECRAMMOTTv2", "ECRAMTTv2", "IdealizedTTv2", "ReRAMESTTv2", "ReRAMSBTTv2"]

SOURCE = "Gokmen, Front. Artif. Intell. 4, 699148 (2021), doi:10.3389/frai.2021.699148"


class TTv2Preset(BufferedPreset):
    """TTv2 with rates that scale themselves: chopped TTv2 without choppers."""

    source: ClassVar[str] = SOURCE


class ReRAMESTTv2(TTv2Preset):
    """TTv2 on ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"
    fast_lr: ClassVar[float] = 0.5
    auto_granularity: ClassVar[float] = 1000.0


class ReRAMSBTTv2(TTv2Preset):
    """TTv2 on ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"
    changes: ClassVar[Mapping[str, Any]] = {"subtract_symmetry_point": True}
    fast_lr: ClassVar[float] = 0.5
    auto_granularity: ClassVar[float] = 1000.0


class CapacitorTTv2(TTv2Preset):
    """TTv2 on CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"
    auto_granularity: ClassVar[float] = 1000.0


class ECRAMTTv2(TTv2Preset):
    """TTv2 on lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"
    desired_bl: ClassVar[int] = 100


class ECRAMMOTTv2(TTv2Preset):
    """TTv2 on metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"
    desired_bl: ClassVar[int] = 100


class IdealizedTTv2(TTv2Preset):
    """TTv2 on idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"
    desired_bl: ClassVar[int] = 100
