"""A config for in-memory training from the names of an algorithm and a device."""

from __future__ import annotations

from typing import Any

from attrs import fields

from ohmlet.config.analog import AnalogConfig
from ohmlet.errors import ConfigError
from ohmlet.registry import registry

__all__ = ["build"]

CELLS = ("device", "fast", "slow", "up", "down", "core")
"""What algorithms call the cells of their arrays."""

PASS = {"dac": {"bits": 7, "bound": 1.0}, "adc": {"bits": 9, "bound": 12.0}, "input_range": "abs_max", "out_noise": 0.06}
"""The passes of published in-memory training: 7-bit inputs, 9-bit outputs of 12 times the largest weight, 6 % noise."""


def build(algorithm: str = "sgd", device: Any = "constant_step", **changes: Any) -> AnalogConfig:
    """Return a config with tile `in_memory`: an update algorithm whose arrays all have one device, behind a typical noisy periphery.

    `device` is a name or a mapping with `type`, as in a config; `changes` are fields of the algorithm, such as transfer_every=2. Other
    settings are overridden afterwards: `build("ttv2", "soft_bounds_reference").override({"tile.forward.out_noise": 0.0})`.
    Source of the periphery: Rasch et al., Nat. Commun. 15, 7133 (2024), doi:10.1038/s41467-024-51221-z. Raises ConfigError for unknown
    names and fields.
    """
    cls = registry("update_algorithm").get(algorithm)
    cells = [attribute.name for attribute in fields(cls) if attribute.name in CELLS]
    if not cells:
        raise ConfigError(
            f"algorithm '{algorithm}' has none of the fields {', '.join(CELLS)} that a device could go to; write the config out"
        )
    tile: dict[str, Any] = {
        "type": "in_memory",
        "update_algorithm": {"type": algorithm, **dict.fromkeys(cells, device), **changes},
        "forward": PASS,
        "backward": PASS,
    }
    config = AnalogConfig.parse({"tile": tile})
    rule: Any = getattr(config.tile, "update_algorithm", None)
    return config.override({"tile.read": {**PASS, "input_range": "none"}}) if rule.reads else config
