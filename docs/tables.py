"""What the documentation says of settings and plugins, made from the classes that define them.

A line `% fields module:Class` in a page stands above the table of that class; after a change of the sources `python docs/tables.py` writes
these tables anew, and the tables of presets below a line `% presets gives`. A line `% plugins kind` becomes, when the documentation is
built, all there is to say of a kind's built-in plugins.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from attrs import NOTHING, Attribute, Factory, fields, has

from ohmlet.config import files, plain
from ohmlet.interfaces.preset import FAMILIES
from ohmlet.registry import Entry, registry
from ohmlet.spec import Spec
from ohmlet.status import rows

__all__ = ["built_in", "pages", "with_plugins", "with_tables"]

DOCS = Path(__file__).parent
MARK = re.compile(r"^% fields (?P<target>[\w.]+:\w+)\n\n(?:(?:\|.*\n)+\n?)?", re.MULTILINE)
PRESETS = re.compile(r"^% presets (?P<gives>\w+)\n\n(?:(?:\|.*\n)+\n?)?", re.MULTILINE)
KIND = re.compile(r"^% plugins (?P<kind>\w+)$", re.MULTILINE)


def built_in(kind: str) -> list[Entry]:
    """Return the built-in plugins of a kind."""
    return [entry for entries in registry(kind).entries().values() for entry in entries if entry.dist == "ohmlet"]


def shown(value: Any) -> str:
    """Return a default as a config would write it."""
    if value is None:
        return "left out"
    if getattr(value, "preset", None):
        return f"`{value.preset}`"
    if isinstance(value, Spec):
        return f"`{registry(value.kind).name_of(type(value))}`"
    if hasattr(value, "type_name"):
        return f"`{value.type_name}`"
    if has(type(value)):
        return "its defaults"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, dict):
        return f"`{files.dumps(plain(value), 'yaml').strip()}`" if value else "empty"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def default(attribute: Attribute[Any]) -> str:
    """Return a field's default in words."""
    given: Any = attribute.default
    if given is NOTHING:
        return "required"
    if isinstance(given, Factory) and given.takes_self:  # type: ignore[arg-type]
        return "as suits the tile"
    return shown(given.factory() if isinstance(given, Factory) else given)  # type: ignore[arg-type]


def settings(cls: type) -> list[Attribute[Any]]:
    """Return the fields that a config may state."""
    return [attribute for attribute in fields(cls) if attribute.init and attribute.name != "preset"]


def table(target: str) -> str:
    """Return the table of the fields of a class, given as module:Class."""
    module, _, name = target.partition(":")
    lines = ["| field | default | unit | meaning |", "|---|---|---|---|"]
    for attribute in settings(getattr(import_module(module), name)):
        unit, meaning = attribute.metadata.get("unit", ""), attribute.metadata.get("doc", "").replace("|", r"\|")
        choices = attribute.metadata.get("choices")
        meaning += f" ({', '.join(f'`{choice}`' for choice in choices)})" if choices else ""
        lines.append(f"| `{attribute.name}` | {default(attribute)} | {'' if unit == '1' else unit} | {meaning} |")
    return "\n".join(lines) + "\n"


def presets(gives: str) -> str:
    """Return the table of the built-in presets of devices, by family, or of whole configs."""
    lines = ["| preset | family | numbers | window | write | source |", "|---|---|---|---|---|---|"]
    found = [row for row in rows("preset") if row.distribution == "ohmlet" and row.facts["gives"] == gives]
    for row in sorted(found, key=lambda row: (FAMILIES.index(row.facts["family"]), row.name)):
        cells = [f"`{row.name}`", *(row.facts[word] for word in ("family", "status", "window", "write", "source"))]
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join(lines) + "\n"


def described(cls: type) -> Iterator[str]:
    """Yield the paragraphs on one class: its docstring, which Sphinx fills in, and its settings."""
    yield f"```{{eval-rst}}\n.. autoclass:: {cls.__module__}.{cls.__qualname__}()\n```"
    if settings(cls):
        yield table(f"{cls.__module__}:{cls.__qualname__}").rstrip("\n")


def parts(cls: type, path: str, seen: set[type]) -> Iterator[str]:
    """Yield the paragraphs on the parts of a class that are no plugins themselves."""
    hints = get_type_hints(cls)
    for attribute in settings(cls):
        annotation = hints[attribute.name]
        union = get_origin(annotation) in {Union, types.UnionType}
        arms = list(get_args(annotation)) if union else [annotation]
        # What a mapping from names holds.
        arms = [get_args(arm)[1] if get_origin(arm) is Mapping else arm for arm in arms]
        arms = [arm for arm in arms if isinstance(arm, type) and has(arm)]
        arms = [arm for arm in arms if not issubclass(arm, Spec)]
        if not arms:
            continue
        here = f"{path}{attribute.name}"
        yield f"**`{here}`**: {attribute.metadata.get('doc', '')}"
        for arm in arms:
            if hasattr(arm, "type_name"):
                yield f"`type: {arm.type_name}`"
            if arm in seen:
                yield "as above"
                continue
            seen.add(arm)
            yield from described(arm)
            yield from parts(arm, f"{here}.", seen)


def reference(kind: str, seen: set[type]) -> str:
    """Return all that the reference says of the built-in plugins of a kind, their parts where they are met first."""
    paragraphs = []
    for entry in built_in(kind):
        cls = registry(kind).get(f"ohmlet:{entry.name}")
        paragraphs.append(f"### {entry.name}")
        if issubclass(cls, Spec):
            paragraphs += [*described(cls), *parts(cls, "", seen)]
        else:
            facts = [f"   .. autoattribute:: {name}" for name in ("gives", "status", "source")]
            paragraphs.append("\n".join(["```{eval-rst}", f".. autoclass:: {cls.__module__}.{cls.__qualname__}()", "", *facts, "```"]))
    return "\n\n".join(paragraphs or ["None is built in yet."])


def with_plugins(text: str) -> str:
    """Return a page's text with all there is to say of the built-in plugins in place."""
    seen: set[type] = set()
    return KIND.sub(lambda found: reference(found["kind"], seen), text)


def with_tables(text: str) -> str:
    """Return a page's text with every table of fields as its class has it now."""
    text = PRESETS.sub(lambda found: f"% presets {found['gives']}\n\n{presets(found['gives'])}\n", text)
    return MARK.sub(lambda found: f"% fields {found['target']}\n\n{table(found['target'])}\n", text).rstrip("\n") + "\n"


def pages() -> dict[Path, str]:
    """Return the text of every page that holds tables of fields."""
    texts = {page: page.read_text("utf-8") for page in sorted(DOCS.glob("*.md"))}
    return {page: text for page, text in texts.items() if MARK.search(text) or PRESETS.search(text)}


if __name__ == "__main__":
    for page, text in pages().items():
        page.write_text(with_tables(text), encoding="utf-8")
