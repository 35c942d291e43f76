"""Configs as files: YAML 1.2 (1e-3 is a number), TOML and JSON, with limits that keep a hostile file harmless."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from ohmlet.errors import ConfigError, shortened

__all__ = ["dumps", "read", "write"]

LARGEST = 1 << 17
"""Bytes; configs are a few kB."""
MOST_VALUES = 100_000
DEEPEST = 40
TAGS = {"!!str", "!!int", "!!float", "!!bool", "!!null", "!!timestamp", "!!seq", "!!map", "!!merge"}

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
        if not path.exists():
            raise ConfigError(f"{path}: no such file")
        if not path.is_file():
            raise ConfigError(f"{path}: a {'folder' if path.is_dir() else 'device'}, not a file")
        size = path.stat().st_size
        if size > LARGEST:
            raise ConfigError(f"{path}: {size / 1000:.0f} kB is no config; at most {LARGEST / 1000:.0f} kB are read")
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.object[error.start]:#04x} at position {error.start})") from None
    except OSError as error:
        raise ConfigError(f"{shortened(str(path))}: cannot be read: {error.strerror}") from None
    return parse(text, form, str(path))


def parse(text: str, form: str, name: str = "config") -> dict[str, Any]:
    """Return the mapping that a text in "yaml", "toml" or "json" holds; raises ConfigError naming the line of a syntax error."""
    if not text.strip():
        raise ConfigError(f"{name}: empty")
    try:
        _skim(text)
        value = {"yaml": _yaml, "toml": _toml, "json": _json}[form](text)
    except RecursionError:
        raise ConfigError(f"{name}: nested too deeply") from None
    except ConfigError as error:
        raise ConfigError(*(f"{name}: {problem}" for problem in error.problems)) from None
    if not isinstance(value, dict):
        raise ConfigError(f"{name}: expected a mapping at the top, got {'nothing' if value is None else shortened(value)}")
    return value


def _skim(text: str) -> None:
    """Raise ConfigError for texts on which the parsers' time grows with the square of their length."""
    if max(accumulate((mark in "[{") - (mark in "]}") for mark in text)) > 5 * DEEPEST:
        raise ConfigError("nested too deeply")
    if any(piece.count(".") > 1000 for piece in re.split(r"[\n,=]", text)):
        raise ConfigError("a key or a text of more than 1000 dots")


