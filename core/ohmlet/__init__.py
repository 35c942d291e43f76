"""Ohmlet simulates analog in-memory computing on PyTorch; every device, tile, noise model and algorithm is a plugin composed by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ohmlet.chip import Chip, ChipView, program
    from ohmlet.config.analog import AnalogConfig, load_config
    from ohmlet.convert import Report, convert, retarget, to_digital
    from ohmlet.explain import explain
    from ohmlet.hooks import hookimpl
    from ohmlet.registry import register, registry
    from ohmlet.save import load, save

_WHERE = {
    "AnalogConfig": "ohmlet.config.analog",
    "Chip": "ohmlet.chip",
    "ChipView": "ohmlet.chip",
    "Report": "ohmlet.convert",
    "convert": "ohmlet.convert",
    "explain": "ohmlet.explain",
    "hookimpl": "ohmlet.hooks",
    "load": "ohmlet.save",
    "load_config": "ohmlet.config.analog",
    "program": "ohmlet.chip",
    "register": "ohmlet.registry",
    "registry": "ohmlet.registry",
    "retarget": "ohmlet.convert",
    "save": "ohmlet.save",
    "to_digital": "ohmlet.convert",
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
    "registry",
    "retarget",
    "save",
    "to_digital",
]


def __getattr__(name: str) -> Any:
    # torch takes seconds to import, and listing plugins or asking for help does not need it.
    if name not in _WHERE:
        raise AttributeError(f"module 'ohmlet' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
