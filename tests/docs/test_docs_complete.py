"""The documentation is complete and true to the sources: every plugin, setting, command, option and message has its place."""

from __future__ import annotations

import inspect
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import click
import pytest

from ohmlet import errors, status
from ohmlet.cli.main import COMMANDS, ohmlet_group
from ohmlet.registry import KINDS, registry

DOCS = Path(__file__).parents[2] / "docs"
tables: Any = module_from_spec(spec_from_file_location("tables", DOCS / "tables.py"))  # type: ignore[arg-type]
tables.__spec__.loader.exec_module(tables)

BUILT_IN = [(kind, entry.name) for kind in KINDS for entry in tables.built_in(kind)]
PHYSICS = [each for each in BUILT_IN if each[0] in {"noise_model", "drift_compensation", "preset"} and each[1] != "none"]
VALUES = re.compile(r"\.\.\.|'\w+'\??|noise_model|[\w.:-]*\b(?:ohmlet|Ferro)[\w.:=<>,-]*|\d\S*")
"""What differs from message to message in the quoted ones."""
DOI = re.compile(r"\bdoi:10\.\d{4,}/\S+")


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize("path", sorted(tables.pages()), ids=lambda path: path.stem)
def test_tables_are_those_of_the_sources(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text == tables.with_tables(text), f"docs/{path.name} is behind the sources: run `python docs/tables.py`"


def test_plugin_reference_has_every_kind() -> None:
    assert set(re.findall(r"^% plugins (\w+)$", page("plugin_reference"), re.MULTILINE)) == set(KINDS)
    missing = [kind for kind in KINDS if f"`ohmlet.{kind}`" not in page("plugins")]
    assert not missing, f"docs/plugins.md does not name the entry-point groups of {missing}"


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_plugin_stands_in_the_reference(kind: str, name: str) -> None:
    cls = registry(kind).get(f"ohmlet:{name}")
    section = tables.with_plugins(f"% plugins {kind}")
    assert f"### {name}\n" in section
    assert f".. autoclass:: {cls.__module__}.{cls.__qualname__}()" in section
    listed = page("plugins").partition(f"\n| `{kind}` |")[2].partition("\n")[0]
    assert f"`{name}`" in listed, f"docs/plugins.md does not list {kind} {name} as built in"


@pytest.mark.parametrize(("kind", "name"), BUILT_IN)
def test_plugin_opens_with_one_sentence(kind: str, name: str) -> None:
    first = (inspect.getdoc(registry(kind).get(f"ohmlet:{name}")) or "").partition("\n")[0]
    assert re.fullmatch(r"[A-Z0-9](?:(?!\. ).)*\.", first), f"the docstring opens with one sentence on one line: {first!r}"


@pytest.mark.parametrize(("kind", "name"), PHYSICS)
def test_physics_names_its_source(kind: str, name: str) -> None:
    cls = registry(kind).get(f"ohmlet:{name}")
    source = getattr(cls, "source", "") + (inspect.getdoc(cls) or "")
    assert DOI.search(source), f"{kind} {name} needs the publication that its equations and numbers come from, with a DOI"


def test_every_command_and_option_is_documented() -> None:
    text = page("cli")
    context = click.Context(ohmlet_group, info_name="ohmlet")
    for name in COMMANDS:
        command = ohmlet_group.get_command(context, name)
        assert command is not None
        section = text.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, f"docs/cli.md has no section on {name}"
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("--")]
        missing = [option for option in options if not re.search(rf"^\| `{option}[ `]", section, re.MULTILINE)]
        assert not missing, f"docs/cli.md does not say what {missing} of {name} does"
        stale = set(re.findall(r"^\| `(--[\w-]+)", section, re.MULTILINE)) - set(options)
        assert not stale, f"docs/cli.md describes {stale}, which {name} does not have"


def test_status_words_are_documented() -> None:
    source = inspect.getsource(status)
    words = re.findall(r"^\| `(\w+)` \| ", page("cli").partition("\n## list\n")[2].partition("\n## ")[0], re.MULTILINE)
    assert set(words) >= {"ok", "found", "ambiguous", "broken"}
    assert all(f'"{word}"' in source for word in words), f"ohmlet list knows no status {words}"


def test_messages_in_the_plugin_page_are_those_of_the_registry() -> None:
    # Braces hold values, in the sources as on the page names and versions do; what is left are the words.
    source = re.sub(r"\"\n\s+f?\"|\{[^{}]*\}", "", inspect.getsource(inspect.getmodule(registry)))  # type: ignore[arg-type]
    rows = re.findall(r"^\| `(.+?)` \| ", page("plugins").partition("\n## When something is wrong\n")[2], re.MULTILINE)
    assert len(rows) > 8
    for row in rows:
        longest = max((piece.strip(" ,;:()") for piece in VALUES.split(row)), key=len)
        assert longest in source, f"docs/plugins.md quotes {longest!r}, which the registry does not say"


def test_errors_are_documented() -> None:
    """Those that a user meets by name are in the Python API, which prints the module; each says in a sentence when it is raised."""
    for name in errors.__all__:
        assert (inspect.getdoc(getattr(errors, name)) or "").partition("\n")[0].endswith((".", ";")), name