def _yaml(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor
    from ruamel.yaml.error import MarkedYAMLError

    class Checked(SafeConstructor):  # type: ignore[misc, unused-ignore]
        def construct_document(self, node: Any) -> Any:
            # Before anything is built: a few lines of aliases or merges can stand for billions of values.
            _check(node, _nodes)
            return super().construct_document(node)

    if re.match(r"%YAML\s+(?!1\.2\b)", text):
        raise ConfigError("not YAML 1.2: leave the %YAML line out")
    reader = YAML(typ="safe", pure=True)
    reader.Constructor = Checked
    reader.composer.warn_double_anchors = False  # YAML lets a name be given anew
    try:
        return reader.load(text)
    except (ConfigError, RecursionError):
        raise
    except MarkedYAMLError as error:
        problem = (error.problem or error.context).replace("character '\\t' that cannot start any token", "a tab: indent with spaces")
        raise ConfigError(f"not YAML: {_place(error.problem_mark) if error.problem_mark else ''}{problem}") from None
    except Exception as error:  # what a tag such as !!bool makes of a text that is none
        raise ConfigError(f"not YAML: {str(error).partition(chr(10))[0]}") from None


def _place(mark: Any) -> str:
    return f"line {mark.line + 1}, column {mark.column + 1}: "


def _nodes(node: Any) -> list[Any]:
    """Return the nodes inside a YAML node; raises ConfigError for a tag or a key that configs do not have."""
    tag = str(node.tag).replace("tag:yaml.org,2002:", "!!")
    if tag not in TAGS:
        raise ConfigError(f"{_place(node.start_mark)}the tag {shortened(tag)} is not read; configs hold mappings, lists, numbers and text")
    if node.id != "mapping":
        return list(node.value) if node.id == "sequence" else []
    for key, _ in node.value:
        if not str(key.tag).endswith((":str", ":merge")):
            raise ConfigError(f"{_place(key.start_mark)}keys are text: {shortened(key.value) if key.id == 'scalar' else 'a ' + key.id}")
    return [value for _, value in node.value]


def _toml(text: str) -> Any:
    import tomllib

    try:
        value = tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(f"not TOML: {error}") from None
    _check(value, _values)
    return value


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for key, value in pairs:
            if key in made:
                raise ConfigError(f"key {shortened(key)} stands twice")
            made[key] = value
        return made

    try:
        value = json.loads(text, object_pairs_hook=once)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(f"not JSON: {error}") from None
    _check(value, _values)
    return value


def _values(value: Any) -> list[Any]:
    """Return the values inside a value."""
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def _check(value: Any, inside: Callable[[Any], list[Any]]) -> None:
    """Raise ConfigError for a value that contains itself, is nested too deeply or holds too many values, those of aliases included."""
    count = 0

    def walk(value: Any, above: tuple[int, ...]) -> None:
        nonlocal count
        count += 1
        if count > MOST_VALUES:
            raise ConfigError(f"more than {MOST_VALUES} values, those of aliases included")
        if id(value) in above:
            raise ConfigError("an alias refers to a mapping or list that contains it")
        if len(above) > DEEPEST:
            raise ConfigError(f"nested more than {DEEPEST} deep")
        for inner in inside(value):
            walk(inner, (*above, id(value)))

    walk(value, ())


def dumps(value: Mapping[str, Any], form: str) -> str:
    """Return plain data as a text in "yaml", "toml" or "json"; TOML has no null, so empty values are left out there.

    Where the preset that a config names would fill in one of them, its name is left out too, with a comment and a warning.
    """
    if form not in FORMATS.values():
        raise ConfigError(f"unknown format {shortened(form)}; known: json, toml, yaml")
    if form == "toml":
        import tomli_w

        unnamed: list[tuple[str, str]] = []
        text = tomli_w.dumps(_without_null(value, unnamed))
        why = "not named: what is null here would be the preset's, and TOML has no null"
        notes = [f"{path}: from preset '{name}', {why}" for path, name in unnamed]
        for note in notes:
            warnings.warn(f"{note}; YAML and JSON keep the name", stacklevel=2)
        return "".join(f"# {note}\n" for note in notes) + text
    if form == "json":
        return json.dumps(_spelled(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.width = 120
    # The writer takes these marks for text and the reader for line ends; escaped, they survive.
    yaml.allow_unicode = not re.search("[\x85\u2028\u2029\ufeff]", json.dumps(_spelled(value), ensure_ascii=False))
    out = io.StringIO()
    yaml.dump(value, out)
    return out.getvalue()


def _without_null(value: Any, unnamed: list[tuple[str, str]], path: str = "") -> Any:
    """Return a value without nulls; adds to `unnamed` (path, preset) of each config whose preset would fill in what is left out."""
    if isinstance(value, Mapping):
        # A part with a type takes nothing from its preset but the name; a config does, and a null left out would come back as a value.
        fills = value.get("preset") if "type" not in value else None
        drop = {"preset"} if fills is not None and not _null_too(value, fills) else set()
        unnamed += [(path or "config", str(fills)) for _ in drop]
        kept = {key: inner for key, inner in value.items() if inner is not None and key not in drop}
        return {key: _without_null(inner, unnamed, f"{path}.{key}" if path else str(key)) for key, inner in kept.items()}
    if isinstance(value, list):
        return [_without_null(inner, unnamed, f"{path}[{index}]") for index, inner in enumerate(value) if inner is not None]
    return value


def _null_too(value: Any, preset: Any) -> bool:
    """Whether all that is null in a config is null or absent in the preset of that name."""
    from ohmlet.config.analog import AnalogConfig

    if not _has_null(value):
        return True
    try:
        own = AnalogConfig.parse(preset).to_plain()
    except ConfigError:
        return False

    def same(inner: Any, theirs: Any) -> bool:
        if inner is None:
            return theirs is None
        if isinstance(inner, Mapping):
            return all(same(each, theirs.get(key) if isinstance(theirs, Mapping) else None) for key, each in inner.items())
        if isinstance(inner, list) and isinstance(theirs, list) and len(inner) == len(theirs):
            return all(map(same, inner, theirs))
        return not _has_null(inner)

    return same(value, own)


def _has_null(value: Any) -> bool:
    if isinstance(value, Mapping | list):
        return any(_has_null(inner) for inner in (value.values() if isinstance(value, Mapping) else value))
    return value is None


def _spelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _spelled(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_spelled(inner) for inner in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def write(value: Mapping[str, Any], path: str | Path) -> None:
    """Write plain data to a file in the format that its name's ending states; raises ConfigError when it cannot be written."""
    path = Path(path)
    text = dumps(value, format_of(path))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from None
