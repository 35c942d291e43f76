"""Dotted paths into an experiment as sweeps take them: into the variants too, and `*` for every name that fits."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import frozen

from ohmlet.config.dotted import with_paths
from ohmlet.config.structure import plain
from ohmlet.errors import ConfigError
from ohmlet.experiment.comparison import Comparison, parsed
from ohmlet.registry import did_you_mean

__all__ = ["Place", "changed", "places"]

VARIANTS = (("compare",), ("evaluation", "variants"))
"""Where names have dotted changes to the hardware: what follows such a name is one of them."""


@frozen
class Place:
    """A value in an experiment: its path, the way to the variant that it is a change of, and what stands there (None: not looked up)."""

    path: str
    variant: tuple[str, ...] = ()
    change: str = ""
    value: Any = None

    def put(self, content: Mapping[str, Any], value: Any) -> dict[str, Any]:
        """Return a copy of an experiment's content with this value changed."""
        if not self.variant:
            return with_paths(content, {self.path: value})
        out = copy.deepcopy(dict(content))
        home: Any = out
        for name in self.variant[:-1]:
            home = home[name]
        # Changes apply in their order: one inside a part comes after the one that sets the part.
        held = {path: held for path, held in (home[self.variant[-1]] or {}).items() if path != self.change}
        home[self.variant[-1]] = {**held, self.change: copy.deepcopy(value)}
        return out


def changed(content: Mapping[str, Any], changes: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return an experiment's content with the values at dotted paths replaced; raises ConfigError for a path that fits nothing."""
    out = copy.deepcopy(dict(content))
    for where, value in changes.items():
        for place in places(out, where, path):
            out = place.put(out, value)
    return out


def places(content: Mapping[str, Any], where: str, path: str, *, looked_up: bool = False) -> list[Place]:
    """Return the places that a dotted path stands for, with what stands there when it has a `*` or when `looked_up`.

    A `*` stands for any letters within one name, and the path for every place that there is; without one the path is one place, which
    may be new. Raises ConfigError for a path that fits nothing, with the nearest name.
    """
    for home in VARIANTS:
        start = f"{'.'.join(home)}."
        held: Any = content
        for name in home:
            held = held.get(name) if isinstance(held, Mapping) else None
        if where.startswith(start) and isinstance(held, Mapping) and "." in where[len(start) :]:
            return _in_variants(content, where, path, home, list(held), where[len(start) :], looked_up)
    if "*" not in where and not looked_up:
        return [Place(where)]
    base = {name: value for name, value in content.items() if name != "sweep"}
    found = list(_matches(parsed(base, path).to_plain(), where.split(".")))
    if not found:
        raise ConfigError(_nothing(parsed(base, path).to_plain(), where, path))
    return [Place(".".join(names), value=value) for names, value in found]


def _in_variants(
    content: Mapping[str, Any], where: str, path: str, home: tuple[str, ...], names: list[str], tail: str, looked_up: bool
) -> list[Place]:
    exact = [name for name in names if tail.startswith(f"{name}.")]
    first, _, change = tail.partition(".")
    if exact:
        # Of `4` and `4.5`, the longer one is meant.
        chosen = [max(exact, key=len)]
        change = tail[len(chosen[0]) + 1 :]
    else:
        chosen = [name for name in names if _fits(name, first)]
    if not chosen:
        raise ConfigError(f"no variant '{first}', {did_you_mean(first, names)} @ {path}: {where}")
    if "*" not in where and not looked_up:
        return [Place(where, (*home, chosen[0]), change)]
    base = parsed({name: value for name, value in content.items() if name != "sweep"}, path)
    found, hardware = [], {}
    for name in chosen:
        changes = base.compare[name] if isinstance(base, Comparison) else base.evaluation.variants[name]
        hardware = plain(base.hardware.override(changes))
        for inner, value in _matches(hardware, change.split(".")):
            found.append(Place(".".join((*home, name, *inner)), (*home, name), ".".join(inner), value))
    if not found:
        raise ConfigError(_nothing(hardware, change, f"{path}: {where}"))
    return found


def _fits(name: str, pattern: str) -> bool:
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def _matches(value: Any, pattern: list[str], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in value.items() if isinstance(value, Mapping) else ():
        if _fits(name, pattern[0]):
            if len(pattern) == 1:
                yield (*above, name), inner
            else:
                yield from _matches(inner, pattern[1:], (*above, name))


def _nothing(value: Any, pattern: str, path: str) -> str:
    """Return the words for a path that fits nothing: the first name of it that none has, and the nearest that there is."""
    words = pattern.split(".")
    reached = next(count for count in range(len(words)) if not list(_matches(value, words[: count + 1])))
    inside = [inner for _, inner in _matches(value, words[:reached])] if reached else [value]
    names = {name for inner in inside if isinstance(inner, Mapping) for name in inner}
    within = f"in '{'.'.join(words[:reached])}' " if reached else ""
    return f"nothing {within}is called '{words[reached]}', {did_you_mean(words[reached], names)} @ {path}"
