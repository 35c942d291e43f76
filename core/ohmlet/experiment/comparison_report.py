"""What a comparison leaves behind: a table with the spread over seeds, learning curves, pulse counts, results.json, a report."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from ohmlet.experiment import aging
from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.comparison import DIGITAL
from ohmlet.hooks import hooks

if TYPE_CHECKING:
    from ohmlet.experiment.comparison_run import ComparisonRun

__all__ = ["LAST", "final", "notes", "rows_of", "table", "write_report"]

LAST = 3
"""Epochs at the end over which a training's accuracy is the mean: single ones jump by a point."""


def final(training: dict[str, Any]) -> float:
    """Return the accuracy that a training came to."""
    last: list[float] = training["accuracy"][-LAST:]
    return sum(last) / len(last)


def _of(results: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for training in results["trainings"]:
        found.setdefault(training["variant"], []).append(training)
    return found


def _mean_and_spread(values: list[float]) -> tuple[float, float]:
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def pulses(trainings: list[dict[str, Any]], vectors: int) -> dict[str, float]:
    """Return the pulses that a device of each array got for each training sample, mean over devices, layers and seeds."""
    counted: dict[str, list[float]] = {}
    for row in (row for training in trainings for row in training["pulses"]):
        held = counted.setdefault(row["array"], [0.0, 0.0])
        held[0] += row["up"] + row["down"]
        held[1] += row["devices"]
    return {array: count / devices / vectors for array, (count, devices) in counted.items()}


def rows_of(results: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the table's rows: variant, accuracy in % with spread over seeds, difference to the baseline, pulses per device and sample."""
    found = _of(results)
    base = {training["seed"]: final(training) for training in found[DIGITAL]}
    rows = []
    for variant, trainings in found.items():
        mean, spread = _mean_and_spread([100 * final(training) for training in trainings])
        gap, error = _mean_and_spread([100 * (final(training) - base[training["seed"]]) for training in trainings])
        counts = pulses(trainings, results["vectors"])
        rows.append(
            (
                variant,
                f"{mean:.1f}±{spread:.1f}",
                "" if variant == DIGITAL else f"{gap:+.1f}±{error:.1f}",
                ", ".join(f"{array} {count:.1e}" for array, count in counts.items()) or ("" if variant == DIGITAL else "not counted"),
            )
        )
    return rows


HEADS = ("", "accuracy %", "minus digital", "pulses per device and sample")


def table(results: dict[str, Any]) -> Table:
    """Return the comparison for a terminal."""
    title = f"test accuracy, mean±spread of {len(results['seeds'])} seeds; mean of the last {LAST} epochs"
    made = Table(title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", header_style="bold")
    for number, head in enumerate(HEADS):
        made.add_column(head, justify="right" if number in {1, 2} else "left", no_wrap=number < 3)
    for row in rows_of(results):
        made.add_row(*map(escape, row))
    return made


def _remarks(results: dict[str, Any]) -> list[str]:
    lines = [f"one test sample is {100 / results['samples']:.2f} points; the spread is that of {len(results['seeds'])} seeds"]
    counted = [training for training in results["trainings"] if training["variant"] != DIGITAL]
    if any(not training["pulses"] for training in counted):
        lines.append("pulses are counted of devices with count_pulses: true")
    return lines + _transfers(results)


def _transfers(results: dict[str, Any]) -> list[str]:
    """Return how much of its transfers has arrived with each variant that keeps account of them, mean over crossbars and seeds."""
    lines = []
    for variant, trainings in _of(results).items():
        found = [row for training in trainings for row in training.get("transfers", ())]
        if found:
            reached, residual = (sum(row[name] for row in found) / len(found) for name in ("reached", "residual"))
            worst = max(row["worst"] for row in found)
            lines.append(
                f"{variant}: {reached:.1%} of what was transferred has arrived, residual {residual:.3g} on average, at worst {worst:.3g}"
            )
    return lines


def notes(results: dict[str, Any]) -> list[str]:
    """Return what a reader should know of the table, and the accuracies over time if there are any."""
    lines, aged = _remarks(results), aging.lines(_of(results))
    if aged:
        lines += ["", f"{_over_time(results)}:", ""]
        widths = [max(map(len, column)) for column in zip(*aged, strict=True)]
        for name, *cells in aged:
            lines.append("  ".join([name.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))]))
    return lines


def _over_time(results: dict[str, Any]) -> str:
    chips = next(len(row["chips"][0]["instances"]) for row in results["trainings"] if "chips" in row)
    return f"accuracy in % over time after training, mean±spread of {len(results['seeds'])} x {chips} chips"


def draw(results: dict[str, Any], path: Any) -> None:
    """Write the learning curves: mean over seeds, with the range of the seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    for variant, trainings in _of(results).items():
        curves = [[100 * each for each in training["accuracy"]] for training in trainings]
        epochs = range(1, len(curves[0]) + 1)
        digital = variant == DIGITAL
        (line,) = axis.plot(
            epochs,
            [sum(at) / len(at) for at in zip(*curves, strict=True)],
            label=variant,
            color="black" if digital else None,
            linestyle="--" if digital else "-",
            marker="o" if len(curves[0]) < 3 else None,
        )
        if len(curves) > 1:
            low, high = zip(*((min(at), max(at)) for at in zip(*curves, strict=True)), strict=True)
            axis.fill_between(epochs, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.set_xlabel("epoch")
    axis.set_ylabel("test accuracy in %")
    axis.grid(alpha=0.3)
    figure.legend(fontsize="small", loc="outside right upper")
    count = len(results["seeds"])
    axis.set_title(
        f"{results['name']}: mean of {count} seeds, band from the worst to the best" if count > 1 else f"{results['name']}: one seed"
    )
    figure.savefig(path, dpi=120, metadata={"Software": None})


def write_report(run: ComparisonRun) -> None:
    """Write results.json, learning_curves.png and report.md into the run's folder."""
    results, folder = run.results, run.folder
    with whole(folder / "learning_curves.png") as path:
        draw(results, path)
    text = [f"# {results['name']}", "", f"| {' | '.join(HEADS)} |", f"|{'---|' * len(HEADS)}"]
    text += [f"| {' | '.join(row)} |" for row in rows_of(results)]
    aged = aging.lines(_of(results))
    text += ["", *(f"- {line}" for line in _remarks(results)), "", "![learning curves](learning_curves.png)", ""]
    if aged:
        with whole(folder / "aging.png") as path:
            aging.draw(_of(results), f"{results['name']}: error bars one standard deviation", path)
        text += ["## Over time", "", f"{_over_time(results)}.", "", f"| {' | '.join(aged[0])} |", f"|{'---|' * len(aged[0])}"]
        text += [*(f"| {' | '.join(row)} |" for row in aged[1:]), "", "![accuracy over time](aging.png)", ""]
    text += ["## Pulses of each array", "", "| | seed | layer | array | devices | up | down |", "|---|---|---|---|---|---|---|"]
    for training in results["trainings"]:
        for row in training["pulses"]:
            cells = (training["variant"], training["seed"], row["layer"], row["array"], row["devices"], row["up"], row["down"])
            text.append(f"| {' | '.join(map(str, cells))} |")
    text.append("")
    for sections in hooks().ohmlet_report_sections(run=run):
        for title, body in sections:
            text += [f"## {title}", "", body, ""]
    with whole(folder / "report.md") as path:
        path.write_text("\n".join(text), encoding="utf-8")
    # Last, since a folder with results is a finished one.
    with whole(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
