"""What presets of training through a digital buffer have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ohmlet_devices.training_preset import CONVERTERS, TrainingPreset

__all__ = ["BufferedPreset"]


class BufferedPreset(TrainingPreset):
    """Transfers through a digital buffer: a column of the fast device is read for each vector, and whole units of the buffer are pulsed.

    Rates scale themselves to the gradients (`auto_scale`).
    """

    algorithm: ClassVar[str] = "c_ttv2"
    fast_lr: ClassVar[float] = 0.1
    """Learning rate of the fast device."""
    auto_granularity: ClassVar[float] = 500.0
    """Pulses of the fast device that one unit of the buffer stands for, times the columns."""
    in_chop_prob: ClassVar[float] = 0.0
    """Probability that the sign of a column flips after its transfer."""
    more: ClassVar[Mapping[str, Any]] = {}
    """Settings of the algorithm beside these."""

    def update_algorithm(self) -> dict[str, Any]:
        """Return the update algorithm."""
        return {
            "type": self.algorithm,
            "fast": self.cell,
            "slow": self.cell,
            "units_in_mbatch": False,
            "auto_scale": True,
            "fast_lr": self.fast_lr,
            "auto_granularity": self.auto_granularity,
            "in_chop_prob": self.in_chop_prob,
            "gradient_granularity": "mean",
            "transfer_update": {"desired_bl": 1, "update_management": False, "update_bl_management": False},
            **self.more,
        }

    def read_out(self) -> dict[str, Any]:
        """Return the pass that transfers read with, inputs one-hot and not scaled."""
        return {**CONVERTERS, "input_range": "none"}
