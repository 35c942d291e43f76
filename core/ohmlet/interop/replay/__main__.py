"""`python -m ohmlet.interop.replay DIR`: one row per case; exit status 1 if any falls short."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from ohmlet.errors import OhmletError
from ohmlet.interop.replay.case import Case, read_cases
from ohmlet.interop.replay.compare import Verdict, compare

__all__ = ["main", "verdict"]

REPLAYS = {
    "mvm_deterministic": "ohmlet.interop.replay.mvm:deterministic",
    "mvm_irdrop_t": "ohmlet.interop.replay.mvm:time_coded",
    "mvm_stochastic": "ohmlet.interop.replay.mvm:stochastic",
    "noise_model": "ohmlet.interop.replay.inference:replay",
    "converter": "ohmlet.interop.replay.inference:replay",
    "drift_compensation": "ohmlet.interop.replay.inference:replay",
    "weight_modifier": "ohmlet.interop.replay.weights:modifier",
    "weight_clip": "ohmlet.interop.replay.weights:clip",
    "weight_remap": "ohmlet.interop.replay.weights:remap",
}


def verdict(case: Case, engine: str) -> Verdict:
    """Return the verdict on one case; a kind that nothing replays yet, and an error, are failures with their reason."""
    if case.kind not in REPLAYS:
        return Verdict(case.id, "-", float("nan"), "-", False, f"kind '{case.kind}' is not replayed yet")
    module, _, name = REPLAYS[case.kind].partition(":")
    try:
        replay: Callable[..., Mapping[str, Any]] = getattr(import_module(module), name)
        return compare(case, replay(case.data, case.inputs(), engine))
    except (OhmletError, ArithmeticError, KeyError, ValueError, RuntimeError, ImportError) as error:
        return Verdict(case.id, "-", float("nan"), "-", False, f"{type(error).__name__}: {error}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--engine", default="auto", show_default=True, help="The engine to replay on.")
@click.option("--groups", default="", help="Letters of the groups to replay, such as ABF; all unless given.")
@click.option("--case", "only", multiple=True, help="Replay this case only; may be repeated.")
def main(folder: Path, engine: str, groups: str, only: tuple[str, ...]) -> None:
    """Replay the cases in FOLDER and print a row for each: id, worst statistic, figure, tolerance, pass or fail."""
    shown = failed = 0
    try:
        for case in read_cases(folder):
            if (groups and case.id[0] not in groups) or (only and case.id not in only):
                continue
            result = verdict(case, engine)
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
