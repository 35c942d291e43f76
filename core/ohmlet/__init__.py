"""Ohmlet simulates analog in-memory computing on PyTorch; every device, tile, noise model and algorithm is a plugin composed by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ohmlet.calibration import Calibration, calibrate
    from ohmlet.chip import Chip, ChipView, FaultMap, Faults, WriteVerify, attach, export_targets, program
    from ohmlet.clipping import clip_stored
    from ohmlet.config.analog import AnalogConfig, load_config
    from ohmlet.config.build import build
    from ohmlet.conversion import Report, convert, retarget, to_digital
    from ohmlet.experiment.sensitivity import sensitivity
    from ohmlet.explanation import explain
    from ohmlet.hooks import hookimpl
    from ohmlet.linalg import AnalogMatrix, array
    from ohmlet.registry import register
    from ohmlet.shards import load_sharded
    from ohmlet.storage import load, save

_WHERE = {
    "AnalogConfig": "ohmlet.config.analog",
    "AnalogMatrix": "ohmlet.linalg",
    "Calibration": "ohmlet.calibration",
    "Chip": "ohmlet.chip",
    "ChipView": "ohmlet.chip",
    "FaultMap": "ohmlet.chip",
    "Faults": "ohmlet.chip",
    "Report": "ohmlet.conversion",
    "WriteVerify": "ohmlet.chip",
    "array": "ohmlet.linalg",
    "attach": "ohmlet.chip",
    "build": "ohmlet.config.build",
    "calibrate": "ohmlet.calibration",
    "clip_stored": "ohmlet.clipping",
    "convert": "ohmlet.conversion",
    "explain": "ohmlet.explanation",
    "export_targets": "ohmlet.chip",
    "hookimpl": "ohmlet.hooks",
    "load": "ohmlet.storage",
    "load_config": "ohmlet.config.analog",
    "load_sharded": "ohmlet.shards",
    "program": "ohmlet.chip",
    "register": "ohmlet.registry",
    "retarget": "ohmlet.conversion",
    "save": "ohmlet.storage",
    "sensitivity": "ohmlet.experiment.sensitivity",
    "to_digital": "ohmlet.conversion",
}

__all__ = [
    "AnalogConfig",
    "AnalogMatrix",
    "Calibration",
    "Chip",
    "ChipView",
    "FaultMap",
    "Faults",
    "Report",
    "WriteVerify",
    "__version__",
    "array",
    "attach",
    "build",
    "calibrate",
    "clip_stored",
    "convert",
    "explain",
    "export_targets",
    "hookimpl",
    "load",
    "load_config",
    "load_sharded",
    "program",
    "register",
    "retarget",
    "save",
    "sensitivity",
    "to_digital",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and listing plugins or asking for help does not need it.
    from importlib import import_module

    if name in {"cells", "errors", "nn", "optim", "testing"}:
        return import_module(f"ohmlet.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'ohmlet' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
