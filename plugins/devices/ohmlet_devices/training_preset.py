"""What presets of whole configs for in-memory training have in common: periphery, pulses and read-outs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ohmlet.interfaces.preset import Preset

__all__ = ["TrainingPreset"]

CONVERTERS: dict[str, Any] = {
    "dac": {"levels": 126.0, "bound": 1.0},
    "adc": {"levels": 510.0, "bound": 20.0},
    "out_noise": 0.1,
}
"""Converters of 7 and 9 bit."""
SCALED = {**CONVERTERS, "input_range": "abs_max"}
FORWARD = {**SCALED, "bound_management": "iterative"}


class TrainingPreset(Preset):
    """Tile `in_memory` on the device that `based_on` names, with 7-bit inputs, 9-bit outputs and output noise of 0.1 in both directions.

    Updates are stochastic pulse trains with update management. Weights are what the cells hold, without scales. Subclasses say
    what the update algorithm is.
    """

    gives: ClassVar[str] = "config"
    status: ClassVar[str] = "fitted"
    changes: ClassVar[Mapping[str, Any]] = {}
    """Settings of the device beside its preset."""
    desired_bl: ClassVar[int] = 31
    """Pulses of a train."""

    @property
    def cell(self) -> dict[str, Any]:
        """The device as a config names it."""
        return {"type": self.based_on, **self.changes}

    def update_algorithm(self) -> dict[str, Any]:
        """Return the update algorithm: stochastic gradient descent on one device for each weight, unless overridden."""
        return {"type": "sgd", "device": self.cell}

    def read_out(self) -> dict[str, Any] | None:
        """Return the pass that transfers read with; none unless overridden."""
        return None

    def build(self) -> Any:
        """Return the config as plain data."""
        tile = {
            "type": "in_memory",
            "update_algorithm": self.update_algorithm(),
            "forward": FORWARD,
            "backward": SCALED,
            "update": {"desired_bl": self.desired_bl},
            "read": self.read_out(),
        }
        return {"tile": {name: value for name, value in tile.items() if value is not None}, "mapping": {"scales": "none"}}
