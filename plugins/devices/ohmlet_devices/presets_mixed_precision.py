"""Presets of mixed-precision training in memory."""

from __future__ import annotations

from typing import Any, ClassVar

from ohmlet_devices.training_preset import FORWARD, TrainingPreset

__all__ = [
    "CapacitorMixedPrecision",
    "ECRAMMOMixedPrecision",
    "ECRAMMixedPrecision",
    "GokmenVlasovMixedPrecision",
    "IdealizedMixedPrecision",
    "PCMMixedPrecision",
    "ReRAMESMixedPrecision",
    "ReRAMSBMixedPrecision",
]

SOURCE = "Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406"


class MixedPrecisionPreset(TrainingPreset):
    """Mixed precision: gradients accumulate digitally, and whole steps of the device are pulsed after every vector."""

    source: ClassVar[str] = SOURCE

    def update_algorithm(self) -> dict[str, Any]:
        """Return the update algorithm."""
        return {"type": "mixed_precision", "device": self.cell, "transfer_phase": "first"}


class ReRAMESMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on ReRAM with exponential steps."""

    based_on: ClassVar[str] = "reram_es"


class ReRAMSBMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on ReRAM with soft bounds."""

    based_on: ClassVar[str] = "reram_sb"


class CapacitorMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on CMOS capacitor cells."""

    based_on: ClassVar[str] = "capacitor"


class ECRAMMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on lithium ECRAM."""

    based_on: ClassVar[str] = "ecram"


class ECRAMMOMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on metal-oxide ECRAM."""

    based_on: ClassVar[str] = "ecram_mo"


class IdealizedMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on idealized devices."""

    based_on: ClassVar[str] = "idealized"
    status: ClassVar[str] = "illustrative"


class GokmenVlasovMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on devices of about 1200 states."""

    based_on: ClassVar[str] = "gokmen_vlasov"
    status: ClassVar[str] = "table"


class PCMMixedPrecision(MixedPrecisionPreset):
    """Mixed-precision training on pairs of phase-change memory, refreshed after every mini-batch."""

    based_on: ClassVar[str] = "pcm_pair"

    def read_out(self) -> dict[str, Any]:
        """Return the pass that refreshes read with."""
        return FORWARD
