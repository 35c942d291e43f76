"""Dotted paths into plain data: `tile.forward.adc.bits=6`."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ohmlet.config.files import parse
from ohmlet.errors import ConfigError, shortened

__all__ = ["assignment", "with_paths"]


def assignment(text: str) -> tuple[str, Any]:
    """Return (path, value) of a text `path=value`, the value read as YAML; raises ConfigError for anything else."""
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        raise ConfigError(f"expected path=value, such as tile.forward.adc.bits=6, got {text!r}")
    return path.strip(), parse(f"value: {value}", "yaml", f"--set {path}")["value"]


def with_paths(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of `base` with the values at dotted paths replaced; a name on the way becomes a mapping with that `type`."""
    out = copy.deepcopy(dict(base))
    for path, value in changes.items():
        if not isinstance(path, str):
            raise ConfigError(f"a path is text such as tile.forward.adc.bits, got {shortened(path)}")
        at: Any = out
        *way, last = path.split(".")
        for index, key in enumerate(way):
            if not isinstance(at, dict):
                raise ConfigError(f"'{'.'.join(way[:index])}' has no parts, so '{path}' cannot be set")
            below = at.get(key)
            at[key] = {"type": below} if isinstance(below, str) else ({} if below is None else below)
            at = at[key]
        if not isinstance(at, dict):
            raise ConfigError(f"'{'.'.join(way)}' has no parts, so '{path}' cannot be set")
        at[last] = copy.deepcopy(value)
    return out
