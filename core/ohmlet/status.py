"""How each registered plugin is doing, told without importing torch: what `ohmlet list` shows."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator, Mapping
from typing import Any

from attrs import asdict, evolve, frozen

from ohmlet.errors import PluginError
from ohmlet.interfaces.preset import CONDITIONS, FACTS, in_words
from ohmlet.registry import KINDS, Entry, Registry, canonical, registry, switched_off
from ohmlet.static_facts import constants, path_of

__all__ = ["PluginRow", "facts_of", "rows"]

HEAVY = {"torch", "ohmlet_kernels", "triton"}
"""Imports that take seconds: a plugin whose module starts with one of them is judged by its source."""


@frozen
class PluginRow:
    """One registered name; `detail` says what it is or what is wrong.

    `status` is "ok", "found" (its source was read, not run), "ambiguous" (two distributions claim the name), "off"
    (by OHMLET_DISABLE_PLUGINS) or "broken".
    """

    kind: str
    name: str
    distribution: str
    version: str
    target: str
    status: str
    detail: str
    facts: Mapping[str, str] = {}
    """What a preset states beside its settings, in words."""

    def as_dict(self) -> dict[str, Any]:
        """Return the row for JSON; `facts` of presets only."""
        return {name: value for name, value in asdict(self).items() if name != "facts" or value}


@frozen
class Source:
    """What a plugin's source says without being run."""

    problem: str = ""
    summary: str = ""
    imports: frozenset[str] = frozenset()
    constants: tuple[tuple[str, Any], ...] = ()


def source_of(entry: Entry) -> Source:
    """Return what the module of an entry says of its class: does it exist, are its imports installed, its first docstring line."""
    module, _, qualname = entry.target.partition(":")
    path = path_of(module)
    if path is None:
        return Source(problem=f"failed to import: no module named '{module}'")
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        return Source(problem=f"failed to import: {type(error).__name__}: {error}")
    imports = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            imports |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            imports.add(node.module.partition(".")[0])
    absent = sorted(name for name in imports if path_of(name) is None and importlib.util.find_spec(name) is None)
    if absent:
        return Source(problem=f"failed to import: no module named '{absent[0]}'")
    found = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == qualname), None)
    if found is None:
        return Source(
            problem="" if "." in qualname else f"failed to import: {path.name} defines no class {qualname}", imports=frozenset(imports)
        )
    summary = (ast.get_docstring(found) or "").partition("\n")[0]
    return Source(summary=summary, imports=frozenset(imports), constants=tuple(constants(tree, qualname).items()))


def _row(known: Registry[object], entry: Entry, check: bool) -> PluginRow:
    ours = entry.dist is not None and canonical(entry.dist) == "ohmlet"
    source = source_of(entry) if entry.point is not None else Source()
    status, detail = "ok", source.summary
    facts: dict[str, str] = {}
    if known.kind == "preset":
        facts = facts_of(entry, source)
        detail = f"[{facts['gives']}, {facts['status']}] {source.summary}"
    name = f"{entry.dist}:{entry.name}" if entry.dist else entry.name
    if entry.dist is not None and canonical(entry.dist) in switched_off():
        status, detail = "off", "switched off by OHMLET_DISABLE_PLUGINS"
    elif entry.requirement:
        status, detail = "broken", f"it needs {entry.requirement}"
    elif source.problem:
        status, detail = "broken", source.problem
    elif check or not (ours or source.imports & HEAVY):
        try:
            known.get(name)
        except PluginError as error:
            status, detail = "broken", str(error).partition(f"({entry.target}) ")[2] or str(error)
    elif not ours:
        status = "found"
    return PluginRow(known.kind, entry.name, entry.dist or "this process", entry.version or "", entry.target, status, detail, facts)


def facts_of(entry: Entry, source: Source | None = None) -> dict[str, str]:
    """Return what a preset states beside its settings, in words; what it does not state is that of the preset it is `based_on`."""
    if entry.point is None:
        found = {name: getattr(registry("preset").get(entry.name), name, None) for name in FACTS}
    else:
        found = dict((source or source_of(entry)).constants)
    base = found.get("based_on")
    if base and base != entry.name:
        for other in registry("preset").entries().get(base, [])[:1]:
            inherited = dict(source_of(other).constants)
            found = {
                **{name: inherited.get(name) for name in CONDITIONS},
                **{name: value for name, value in found.items() if value not in (None, "")},
            }
    return in_words(found)


def rows(kind: str | None = None, *, check: bool = False) -> Iterator[PluginRow]:
    """Yield a row for every registered plugin of a kind, or of all; `check` imports them all.

    Without `check` built-ins are listed by name and a stranger's module is imported unless it begins by importing torch, in which
    case only its source is read. Raises PluginError for an unknown kind.
    """
    for each in [kind] if kind else KINDS:
        known = registry(each)
        for name, entries in known.entries().items():
            for entry in entries:
                row = _row(known, entry, check)
                if len(entries) > 1 and row.status in {"ok", "found"}:
                    others = " and by ".join(str(other) for other in entries if other is not entry)
                    row = evolve(row, status="ambiguous", detail=f"also registered by {others}; write '{entry.dist}:{name}'")
                yield row
