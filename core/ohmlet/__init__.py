"""Ohmlet simulates analog in-memory computing on PyTorch; every device, tile, noise model and algorithm is a plugin composed by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ohmlet.chip import Chip, ChipView, program
    from ohmlet.config.analog import AnalogConfig, load_config
    from ohmlet.conversion import Report, convert, retarget, to_digital
    from ohmlet.explanation import explain
    from ohmlet.hooks import hookimpl
    from ohmlet.registry import register
    from ohmlet.storage import load, save

_WHERE = {
    "AnalogConfig": "ohmlet.config.analog",
    "Chip": "ohmlet.chip",
    "ChipView": "ohmlet.chip",
    "Report": "ohmlet.conversion",
    "convert": "ohmlet.conversion",
    "explain": "ohmlet.explanation",
    "hookimpl": "ohmlet.hooks",
    "load": "ohmlet.storage",
    "load_config": "ohmlet.config.analog",
    "program": "ohmlet.chip",
    "register": "ohmlet.registry",
    "retarget": "ohmlet.conversion",
    "save": "ohmlet.storage",
    "to_digital": "ohmlet.conversion",
}

__all__ = [
    "AnalogConfig",
    "Chip",
    "ChipView",
    "Report",
    "__version__",
    "convert",
    "explain",
    "hookimpl",
    "load",
    "load_config",
    "program",
    "register",
    "retarget",
    "save",
    "to_digital",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and listing plugins or asking for help does not need it.
    from importlib import import_module

    if name in {"errors", "nn", "testing"}:
        return import_module(f"ohmlet.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'ohmlet' has no attribute {name!r}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
