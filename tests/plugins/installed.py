"""Distributions that look installed: the metadata that pip would write, without pip."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["write_metadata", "write_metadata_of"]


def write_metadata(
    folder: Path, name: str, version: str, points: Mapping[str, Mapping[str, str]], requires: Sequence[str] = ("ohmlet",)
) -> None:
    """Write `<name>-<version>.dist-info` with entry points (group -> name -> target) into a folder that is on the path."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = ["Metadata-Version: 2.4", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
    (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
    groups = [f"[{group}]\n" + "".join(f"{key} = {target}\n" for key, target in entries.items()) for group, entries in points.items()]
    (info / "entry_points.txt").write_text("\n".join(groups), "utf-8")


def write_metadata_of(pyproject: Path, folder: Path) -> None:
    """Write what installing a project would."""
    project = tomllib.loads(pyproject.read_text("utf-8"))["project"]
    write_metadata(folder, project["name"], project["version"], project["entry-points"], project["dependencies"])
