"""Presets of training in memory by chopped TTv2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ohmlet_devices.buffered_preset import BufferedPreset

__all__ = ["CapacitorCTTv2", "ECRAMCTTv2", "ECRAMMOCTTv2", "IdealizedCTTv2", "ReRAMESCTTv2", "ReRAMSBCTTv2"]

SOURCE = "Rasch et al., Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z"


class ChoppedTTv2Preset(BufferedPreset):
    """TTv2 with random choppers of the inputs' signs."""

    source: ClassVar[str] = SOURCE


class ReRAMESCTTv2(ChoppedTTv2Preset):
    """Chopped TTv2 on ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"
    fast_lr: ClassVar[float] = 0.5
    auto_granularity: ClassVar[float] = 1000.0
    in_chop_prob: ClassVar[float] = 0.01


class ReRAMSBCTTv2(ChoppedTTv2Preset):
    """Chopped TTv2 on ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"
    changes: ClassVar[Mapping[str, Any]] = {"subtract_symmetry_point": True}
    fast_lr: ClassVar[float] = 0.5
    auto_granularity: ClassVar[float] = 1000.0
    in_chop_prob: ClassVar[float] = 0.01


class CapacitorCTTv2(ChoppedTTv2Preset):
    """Chopped TTv2 on CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"
    auto_granularity: ClassVar[float] = 1000.0
    in_chop_prob: ClassVar[float] = 0.01


class ECRAMCTTv2(ChoppedTTv2Preset):
    """Chopped TTv2 on lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"
    fast_lr: ClassVar[float] = 1.0
    in_chop_prob: ClassVar[float] = 0.01
    desired_bl: ClassVar[int] = 100


class ECRAMMOCTTv2(ChoppedTTv2Preset):
    """Chopped TTv2 on metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"
    in_chop_prob: ClassVar[float] = 0.001
    desired_bl: ClassVar[int] = 100


class IdealizedCTTv2(ChoppedTTv2Preset):
    """Chopped TTv2 on idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"
    in_chop_prob: ClassVar[float] = 0.001
    desired_bl: ClassVar[int] = 100
