"""The pictures of memristors under voltage: hysteresis loops and pulse trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ohmlet.voltage_response import Sweep, Trains

__all__ = ["draw_sweep", "draw_trains"]

DEVICE, MEAN = "tab:blue", "black"
MICRO = 1e6


def draw_sweep(found: Sweep, title: str, path: str | Path) -> None:
    """Write the picture of a sweep: currents against voltage, on a linear and a logarithmic scale, and states over time."""
    figure, (linear, decades, over_time) = _figure(3)
    first = found.points_per_cycle
    seconds = found.step_seconds * np.arange(1, len(found.volts) + 1)
    middle = int(np.argsort(found.g[-1])[found.g.shape[1] // 2])
    for axis, current in ((linear, found.current), (decades, np.abs(found.current))):
        axis.plot(found.volts, current, color=DEVICE, linewidth=0.6, alpha=0.3)
        axis.plot(found.volts[-first:], current[-first:, middle], color=MEAN, linewidth=1.4, label="one device, last cycle")
        axis.plot([], [], color=DEVICE, label=f"{found.g.shape[1]} devices")
        axis.set_xlabel("voltage (V)")
    linear.set_ylabel("current (A)")
    linear.set_title("hysteresis")
    decades.set_yscale("log")
    decades.set_ylabel("size of the current (A)")
    # Near 0 V the current has no lower end, which would leave no room for the loop.
    visible = np.abs(found.current)[np.abs(found.volts) > 0.02 * np.abs(found.volts).max()]
    visible = visible[visible > 0]
    if visible.size:
        decades.set_ylim(0.5 * visible.min(), 2 * visible.max())
    decades.set_title("hysteresis, logarithmic")
    over_time.plot(seconds, MICRO * found.g, color=DEVICE, linewidth=0.6, alpha=0.3)
    over_time.plot(seconds, MICRO * found.g.mean(axis=1), color=MEAN, linewidth=1.4, label="mean")
    over_time.set_title("state")
    over_time.set_xlabel("time (s)")
    over_time.set_ylabel("conductance (uS)")
    _save(figure, (linear, decades, over_time), title, path)


def draw_trains(found: Trains, title: str, path: str | Path) -> None:
    """Write the picture of pulse trains: states after each pulse."""
    figure, (axis,) = _figure(1)
    axis.plot(MICRO * found.g, color=DEVICE, linewidth=0.6, alpha=0.4)
    axis.plot(MICRO * found.g.mean(axis=1), color=MEAN, linewidth=1.6, label=f"mean of {found.g.shape[1]} devices")
    axis.plot([], [], color=DEVICE, label="each device")
    at = 0
    for train in found.trains:
        axis.axvline(at, color="grey", linewidth=0.6, linestyle=":")
        words = f"{train.volts:g} V, {train.seconds:g} s"
        axis.annotate(words, (at, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -10), textcoords="offset points", fontsize="small")
        at += train.count
    axis.set_xlabel("pulses")
    axis.set_ylabel("conductance (uS)")
    _save(figure, (axis,), title, path)


def _figure(panels: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.6 * panels if panels > 1 else 7.0, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _save(figure: Any, axes: Any, title: str, path: str | Path) -> None:
    for axis in axes:
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
    figure.suptitle(title)
    # Where and when it was drawn has no place in a picture that is drawn alike each time.
    nameless = {".png": {"Software": None}, ".pdf": {"CreationDate": None}, ".svg": {"Date": None}}
    figure.savefig(path, dpi=120, metadata=nameless.get(Path(path).suffix))
