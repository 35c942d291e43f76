"""What becomes of networks that learned in memory: their cells age on chips, and accuracy is taken over time."""

from __future__ import annotations

import math
from typing import Any

import torch
from attrs import field, frozen
from torch import nn

from ohmlet.chip import program
from ohmlet.config.analog import AnalogConfig
from ohmlet.experiment.data import Split
from ohmlet.experiment.schema import checked_times
from ohmlet.spec import integer
from ohmlet.units import seconds, spoken
from ohmlet_kernels.noise import key

__all__ = ["HEAD", "Chips", "accuracies", "can_age", "draw", "lines"]

MASK = 2**63 - 1

HEAD = "trained in memory"
"""Of the column before the first time: the cells as training left them, read without noise."""


@frozen(kw_only=True)
class Chips:
    """How the cells of a finished training are looked at over time; nothing is written again."""

    instances: int = integer(10, "futures of the same cells: relaxation and read noise of their own", ge=1)
    times: tuple[float | str, ...] = field(
        default=("1 s", "1 h", "1 day", "1 month", "1 year", "10 years"), converter=checked_times, metadata={"doc": "after training"}
    )


def can_age(hardware: AnalogConfig) -> bool:
    """Whether the tile says what becomes of its conductances."""
    return getattr(hardware.tile, "noise_model", None) is not None


def accuracies(model: nn.Module, chips: Chips, split: Split, seed: int) -> list[dict[str, Any]]:
    """Return the test accuracy of each instance at each time; all variants of one seed meet the same draws."""
    chip = program(model.eval(), chips.instances, seed=key(seed, "chips after training") & MASK)
    samples = [(split.test_x, split.test_y)]
    return [{"time_s": seconds(time), "instances": chip.at(time).accuracy(samples).tolist()} for time in chips.times]


def _moments(values: list[float]) -> tuple[float, float]:
    found = torch.tensor(values, dtype=torch.float64)
    return 100 * float(found.mean()), 100 * float(found.std()) if len(values) > 1 else 0.0


def _pooled(trainings: list[dict[str, Any]]) -> list[tuple[float, float, float]]:
    """Return (time, mean, spread) over all instances of all seeds."""
    rows = zip(*(training["chips"] for training in trainings), strict=True)
    return [(at[0]["time_s"], *_moments([value for row in at for value in row["instances"]])) for at in rows]


def lines(trainings: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Return a table of accuracy in % over time, its heads first: a row for each variant, mean and spread of all chips of all seeds."""
    aged = {variant: rows for variant, rows in trainings.items() if rows[0].get("chips")}
    if not aged:
        return []
    heads = [spoken(row["time_s"]) for row in next(iter(aged.values()))[0]["chips"]]
    table = [["", HEAD, *heads]]
    for variant, rows in aged.items():
        mean, spread = _moments([row["accuracy"][-1] for row in rows])
        table.append([variant, f"{mean:.1f}±{spread:.1f}", *(f"{mean:.1f}±{spread:.1f}" for _, mean, spread in _pooled(rows))])
    return table


def draw(trainings: dict[str, list[dict[str, Any]]], title: str, path: Any) -> None:
    """Write the plot: accuracy against time with error bars of one standard deviation, one line for each variant."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 5.0), layout="constrained")
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    shown: dict[float, str] = {}
    for number, (variant, rows) in enumerate(trainings.items()):
        if not rows[0].get("chips"):
            mean, _ = _moments([row["accuracy"][-1] for row in rows])
            axis.axhline(mean, color="black", linestyle="--", label=variant)
            continue
        # A time of zero has no place on a logarithmic axis; a tenth of a second stands for it.
        points = [(max(t, 0.1), mean, spread) for t, mean, spread in _pooled(rows)]
        shown |= {max(row["time_s"], 0.1): spoken(row["time_s"]) for row in rows[0]["chips"]}
        at, mean_, spread_ = zip(*points, strict=True)
        axis.errorbar([t * math.exp(0.08 * number) for t in at], mean_, spread_, marker="o", markersize=4, capsize=3, label=variant)
    axis.set_xscale("log")
    axis.set_xticks(list(shown), list(shown.values()), rotation=35, ha="right")
    axis.minorticks_off()
    axis.set_xlabel("time after training")
    axis.set_ylabel("test accuracy in %")
    axis.grid(alpha=0.3)
    axis.set_title(title)
    figure.legend(fontsize="small", loc="outside right upper")
    figure.savefig(path, dpi=120, metadata={"Software": None})
