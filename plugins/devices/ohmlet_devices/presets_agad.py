"""Presets of training in memory by AGAD."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ohmlet_devices.buffered_preset import BufferedPreset

__all__ = ["ECRAMAGAD", "ECRAMMOAGAD", "CapacitorAGAD", "IdealizedAGAD", "ReRAMESAGAD", "ReRAMSBAGAD"]

SOURCE = "Rasch et al., Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z"


class DynamicPreset(BufferedPreset):
    """AGAD: choppers and a reference that follows the fast device on the fly."""

    source: ClassVar[str] = SOURCE
    algorithm: ClassVar[str] = "agad"


class ReRAMESAGAD(DynamicPreset):
    """AGAD on ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"
    fast_lr: ClassVar[float] = 0.5
    auto_granularity: ClassVar[float] = 1000.0
    in_chop_prob: ClassVar[float] = 0.02
    more: ClassVar[Mapping[str, Any]] = {"tail_weightening": 5.0}


class ReRAMSBAGAD(DynamicPreset):
    """AGAD on ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"
    changes: ClassVar[Mapping[str, Any]] = {"subtract_symmetry_point": True}
    fast_lr: ClassVar[float] = 0.5
    auto_granularity: ClassVar[float] = 1000.0
    in_chop_prob: ClassVar[float] = 0.02
    more: ClassVar[Mapping[str, Any]] = {"tail_weightening": 5.0}


class CapacitorAGAD(DynamicPreset):
    """AGAD on CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"
    auto_granularity: ClassVar[float] = 1000.0
    in_chop_prob: ClassVar[float] = 0.01
    more: ClassVar[Mapping[str, Any]] = {"tail_weightening": 20.0}


class ECRAMAGAD(DynamicPreset):
    """AGAD on lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"
    auto_granularity: ClassVar[float] = 750.0
    in_chop_prob: ClassVar[float] = 0.005
    more: ClassVar[Mapping[str, Any]] = {"tail_weightening": 50.0}


class ECRAMMOAGAD(DynamicPreset):
    """AGAD on metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"
    in_chop_prob: ClassVar[float] = 0.005
    more: ClassVar[Mapping[str, Any]] = {"tail_weightening": 50.0}
    desired_bl: ClassVar[int] = 100


class IdealizedAGAD(DynamicPreset):
    """AGAD on idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"
    in_chop_prob: ClassVar[float] = 0.005
    more: ClassVar[Mapping[str, Any]] = {"tail_weightening": 50.0}
    desired_bl: ClassVar[int] = 100
