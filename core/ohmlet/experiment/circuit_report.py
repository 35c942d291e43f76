"""What a run at circuit level leaves behind: a table, results.json, report.md, a voltage-drop map and error histograms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.circuit_plot import draw_errors, draw_lost
from ohmlet.hooks import hooks

if TYPE_CHECKING:
    from ohmlet.experiment.circuit_run import CircuitRun

__all__ = ["PICTURES", "notes", "rows_of", "table", "times", "write_report"]

PICTURES = ("voltage_drop.png", "errors.png")


def rows_of(results: dict[str, Any]) -> list[list[str]]:
    """Return the table with its heads first: accuracy of each variant in %, and the errors of each layer's products in %."""
    layers = [row["layer"] for row in results["variants"][0]["layers"]]
    several = len(layers) > 1
    heads = ["", "accuracy", "minus digital"]
    for layer in layers:
        heads += [f"error{f' {layer}' * several}", f"gain{f' {layer}' * several}", f"rescaled{f' {layer}' * several}"]
    digital = results["digital_accuracy"]
    out = [heads, ["digital", f"{100 * digital:.1f}", "", *(["0", "1", "0"] * len(layers))]]
    for row in results["variants"]:
        cells = [row["variant"], f"{100 * row['accuracy']:.1f}", f"{100 * (row['accuracy'] - digital):+.1f}"]
        for layer in row["layers"]:
            cells += [f"{100 * layer['error']:.1f}", f"{layer['gain']:.3f}", f"{100 * layer['error_rescaled']:.1f}"]
        out.append(cells)
    return out


def table(results: dict[str, Any]) -> Table:
    """Return accuracies and errors of the layers' products."""
    heads, *rows = rows_of(results)
    title = f"{results['evaluated_on']} accuracy on {results['samples']} samples and relative error of products, in %"
    made = Table(title=title, box=None, padding=(0, 2, 0, 0), pad_edge=False, title_justify="left", header_style="bold")
    for head in heads:
        made.add_column(escape(head), justify="right" if head else "left", no_wrap=True)
    for row in rows:
        made.add_row(*map(escape, row))
    return made


def notes(results: dict[str, Any]) -> list[str]:
    """Return what there is to say of the columns, of the programming and of the wires."""
    lines = [
        "error: distance of a layer's products from the exact ones for the same inputs; gain: the factor that brings them closest, and "
        f"the error that is left with it; one sample is {100 / results['samples']:.2f} points of accuracy"
    ]
    for row in results["programming"]:
        stuck = f", {row['stuck']} stuck" if row["stuck"] else ""
        lines.append(
            f"{row['crossbar']}: {row['word_lines']} x {row['bit_lines']} lines, {row['cells']} cells{stuck}; "
            f"{row['pulses']} pulses, {row['pulses_per_cell']:.1f} a cell and at most {row['pulses_most']}, in {row['sweeps']} sweeps; "
            f"{row['energy_J']:.3g} J, {row['pulse_time_s']:.3g} s in pulses; {100 * row['within_tolerance']:.1f} % of cells within "
            f"tolerance, error {row['error_rms_uS']:.3g} uS rms; disturbed by {row['disturbed_uS']:.2g} uS a cell"
        )
    lines += [
        f"{row['crossbar']} at full scale, {row['voltage_V']:g} V on all word lines: cells lack {100 * row['lost_mean']:.1f} % of "
        f"it, at most {100 * row['lost_most']:.1f} %; {1e3 * row['power_W']:.3g} mW, of which "
        f"{100 * row['power_in_cells_W'] / row['power_W']:.0f} % in cells"
        for row in results["full_scale"]
    ]
    return lines


def times(seconds: dict[str, float]) -> str:
    """Return the wall time of each part as a line."""
    parts = ", ".join(f"{part} {value:.1f} s" for part, value in seconds.items())
    return f"wall time: {parts}; together {sum(seconds.values()):.1f} s"


def write_report(run: CircuitRun) -> None:
    """Write the pictures, report.md and results.json into the run's folder."""
    results, folder = run.results, run.folder
    for name, draw in zip(PICTURES, (draw_lost, draw_errors), strict=True):
        with whole(folder / name) as path:
            draw(run, path)
    heads, *rows = rows_of(results)
    text = [f"# {results['name']}", "", f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    text += [f"| {' | '.join(row)} |" for row in rows]
    text += ["", *(f"- {line}" for line in [*notes(results), times(run.seconds)]), ""]
    text += ["![voltage that the wires take](voltage_drop.png)", "", "![errors](errors.png)", ""]
    for sections in hooks().ohmlet_report_sections(run=run):
        for title, body in sections:
            text += [f"## {title}", "", body, ""]
    with whole(folder / "report.md") as path:
        path.write_text("\n".join(text), encoding="utf-8")
    # Last, since a folder with results is a finished one.
    with whole(folder / "results.json") as path:
        path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n", encoding="utf-8")
