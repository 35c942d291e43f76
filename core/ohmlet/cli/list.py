"""`ohmlet list`: every plugin that is installed, without importing torch."""

from __future__ import annotations

import json
import shutil
import sys

import click

__all__ = ["list_command"]

COLOURS = {"off": "yellow", "ok": "green", "found": "cyan", "ambiguous": "yellow", "broken": "red"}


@click.command("list")
@click.argument("kind", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--check", is_flag=True, help="Import every plugin and say which ones fail.")
def list_command(kind: str | None, as_json: bool, check: bool) -> int:
    """List the plugins of KIND, or of all kinds, with where they come from.

    Status: ok; found (its source was read but not run, since it imports torch; --check runs it); ambiguous (two distributions claim
    the name); off (by OHMLET_DISABLE_PLUGINS); broken, with the reason. Exit status 1 when --check finds a broken plugin.
    `ohmlet list preset` adds a line with family, conductance window, write and read conditions and source of each.
    """
    from ohmlet.status import rows

    listed = list(rows(kind, check=check))
    if as_json:
        click.echo(json.dumps([row.as_dict() for row in listed], indent=2))
    else:
        cells = [(row.kind, row.name, f"{row.distribution} {row.version}".strip(), row.status, row.detail) for row in listed]
        # Two lines for each preset only where presets were asked for.
        by_line = {line: row.facts for line, row in zip(cells, listed, strict=True)} if kind == "preset" else {}
        heads = ("kind", "name", "from", "status", "what")
        widths = [max(len(head), *(len(line[column]) for line in cells)) if cells else len(head) for column, head in enumerate(heads)]
        room = max(20, shutil.get_terminal_size().columns - sum(widths[:-1]) - 2 * (len(heads) - 1)) if sys.stdout.isatty() else None
        for line in (heads, *cells):
            what = line[-1] if room is None or len(line[-1]) <= room else f"{line[-1][: room - 1]}…"
            padded = [cell.ljust(width) for cell, width in zip(line[:-1], widths, strict=False)]
            padded[3] = click.style(padded[3], fg=COLOURS.get(line[3]))
            click.echo("  ".join([*padded, what]).rstrip())
            facts = by_line.get(line)
            if facts:
                click.echo(f"    {'; '.join(f'{word}: {value}' for word, value in facts.items() if word not in {'gives', 'status'})}")
    return 1 if check and any(row.status == "broken" for row in listed) else 0
