"""What a sweep leaves behind: trials.csv, results.json, a plot, the best point as a file and as a command, a report."""

from __future__ import annotations

import csv
import json
import math
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

import ohmlet
from ohmlet.config import files
from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.comparison import Comparison
from ohmlet.experiment.sweep import Swept
from ohmlet.experiment.sweep_plot import draw, short
from ohmlet.hooks import hooks

if TYPE_CHECKING:
    from ohmlet.experiment.sweep_run import SweepRun
    from ohmlet.experiment.sweep_study import Study

__all__ = ["best_command", "notes", "results_of", "rows_of", "table", "write_report"]


MOST_CHANGES = 4
"""Changes that a command line still shows well."""


def results_of(swept: Swept, study: Study) -> dict[str, Any]:
    """Return all that a finished study says, as plain data; no times of day, durations or paths."""
    trials: list[dict[str, Any]] = []
    samples, on = 0, "test"
    for index, trial in sorted(study.latest().items()):
        row: dict[str, Any] = {"index": index, "point": study.point_of(trial)}
        if (outcome := trial.user_attrs.get("outcome")) is not None:
            samples, on = outcome["samples"], outcome["on"]
            row |= {"accuracy": outcome["curves"], "objective": trial.value}
        else:
            row["error"] = trial.user_attrs.get("error", "no words")
        trials.append(row)
    done = [row for row in trials if "objective" in row]
    best = max(done, key=lambda row: row["objective"])["index"] if done else None
    judged = swept.judged()
    return {
        "schema": 1,
        "ohmlet": ohmlet.__version__,
        "name": swept.name,
        "sampler": swept.sweep.method,
        "axes": list(swept.sweep.over),
        "logarithmic": [name for name, axis in swept.sweep.over.items() if axis.log],
        "curves": swept.curves(),
        "objective": judged[0] if len(judged) == 1 else f"mean of {', '.join(judged)}",
        "seeds": list(swept.seeds),
        "evaluated_on": on,
        "samples": samples,
        "trials": trials,
        "best": best,
    }


def mean_and_spread(accuracies: Mapping[str, float]) -> tuple[float, float]:
    """Return mean and standard deviation over seeds, in %."""
    values = [100 * value for value in accuracies.values()]
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def told(accuracies: Mapping[str, float]) -> str:
    """Return mean±standard deviation over seeds, in %."""
    mean, spread = mean_and_spread(accuracies)
    return f"{mean:.1f}±{spread:.1f}"


def spoken(value: Any) -> str:
    """Return a swept value as tables show it."""
    return f"{value:.4g}" if isinstance(value, float) else value if isinstance(value, str) else json.dumps(value)


def heads_of(results: dict[str, Any]) -> list[str]:
    """Return the heads of the table's columns."""
    return [*short(results["axes"]), *results["curves"]]


def rows_of(results: dict[str, Any]) -> list[list[str]]:
    """Return the table's rows: the values of a point, and mean±spread of each accuracy in %, or that it failed."""
    rows = []
    for trial in results["trials"]:
        point = [spoken(trial["point"][name]) if name in trial["point"] else "" for name in results["axes"]]
        if "accuracy" in trial:
            cells = [told(trial["accuracy"][name]) for name in results["curves"]]
        else:
            cells = ["failed", *[""] * (len(results["curves"]) - 1)]
        rows.append([*point, *cells])
    return rows


