"""Functions named in an experiment file, imported only when the user said that the file may."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from attrs import frozen

from ohmlet.errors import ConfigError

__all__ = ["Imports", "imported"]


@frozen
class Imports:
    """Whether an experiment file may import and run functions that it names."""

    allowed: bool = False


def imported(name: str, imports: Imports) -> Callable[..., Any]:
    """Return the function `package.module:function`; raises ConfigError when imports are not allowed or it cannot be had."""
    module, colon, function = name.partition(":")
    if not colon or not module or not function:
        raise ConfigError(f"write the function as package.module:function, got {name!r}")
    if not imports.allowed:
        raise ConfigError(f"the experiment runs your function {name}; add --allow-import to allow that")
    try:
        found = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{name} cannot be imported: {error}; is its folder on PYTHONPATH?") from error
    if not callable(found):
        raise ConfigError(f"{name} is no function but {found!r}")
    return found  # type: ignore[no-any-return]
