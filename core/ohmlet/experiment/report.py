"""What a run leaves behind: a table with mean and spread, results.json, a plot with error bars, a report."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from ohmlet.experiment.checkpoint import whole
from ohmlet.hooks import hooks
from ohmlet.units import spoken

if TYPE_CHECKING:
    from ohmlet.experiment.run import Run

__all__ = ["table", "verdicts", "write_report"]

SMALLEST_GAIN = 2.0
"""Points of accuracy that a training's seed alone can move by."""

EASY = 5.0
"""Points lost by direct mapping below which a verdict adds that there was little to gain."""

SHORT = {"direct": "direct", "hardware_aware": "hw-aware"}
METHODS = {"direct": "direct mapping", "hardware_aware": "hardware-aware"}


def lines_of(results: dict[str, Any]) -> dict[tuple[str, str, bool], list[dict[str, Any]]]:
    """Return the rows of each (variant, training, compensated) in the order of time."""
    lines: dict[tuple[str, str, bool], list[dict[str, Any]]] = {}
    for row in results["accuracy_on_chips"]:
        lines.setdefault((row["variant"], row["training"], row["compensated"]), []).append(row)
    return {key: sorted(rows, key=lambda row: row["time_s"]) for key, rows in lines.items()}


def table(results: dict[str, Any]) -> Table:
    """Return the accuracies in % as mean±standard deviation over chip instances; fits 80 columns for six times."""
    lines = lines_of(results)
    times = [row["time_s"] for row in next(iter(lines.values()))]
    instances = len(results["accuracy_on_chips"][0]["instances"])
    title = f"{results['evaluated_on']} accuracy in %, mean±spread of {instances} chips; comp.: drift compensated"
    made = Table(title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False, title_justify="left", header_style="bold")
    made.add_column("")
    made.add_column("comp.")
    for time in times:
        made.add_column(spoken(time), justify="right", no_wrap=True)
    before = None
    for (variant, method, compensated), rows in lines.items():
        if variant != before:
            made.add_row(f"[bold]{escape(variant)}[/bold]")
        cells = [f"{100 * row['mean']:.1f}±{100 * row['std']:.1f}" for row in rows]
        made.add_row(f" {SHORT[method]}", "yes" if compensated else "no", *cells)
        before = variant
    return made


def verdicts(results: dict[str, Any]) -> list[str]:
    """Return one line per variant of the hardware: what hardware-aware training gained at the last time, and whether that is a gain.

    The error of the difference is sqrt(s1^2 + s2^2) / sqrt(instances). It covers the chips, not the seed of the training, which moves
    accuracies by about a point; so less than two errors or less than two points is called no gain.
    """
    lines = lines_of(results)
    out = []
    for variant, method, compensated in lines:
        if method != "hardware_aware" or (variant, "direct", compensated) not in lines:
            continue
        aware, direct = lines[variant, method, compensated][-1], lines[variant, "direct", compensated][-1]
        gain = 100 * (aware["mean"] - direct["mean"])
        error = 100 * math.sqrt((aware["std"] ** 2 + direct["std"] ** 2) / len(aware["instances"]))
        words = "a loss" if gain < 0 else "a gain"
        if abs(gain) < max(2 * error, SMALLEST_GAIN):
            words = "too little to claim"
            loss = 100 * (results["accuracy_before_programming"]["digital"] - direct["mean"])
            if loss < EASY:
                words += f": direct mapping loses only {max(loss, 0.0):.1f} points, so there is little to gain"
        where = f"{variant}, {'with' if compensated else 'without'} drift compensation"
        out.append(f"{where}: hardware-aware minus direct at {spoken(aware['time_s'])} = {gain:+.1f} ± {error:.1f} points, {words}")
    if out:
        out.append("the errors are those of the chips, not of the training: repeat with other seeds before you claim a gain")
    return out


def draw(results: dict[str, Any], path: Any) -> None:
    """Write the plot: accuracy against time with error bars, one panel per variant of the hardware."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lines = lines_of(results)
    variants = list(dict.fromkeys(variant for variant, _, _ in lines))
    figure = Figure(figsize=(1.5 + 4.2 * len(variants), 4.7), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, len(variants), sharey=True, squeeze=False)[0]
    colours = {"direct": "tab:orange", "hardware_aware": "tab:blue"}
    for axis, variant in zip(axes, variants, strict=True):
        for (name, method, compensated), rows in lines.items():
            if name == variant:
                # A time of zero has no place on a logarithmic axis; a tenth of a second stands for it.
                times = [max(row["time_s"], 0.1) * (1.06 if method == "direct" else 1.0) for row in rows]
                axis.errorbar(
                    times,
                    [100 * row["mean"] for row in rows],
                    [100 * row["std"] for row in rows],
                    color=colours[method],
                    linestyle="-" if compensated else "--",
                    marker="o" if compensated else "s",
                    markersize=4,
                    capsize=3,
                    label=f"{METHODS[method]}{'' if compensated else ', no drift compensation'}",
                )
        axis.axhline(100 * results["accuracy_before_programming"]["digital"], color="grey", linewidth=1, linestyle=":", label="digital")
        axis.set_xscale("log")
        shown = sorted({row["time_s"] for row in next(iter(lines.values()))})
        axis.set_xticks([max(t, 0.1) for t in shown], [spoken(t) for t in shown], rotation=35, ha="right")
        axis.minorticks_off()
        axis.set_title(variant)
        axis.set_xlabel("time after the first read-out")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"{results['evaluated_on']} accuracy in %")
    figure.legend(*axes[-1].get_legend_handles_labels(), fontsize="small", loc="outside lower center", ncols=2 if len(variants) == 1 else 3)
    figure.suptitle(
        f"{results['name']}: {len(results['accuracy_on_chips'][0]['instances'])} chip instances, error bars one standard deviation"
    )
    figure.savefig(path, dpi=120, metadata={"Software": None})


def write_report(run: Run) -> None:
    """Write results.json, accuracy.png and report.md into the run's folder."""
    results, folder = run.results, run.folder
    with whole(folder / "accuracy.png") as path:
        draw(results, path)
    head = ["hardware", "training", "drift compensation"]
    lines = lines_of(results)
    times = [spoken(row["time_s"]) for row in next(iter(lines.values()))]
    text = [f"# {results['name']}", "", f"| {' | '.join([*head, *times])} |", f"|{'---|' * (len(head) + len(times))}"]
    for (variant, method, compensated), rows in lines.items():
        cells = [
            variant,
            METHODS[method],
            "yes" if compensated else "no",
            *(f"{100 * row['mean']:.1f} ± {100 * row['std']:.1f}" for row in rows),
        ]
        text.append(f"| {' | '.join(cells)} |")
    text += ["", *(f"- {line}" for line in verdicts(results)), "", "![accuracy over time](accuracy.png)", ""]
    for sections in hooks().ohmlet_report_sections(run=run):
        for title, body in sections:
            text += [f"## {title}", "", body, ""]
    with whole(folder / "report.md") as path:
        path.write_text("\n".join(text), encoding="utf-8")
    # Last, since a folder with results is a finished one.
    with whole(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
