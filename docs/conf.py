"""How Sphinx builds the documentation; `make docs` turns its warnings into errors."""

from __future__ import annotations

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from tables import with_plugins

project = "Ohmlet"
author = "The Ohmlet authors"
project_copyright = author
version = release = installed_version("ohmlet")

extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build", "changelog.d"]
html_theme = "furo"
html_title = f"Ohmlet {release}"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"

CODE = re.compile(r"`([^`]+)`")


def escaped(line: str) -> str:
    """Return a line of plain text as reStructuredText: `code` becomes literal, every other mark of the markup is taken as it is."""
    parts = CODE.split(line)
    parts[::2] = [re.sub(r"([\\*|_`])", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [rf"\ ``{code}``\ " for code in parts[1::2]]
    return "".join(parts)


def plain_text(_app: Any, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Turn a docstring, which is plain text with `code` and indented blocks, into reStructuredText."""
    made: list[str] = []
    literal = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not literal:
            made += ["", "::", ""]
        literal = indented or (literal and not line)
        if not indented and made and made[-1].startswith("    "):
            made.append("")
        made.append(line if indented or not line else escaped(line))
    lines[:] = [*made, ""]


def built_in_plugins(_app: Any, _page: str, source: list[str]) -> None:
    """Put what is said of the built-in plugins into a page that asks for it (docs/tables.py)."""
    source[0] = with_plugins(source[0])


def setup(app: Any) -> None:
    """Register the docstring reader and the plugin reference."""
    app.connect("autodoc-process-docstring", plain_text)
    app.connect("source-read", built_in_plugins)
