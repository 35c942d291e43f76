"""Presets of training in memory by Tiki-Taka."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ohmlet_devices.training_preset import CONVERTERS, TrainingPreset

__all__ = ["CapacitorTikiTaka", "ECRAMMOTikiTaka", "ECRAMTikiTaka", "IdealizedTikiTaka", "ReRAMESTikiTaka", "ReRAMSBTikiTaka"]

SOURCE = "Gokmen and Haensch, Front. Neurosci. 14, 103 (2020), doi:10.3389/fnins.2020.00103"


class TikiTakaPreset(TrainingPreset):
    """Tiki-Taka: gradients go to a fast device, one column of which is read and pulsed onto the slow one after every mini-batch."""

    source: ClassVar[str] = SOURCE

    def update_algorithm(self) -> dict[str, Any]:
        """Return the update algorithm."""
        return {
            "type": "tiki_taka",
            "fast": self.cell,
            "slow": self.cell,
            "units_in_mbatch": True,
            "scale_fast_lr": True,
            "gradient_granularity": "mean",
            "transfer_update": {"desired_bl": 31},
        }

    def read_out(self) -> dict[str, Any]:
        """Return the pass that transfers read with, inputs one-hot and not scaled."""
        return {**CONVERTERS, "input_range": "none"}


class ReRAMESTikiTaka(TikiTakaPreset):
    """Tiki-Taka on ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"


class ReRAMSBTikiTaka(TikiTakaPreset):
    """Tiki-Taka on ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"
    changes: ClassVar[Mapping[str, Any]] = {"subtract_symmetry_point": True}


class CapacitorTikiTaka(TikiTakaPreset):
    """Tiki-Taka on CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"


class ECRAMTikiTaka(TikiTakaPreset):
    """Tiki-Taka on lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"


class ECRAMMOTikiTaka(TikiTakaPreset):
    """Tiki-Taka on metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"


class IdealizedTikiTaka(TikiTakaPreset):
    """Tiki-Taka on idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"
