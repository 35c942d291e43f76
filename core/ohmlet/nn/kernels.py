"""Which function computes an operation on which device, decided once when a layer is built."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any

from attrs import frozen

from ohmlet.errors import ConfigError, PluginError
from ohmlet.interfaces.engine import Engine
from ohmlet.registry import Entry, registry

__all__ = ["Kernels", "kernels_of"]

DEVICE_TYPES = ("cpu", "cuda", "mps", "xpu", "meta")


@frozen
class Kernels:
    """The kernels of one engine (or the best of all, for `auto`) as a table, which pickles and which a compiler can read."""

    engine: str
    table: dict[tuple[str, str], Callable[..., Any]]

    def __call__(self, operation: str, device_type: str) -> Callable[..., Any]:
        """Return the function of an operation on a torch device type; raises ConfigError when the engine has none."""
        if (operation, device_type) not in self.table:
            has = ", ".join(sorted({f"{op} on {device}" for op, device in self.table}))
            raise ConfigError(f"engine '{self.engine}' has no {operation} on {device_type} tensors (it has {has}); set engine to auto")
        return self.table[operation, device_type]


@functools.cache
def _all(entries: tuple[Entry, ...]) -> list[Engine]:
    """Return the engines that can run, of those registered now: an engine that fails to import is tried once, not at every layer."""
    del entries  # what the answer depends on
    engines = []
    for entry, cls in registry("engine").survey():
        if isinstance(cls, PluginError):
            logging.getLogger("ohmlet").info("engine %s is left out: %s", entry.name, cls)
        elif cls().unavailable() is None:
            engines.append(cls())
    return engines


def kernels_of(name: str) -> Kernels:
    """Return the kernels of an engine by name, or for `auto` the most preferred of all that can run.

    Raises ConfigError when the named engine cannot run here, with its reason.
    """
    if name == "auto":
        engines = _all(tuple(entry for entries in registry("engine").entries().values() for entry in entries))
    else:
        engine: Engine = registry("engine").get(name)()
        if engine.unavailable():
            raise ConfigError(f"engine '{name}' cannot run here: {engine.unavailable()}")
        engines = [engine]
    ranked: dict[tuple[str, str], tuple[int, Callable[..., Any]]] = {}
    for engine in engines:
        for operation, function in engine.kernels().items():
            for device_type in DEVICE_TYPES:
                preference = engine.preference(device_type)
                if preference is not None and preference >= ranked.get((operation, device_type), (preference, None))[0]:
                    ranked[operation, device_type] = (preference, function)
    return Kernels(name, {key: function for key, (_, function) in ranked.items()})
