"""`python -m ohmlet.interop.replay DIR`: one row per case; exit status 1 if any falls short."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from ohmlet.errors import OhmletError
from ohmlet.interop.replay.case import read_cases
from ohmlet.interop.replay.verdicts import REPLAYS, verdict, verdicts

__all__ = ["REPLAYS", "main", "verdict"]


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--engine", default="auto", show_default=True, help="The engine to replay on.")
@click.option("--groups", default="", help="Letters of the groups to replay, such as ABF; all unless given.")
@click.option("--jobs", default=0, show_default=True, help="Processes; 0 for one per core, or one alone for single cases.")
@click.option("--case", "only", multiple=True, help="Replay this case only; may be repeated.")
def main(folder: Path, engine: str, groups: str, jobs: int, only: tuple[str, ...]) -> None:
    """Replay the cases in FOLDER and print a row for each: id, worst statistic, figure, tolerance, pass or fail."""
    shown = failed = 0
    try:
        chosen = (case for case in read_cases(folder) if (not groups or case.id[0] in groups) and (not only or case.id in only))
        for case, result in verdicts(chosen, engine, jobs or (1 if only else os.cpu_count() or 1)):
            click.echo(f"{result}   {case.data.get('title', '')}" if result.passed else str(result))
            shown += 1
            failed += not result.passed
    except OhmletError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if not shown:
        click.echo(f"error: no case of {folder} was asked for", err=True)
        sys.exit(2)
    click.echo(f"{shown - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
