"""Configs as files: YAML 1.2 (1e-3 is a number), TOML and JSON, with limits that keep a hostile file harmless."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ohmlet.errors import ConfigError

__all__ = ["dumps", "read", "write"]

LARGEST = 1 << 20
"""Bytes; configs are a few kB."""
MOST_VALUES = 100_000
DEEPEST = 40

FORMATS = {".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".json": "json"}


def format_of(path: Path) -> str:
    """Return the format that a file name's ending states; raises ConfigError for any other ending."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"{path}: a config file ends in {', '.join(FORMATS)}")
    return FORMATS[path.suffix.lower()]


def read(path: str | Path) -> dict[str, Any]:
    """Return a config file's content; raises ConfigError for what is missing, too large, unreadable, cyclic or no mapping."""
    path = Path(path)
    form = format_of(path)
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ConfigError(f"{path}: {size / 1e6:.1f} MB is no config; at most {LARGEST / 1e6:.1f} MB are read")
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(text, form, str(path))


def parse(text: str, form: str, name: str = "config") -> dict[str, Any]:
    """Return the mapping that a text in "yaml", "toml" or "json" holds; raises ConfigError naming the line of a syntax error."""
    try:
        value = {"yaml": _yaml, "toml": _toml, "json": _json}[form](text)
        _check(value, (), [0])
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    except ConfigError as error:
        raise ConfigError(*(f"{name}: {problem}" for problem in error.problems)) from None
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: expected a mapping at the top, got {type(value).__name__}")
    return value


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"not YAML: {where}{getattr(error, 'problem', None) or error}") from None


def _toml(text: str) -> Any:
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not TOML: {error}") from None


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise ConfigError(f"key {key!r} stands twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (json.JSONDecodeError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"not JSON: {error}") from None


def _check(value: Any, above: tuple[int, ...], count: list[int]) -> None:
    count[0] += 1
    if count[0] > MOST_VALUES:
        raise ConfigError(f"more than {MOST_VALUES} values (aliases counted each time)")
    if not isinstance(value, dict | list):
        return
    if id(value) in above:
        raise ConfigError("an alias refers to a mapping or list that contains it")
    if len(above) >= DEEPEST:
        raise ConfigError(f"nested more than {DEEPEST} deep")
    for key in value if isinstance(value, dict) else ():
        if not isinstance(key, str):
            raise ConfigError(f"keys are text: {key!r}")
    for inner in value.values() if isinstance(value, dict) else value:
        _check(inner, (*above, id(value)), count)


def dumps(value: Mapping[str, Any], form: str) -> str:
    """Return plain data as a text in "yaml", "toml" or "json"; TOML has no null, so empty values are left out there."""
    if form == "toml":
        import tomli_w

        return tomli_w.dumps(_without_null(value))
    if form == "json":
        return json.dumps(_spelled(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def _without_null(value: Any) -> Any:
    if isinstance(value, Mapping):
        # Values left out would come back from the preset, so its name goes with them.
        drop = {"preset"} if any(inner is None for inner in value.values()) else set()
        return {key: _without_null(inner) for key, inner in value.items() if inner is not None and key not in drop}
    if isinstance(value, list):
        return [_without_null(inner) for inner in value if inner is not None]
    return value


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(inner) for inner in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def write(value: Mapping[str, Any], path: str | Path) -> None:
    """Write plain data to a file in the format that its name's ending states."""
    path = Path(path)
    path.write_text(dumps(value, format_of(path)), encoding="utf-8")
