"""`ohmlet run`: an experiment with progress, a table at the end, and a checkpoint when it is interrupted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from ohmlet.cli.explain import settings

__all__ = ["run_command"]


@click.command("run")
@click.argument("file")
@click.option("--out", metavar="FOLDER", help="Where results go; runs/NAME unless given.")
@settings
@click.option("--resume", is_flag=True, help="Go on with an interrupted run; an error when there is none.")
@click.option("--fresh", is_flag=True, help="Start over, whatever an interrupted run left.")
@click.option("--storage", metavar="URL", help="The database of a sweep's study, SQLite in the output folder unless given.")
@click.option("--allow-import", is_flag=True, help="Let the file name functions of your own, which are imported and run.")
@click.option("--quiet", is_flag=True, help="No progress, only the table.")
def run_command(
    file: str, out: str | None, changes: Sequence[str], resume: bool, fresh: bool, storage: str | None, allow_import: bool, quiet: bool
) -> int:
    """Run the experiment in FILE: train, program chips, let them drift, evaluate; or train in memory and compare.

    With a section `programming` crossbars are programmed with pulses and computed with at circuit level.

    With a section `sweep` the file is run at many points; the exit status is 1 when one of them failed.

    Writes results.json, the resolved experiment.yaml, a plot and report.md into the output folder. Ctrl-C leaves a checkpoint,
    from which the same command goes on. The same file and seed give the same results.json.
    """
    from rich.console import Console

    from ohmlet.config.dotted import assignment
    from ohmlet.errors import ConfigError
    from ohmlet.experiment.circuit import CircuitExperiment
    from ohmlet.experiment.comparison import Comparison
    from ohmlet.experiment.sweep import Swept, load

    if resume and fresh:
        raise click.UsageError("--resume and --fresh exclude each other")
    experiment = load(file, dict(assignment(change) for change in changes))
    folder = Path(out) if out else Path("runs") / experiment.name
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder} is a file, and results need a folder")
    console = Console()
    again = ["ohmlet", "run", file, *(["--out", out] if out else []), *(part for change in changes for part in ("--set", change))]
    again += ["--allow-import"] * allow_import
    if isinstance(experiment, Swept):
        from ohmlet.cli.sweep import run_sweep

        options = {"resume": resume, "fresh": fresh, "allow_import": allow_import, "quiet": quiet}
        again += ["--storage", storage] if storage else []
        return run_sweep(experiment, folder, console, storage=storage, again=again, **options)
    if storage:
        raise click.UsageError("--storage is where a sweep keeps its study, and the file has no section 'sweep'")
    if not quiet:
        seeds = f"seeds {', '.join(map(str, experiment.seeds))}" if isinstance(experiment, Comparison) else f"seed {experiment.seed}"
        console.print(f"{experiment.name}: {seeds}, results go to {folder}", highlight=False)

    from ohmlet.experiment import circuit_report, comparison_report, report
    from ohmlet.experiment.checkpoint import Interrupted
    from ohmlet.experiment.circuit_run import CircuitRun
    from ohmlet.experiment.comparison_run import ComparisonRun
    from ohmlet.experiment.progress import Bars, Quiet
    from ohmlet.experiment.run import Run

    bars = Quiet() if quiet else Bars(console)
    run: Run | ComparisonRun | CircuitRun
    pictures: tuple[str, ...]
    if isinstance(experiment, CircuitExperiment):
        run = CircuitRun(experiment, folder, bars, allow_import=allow_import, fresh=fresh)
        table, words, pictures = circuit_report.table, circuit_report.notes, circuit_report.PICTURES
    elif isinstance(experiment, Comparison):
        run = ComparisonRun(experiment, folder, bars, allow_import=allow_import, fresh=fresh)
        table, words, pictures = comparison_report.table, comparison_report.notes, ("learning_curves.png",)
    else:
        run = Run(experiment, folder, bars, allow_import=allow_import, fresh=fresh)
        table, words, pictures = report.table, report.verdicts, ("accuracy.png",)
    if resume and not run.resumed:
        raise ConfigError(f"{folder} holds no interrupted run to resume")
    if run.resumed and not quiet:
        console.print("going on where the interrupted run stopped", highlight=False)
    try:
        results = run()
    except Interrupted:
        console.print(f"stopped; resume with: {shlex.join([*again, '--resume'])}", highlight=False, soft_wrap=True)
        return 130
    console.print(table(results))
    for line in words(results):
        console.print(f"  {line}", highlight=False, soft_wrap=True)
    if isinstance(run, CircuitRun):
        if run.found:
            console.print(f"{folder} holds these results of the same experiment already; --fresh computes them again", soft_wrap=True)
            return 0
        console.print(f"  {circuit_report.times(run.seconds)}", highlight=False, soft_wrap=True)
    console.print(
        f"written: {', '.join(str(folder / name) for name in ('results.json', 'experiment.yaml', *pictures, 'report.md'))}",
        highlight=False,
        soft_wrap=True,
    )
    return 0
