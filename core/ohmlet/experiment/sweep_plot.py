"""The picture of a sweep: curves with error bars over one axis, a heat map over two, each axis by itself over more."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any

from ohmlet.experiment.sweep_axis import is_number

__all__ = ["draw", "short"]

BASELINE = "digital"


def short(axes: list[str]) -> list[str]:
    """Return the axes' names, of a path its last name where that tells the axes apart."""
    last = [name.rpartition(".")[2] for name in axes]
    return last if len(set(last)) == len(last) else axes


def _statistics(accuracies: dict[str, float]) -> tuple[float, float]:
    values = [100 * value for value in accuracies.values()]
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1))


def _ticks(values: list[Any], logarithmic: bool) -> tuple[Callable[[Any], float], str, list[str]]:
    """Return where a value is drawn, the scale, and the words of ticks for values that are no numbers."""
    if all(map(is_number, values)):
        wide = min(values) > 0 and max(values) >= 10 * min(values)
        return float, "log" if logarithmic or wide else "linear", []
    words = list(dict.fromkeys(value if isinstance(value, str) else json.dumps(value) for value in values))
    return lambda value: float(words.index(value if isinstance(value, str) else json.dumps(value))), "linear", words


def _place(axis: Any, results: dict[str, Any], name: str, along: str = "x") -> Callable[[Any], float]:
    """Set an axis up for the values of a swept one and return where each is drawn."""
    tried = [trial["point"][name] for trial in results["trials"] if "accuracy" in trial]
    where, scale, words = _ticks(tried, name in results["logarithmic"])
    getattr(axis, f"set_{along}scale")(scale)
    getattr(axis, f"set_{along}label")(short(results["axes"])[results["axes"].index(name)])
    values = sorted(set(map(where, tried)))
    if words or len(values) <= 8:
        getattr(axis, f"set_{along}ticks")(values, words or [f"{value:g}" for value in values], minor=False)
        getattr(axis, f"{along}axis").set_minor_locator(_none())
    return where


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({json.dumps(value): value for value in values}.values())


def _none() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def draw(results: dict[str, Any], path: Any) -> None:
    """Write the picture of a sweep with at least one finished point."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axes, curves = results["axes"], [name for name in results["curves"] if name != BASELINE]
    panels = {1: 1, 2: len(curves)}.get(len(axes), len(axes))
    columns = min(panels, 3)
    figure = Figure(figsize=(8.5 if panels == 1 else 1.0 + 4.6 * columns, 5.0 * -(-panels // columns)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(-(-panels // columns), columns, squeeze=False).flatten()
    for left_over in grid[panels:]:
        left_over.remove()
    done = [trial for trial in results["trials"] if "accuracy" in trial]
    if len(axes) == 1:
        _curves(grid[0], results, done)
        figure.legend(fontsize="small", loc="outside right upper")
    elif len(axes) == 2:
        low, high = (f([_statistics(trial["accuracy"][name])[0] for trial in done for name in curves]) for f in (min, max))
        for axis, name in zip(grid, curves, strict=False):
            shown = _heat_map(axis, results, done, name, low, high)
        figure.colorbar(shown, ax=list(grid[:panels]), label=f"{results['evaluated_on']} accuracy in %")
    else:
        for axis, name in zip(grid, axes, strict=False):
            where = _place(axis, results, name)
            axis.plot([where(trial["point"][name]) for trial in done], [100 * trial["objective"] for trial in done], "o", markersize=4)
            axis.set_ylabel("objective: accuracy in %")
            axis.grid(alpha=0.3)
    seeds = len(results["seeds"])
    bars = ", error bars one standard deviation" if len(axes) == 1 and seeds > 1 else ""
    figure.suptitle(f"{results['name']}: mean of {seeds} seeds{bars}" if seeds > 1 else f"{results['name']}: one seed")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _curves(axis: Any, results: dict[str, Any], done: list[dict[str, Any]]) -> None:
    name = results["axes"][0]
    where = _place(axis, results, name)
    for curve in results["curves"]:
        points = sorted((where(trial["point"][name]), *_statistics(trial["accuracy"][curve])) for trial in done)
        x, mean, spread = zip(*points, strict=True)
        baseline = curve == BASELINE
        axis.errorbar(
            x,
            mean,
            spread if len(results["seeds"]) > 1 else None,
            label=curve,
            color="black" if baseline else None,
            linestyle="--" if baseline else "-",
            marker="o",
            markersize=4,
            capsize=3,
        )
    axis.set_ylabel(f"{results['evaluated_on']} accuracy in %")
    axis.grid(alpha=0.3)


def _heat_map(axis: Any, results: dict[str, Any], done: list[dict[str, Any]], curve: str, low: float, high: float) -> Any:
    """Draw one accuracy over two axes: cells where a grid was tried, dots elsewhere; return what the colours are of."""
    first, second = results["axes"]
    means = {json.dumps([trial["point"][first], trial["point"][second]]): _statistics(trial["accuracy"][curve])[0] for trial in done}
    axis.set_title(curve)
    if results["sampler"] != "grid":
        x, y = _place(axis, results, first), _place(axis, results, second, "y")
        at = [(x(trial["point"][first]), y(trial["point"][second])) for trial in done]
        return axis.scatter(*zip(*at, strict=True), c=list(means.values()), vmin=low, vmax=high, cmap="viridis", edgecolors="black")
    names = [_distinct(trial["point"][name] for trial in results["trials"]) for name in (first, second)]
    cells = [[means.get(json.dumps([x, y]), math.nan) for x in names[0]] for y in names[1]]
    shown = axis.imshow(cells, vmin=low, vmax=high, cmap="viridis", origin="lower", aspect="auto")
    for row, values in enumerate(cells):
        for column, value in enumerate(values):
            words = "failed" if math.isnan(value) else f"{value:.1f}"
            dark = value < (low + high) / 2
            axis.text(column, row, words, ha="center", va="center", fontsize="small", color="white" if dark else "black")
    ticks = [[f"{value:g}" if is_number(value) else str(value) for value in held] for held in names]
    axis.set_xticks(range(len(ticks[0])), ticks[0])
    axis.set_yticks(range(len(ticks[1])), ticks[1])
    axis.set_xlabel(short(results["axes"])[0])
    axis.set_ylabel(short(results["axes"])[1])
    return shown
