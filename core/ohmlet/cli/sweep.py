"""A sweep on the command line: progress, a table at the end, and how to go on when it is stopped."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ohmlet.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from ohmlet.experiment.sweep import Swept

__all__ = ["run_sweep"]


def run_sweep(
    swept: Swept,
    folder: Path,
    console: Console,
    *,
    storage: str | None,
    resume: bool,
    fresh: bool,
    allow_import: bool,
    quiet: bool,
    again: Sequence[str],
) -> int:
    """Run a sweep and return the exit status: 0, 1 when a point failed, 130 when it was stopped; `again` is the command that goes on."""
    from ohmlet.experiment.checkpoint import Interrupted
    from ohmlet.experiment.progress import Bars, Quiet
    from ohmlet.experiment.sweep_report import best_command, notes, table
    from ohmlet.experiment.sweep_run import SweepRun

    if not quiet:
        axes = ", ".join(swept.sweep.over)
        console.print(
            f"{swept.name}: {swept.sweep.size} points ({swept.sweep.method}) over {axes}, "
            f"seeds {', '.join(map(str, swept.seeds))}, results go to {folder}",
            highlight=False,
        )
    run = SweepRun(swept, folder, Quiet() if quiet else Bars(console), storage=storage, allow_import=allow_import, fresh=fresh)
    if resume and not run.resumed:
        raise ConfigError(f"{folder} holds no sweep to resume")
    if run.resumed and not quiet:
        over = run.study.counts()[0]
        console.print(f"going on with a study of which {over} points are over", highlight=False)
    try:
        results = run()
    except Interrupted:
        console.print(f"stopped; resume with: {shlex.join([*again, '--resume'])}", highlight=False, soft_wrap=True)
        return 130
    console.print(table(results))
    for line in notes(swept, results):
        console.print(f"  {line}", highlight=False, soft_wrap=True, markup=False)
    if results["best"] is not None:
        command = best_command(swept, results, again[2], str(folder / "best.yaml"))
        console.print(f"  the best {results['objective']} alone: {command}", highlight=False, soft_wrap=True, markup=False)
    names = ["trials.csv", "results.json", "sweep.png", "best.yaml", "experiment.yaml", "report.md"]
    written = [str(folder / name) for name in names if (folder / name).exists()]
    console.print(f"written: {', '.join(written)}", highlight=False, soft_wrap=True)
    return 1 if any("error" in trial for trial in results["trials"]) else 0