def table(results: dict[str, Any]) -> Table:
    """Return the sweep for a terminal."""
    seeds = len(results["seeds"])
    title = f"{results['evaluated_on']} accuracy in %, mean±spread of {seeds} seed{'s' * (seeds > 1)}"
    made = Table(title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", header_style="bold")
    for head in heads_of(results):
        made.add_column(escape(head), justify="right")
    for trial, row in zip(results["trials"], rows_of(results), strict=True):
        made.add_row(*map(escape, row), style="bold" if trial["index"] == results["best"] else None)
    return made


def best_command(swept: Swept, results: dict[str, Any], file: str, best: str) -> str:
    """Return the command that runs the best point alone: the sweep's file with changes, or, where these are many, the file of the point."""
    changes = swept.changes(results["trials"][results["best"]]["point"])
    if len(changes) > MOST_CHANGES:
        return shlex.join(["ohmlet", "run", best])
    options = [option for path, value in changes.items() for option in ("--set", f"{path}={json.dumps(value)}")]
    return shlex.join(["ohmlet", "run", file, "--set", "sweep=null", *options])


def notes(swept: Swept, results: dict[str, Any]) -> list[str]:
    """Return what a reader should know of the table."""
    lines = [f"point {trial['index']} failed: {trial['error'].splitlines()[0]}" for trial in results["trials"] if "error" in trial]
    if results["best"] is None:
        return lines
    lines.append(f"one {results['evaluated_on']} sample is {100 / results['samples']:.2f} points; the spread is that of seeds")
    done = [trial for trial in results["trials"] if "accuracy" in trial]
    for curve in swept.judged() if len(done) > 1 else ():
        # Of equal ones the first.
        means = [mean_and_spread(trial["accuracy"][curve])[0] for trial in done]
        best = done[means.index(max(means))]
        at = ", ".join(f"{name} {spoken(best['point'][axis])}" for axis, name in zip(results["axes"], short(results["axes"]), strict=True))
        lines.append(f"best {curve}: {told(best['accuracy'][curve])} at {at}")
    if len(done) > 1:
        where = "" if isinstance(swept.base, Comparison) else ", or choose on evaluation.on validation"
        if results["evaluated_on"] == "test":
            lines.append(f"the best of {len(done)} points was lucky, too: run it with other seeds before you quote it{where}")
    return lines


def write_csv(results: dict[str, Any], path: Any) -> None:
    """Write a line for each accuracy (a fraction) with point, values of the axes, curve and seed, and one for each failed point."""
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["index", *results["axes"], "curve", "seed", "accuracy", "error"])
        for trial in results["trials"]:
            values = [trial["point"].get(name, "") for name in results["axes"]]
            at = [trial["index"], *(value if isinstance(value, str) else json.dumps(value) for value in values)]
            if "error" in trial:
                out.writerow([*at, "", "", "", trial["error"]])
            for curve, accuracies in trial.get("accuracy", {}).items():
                out.writerows([*at, curve, seed, accuracy, ""] for seed, accuracy in accuracies.items())


def write_report(run: SweepRun) -> None:
    """Write trials.csv, sweep.png, best.yaml, report.md and results.json into the run's folder."""
    swept, results, folder = run.experiment, run.results, run.folder
    with whole(folder / "trials.csv") as path:
        write_csv(results, path)
    text = [f"# {results['name']}", ""]
    heads = heads_of(results)
    text += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}", *(f"| {' | '.join(row)} |" for row in rows_of(results)), ""]
    text += [f"- {line}" for line in notes(swept, results)]
    if results["best"] is not None:
        best = results["trials"][results["best"]]
        with whole(folder / "sweep.png") as path:
            draw(results, path)
        with whole(folder / "best.yaml") as path:
            files.write(swept.at(best["point"]).to_plain(), path)
        text += ["", "![accuracy over the sweep](sweep.png)", "", "## The best point", ""]
        text += [f"Its {results['objective']} is {100 * best['objective']:.1f} %. It is in `best.yaml`, and runs alone by", ""]
        text += [f"    {best_command(swept, results, 'FILE', 'best.yaml')}", ""]
    text += ["## What each axis sets", ""]
    text += [f"- {name}: {', '.join(f'`{place.path}`' for place in swept.places(name))}" for name in results["axes"]]
    text.append("")
    for sections in hooks().ohmlet_report_sections(run=run):
        for title, body in sections:
            text += [f"## {title}", "", body, ""]
    with whole(folder / "report.md") as path:
        path.write_text("\n".join(text), encoding="utf-8")
    # Last, since a folder with results is a finished one.
    with whole(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
