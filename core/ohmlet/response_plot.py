"""The picture of a pulse response: curves, steps against weight, symmetry points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ohmlet.response import Response

__all__ = ["draw"]

UP, DOWN, MEAN = "tab:blue", "tab:orange", "black"


def _train(axis: Any, response: Response, first: int, weights: Any, colour: str, per_look: int) -> int:
    """Draw the devices and their mean from pulse `first` on; return the pulse after the last."""
    x = first + np.arange(len(weights)) * response.every * per_look
    axis.plot(x, weights, color=colour, linewidth=0.6, alpha=0.3)
    axis.plot(x, weights.mean(axis=1), color=MEAN, linewidth=1.6)
    return int(x[-1])


def _responses(axis: Any, response: Response) -> None:
    at = _train(axis, response, 0, response.up, UP, 1)
    axis.axvline(at, color="grey", linewidth=0.6, linestyle=":")
    _train(axis, response, at, response.down, DOWN, 1)
    axis.plot([], [], color=UP, label="pulses up, each device")
    axis.plot([], [], color=DOWN, label="pulses down, each device")
    axis.plot([], [], color=MEAN, label=f"mean of {response.up.shape[1]} devices")
    axis.set_title("response to pulses up, then down")
    axis.set_xlabel("pulses")


def _in_turn(axis: Any, response: Response) -> None:
    for weights, colour, words in ((response.from_top, DOWN, "from the top"), (response.from_bottom, UP, "from the bottom")):
        _train(axis, response, 0, weights, colour, 2)
        axis.plot([], [], color=colour, label=words)
    point = response.symmetry_point
    if point is not None:
        axis.axhspan(point.mean() - point.std(ddof=1), point.mean() + point.std(ddof=1), color="tab:green", alpha=0.15)
        axis.axhline(
            point.mean(), color="tab:green", linestyle="--", label=f"symmetry point {point.mean():.2g} ± {point.std(ddof=1):.2g} (devices)"
        )
    axis.set_title("pulses up and down in turn" + ("" if point is not None else ": no symmetry point"))
    axis.set_xlabel("pulses")


def _steps(axis: Any, response: Response) -> None:
    for train, colour in (("up", UP), ("down", DOWN)):
        found = response.steps(train)
        axis.plot(found.w, found.mean, color=colour, marker="o", markersize=3, label=f"pulses {train}, mean")
        axis.fill_between(
            found.w, found.mean - found.cycle_to_cycle, found.mean + found.cycle_to_cycle, color=colour, alpha=0.2, linewidth=0
        )
    axis.fill_between([], [], [], color="grey", alpha=0.3, label="± cycle-to-cycle spread")
    axis.axhline(0, color="grey", linewidth=0.6)
    axis.set_title("step of one pulse against weight")
    axis.set_xlabel("weight (normalised)")
    axis.set_ylabel("step (normalised weight)")


def draw(response: Response, title: str, path: str | Path) -> None:
    """Write the picture of a response: its curves, its symmetry points, its steps with their spread."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    FigureCanvasAgg(figure)
    curves, turns, steps = figure.subplots(1, 3)
    _responses(curves, response)
    _in_turn(turns, response)
    _steps(steps, response)
    for axis in (curves, turns):
        axis.set_ylabel("weight (normalised)")
    for axis in (curves, turns, steps):
        axis.grid(alpha=0.3)
        axis.legend(fontsize="small")
    figure.suptitle(title)
    # Where and when it was drawn has no place in a picture that is drawn alike each time.
    nameless = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    figure.savefig(path, dpi=120, metadata=nameless.get(Path(path).suffix))
