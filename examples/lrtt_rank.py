"""Low-rank Tiki-Taka on handwritten digits: what the rank and the time between transfers are worth.

    python examples/lrtt_rank.py

Trains a network of two layers in memory for every rank and every number of mini-batches between transfers, in two ways: *restart* reads
core + up down and starts up and down anew after each transfer; *keep* reads core alone and never resets them. Prints a table, with plain
SGD and Tiki-Taka on the same devices beside it, and writes a plot. Nothing is tuned for one cell of the table.
"""

from __future__ import annotations

import multiprocessing
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import click
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import ohmlet
from ohmlet.cells import transfer_report
from ohmlet.errors import SaturationWarning
from ohmlet.experiment.data import Digits
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Bars
from ohmlet.optim import AnalogSGD

HIDDEN, LR = 64, 0.2
DEVICE: dict[str, Any] = {
    "type": "soft_bounds_reference",
    "dw_min": 0.01,
    "dw_min_dtod": 0.3,
    "dw_min_std": 0.3,
    "w_max": 1.0,
    "w_min": -1.0,
    "w_max_dtod": 0.1,
    "w_min_dtod": 0.1,
    "subtract_symmetry_point": True,
    "reference_std": 0.02,
}
PASS: dict[str, Any] = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.06}
MODES: dict[str, dict[str, Any]] = {
    "restart": {"transfer_lr_mode": "alpha"},
    "keep": {"forward_inject": False, "reinit_mode": "none", "transfer_lr": 0.1},
}


class Job(NamedTuple):
    """One training."""

    mode: str
    """"restart", "keep", or the name of another algorithm."""
    rank: int
    every: int
    seed: int


class Trained(NamedTuple):
    """What has become of it."""

    accuracy: float
    """Of the test images, in %, mean over the last two epochs."""
    residual: float
    """|delta - Delta| / |Delta| of transfers, mean over the layers; NaN without transfers."""


def rule(job: Job) -> dict[str, Any]:
    """Return the update algorithm of a job."""
    if job.mode == "sgd":
        return {"type": "sgd", "device": DEVICE}
    if job.mode == "tiki_taka":
        return {"type": "tiki_taka", "fast": DEVICE, "slow": DEVICE}
    cells = dict.fromkeys(("up", "down", "core"), DEVICE)
    return {"type": "lrtt", **cells, "rank": job.rank, "transfer_every": job.every, "reinit_gain": 1.0, **MODES[job.mode]}


def trained(job: Job, epochs: int, batch: int) -> Trained:
    """Train the network of a job."""
    torch.set_num_threads(1)
    torch.manual_seed(job.seed)
    split = Digits().load(Imports())
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 10))
    read = {} if job.mode == "sgd" else {"read": PASS if job.mode in MODES else {**PASS, "input_range": "none"}}
    ohmlet.convert(model, {"tile": {"type": "in_memory", "update_algorithm": rule(job), "forward": PASS, "backward": PASS, **read}})
    optimizer, accuracies = AnalogSGD(model.parameters(), LR), []
    with warnings.catch_warnings():
        # The table shows what got lost.
        warnings.simplefilter("ignore", SaturationWarning)
        for _ in range(epochs):
            model.train()
            for some in torch.randperm(len(split.train_x)).split(batch):
                optimizer.zero_grad()
                nn.functional.cross_entropy(model(split.train_x[some]), split.train_y[some]).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                accuracies.append(100 * float((model(split.test_x).argmax(-1) == split.test_y).float().mean()))
    reports = transfer_report(model).values() if job.mode in MODES else ()
    return Trained(fmean(accuracies[-2:]), fmean([report.residual for report in reports]) if reports else float("nan"))


def results(jobs: list[Job], epochs: int, batch: int, processes: int) -> Iterator[Trained]:
    """Yield what becomes of the jobs, in their order."""
    if processes == 1:
        yield from (trained(job, epochs, batch) for job in jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(trained, jobs, [epochs] * len(jobs), [batch] * len(jobs))


def cells(job: Job) -> float:
    """Return the cells that a job's algorithm has for each weight."""
    sizes = ((HIDDEN, 64), (10, HIDDEN))
    weights = sum(rows * columns for rows, columns in sizes)
    extra = {"sgd": 0, "tiki_taka": weights}.get(job.mode, sum(job.rank * (rows + columns) for rows, columns in sizes))
    return 1 + extra / weights


def draw(found: dict[Job, Trained], path: Path) -> None:
    """Write accuracy against rank, one curve for each time between transfers, with the range of the seeds."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    seeds = sorted({job.seed for job in found})
    for axis, mode in zip(figure.subplots(1, 2, sharey=True), MODES, strict=True):
        ranks = sorted({job.rank for job in found if job.mode == mode})
        for every in sorted({job.every for job in found if job.mode == mode}):
            values = [[found[Job(mode, rank, every, seed)].accuracy for seed in seeds] for rank in ranks]
            (line,) = axis.plot(ranks, [fmean(each) for each in values], marker="o", label=f"every {every}")
            axis.fill_between(ranks, [min(v) for v in values], [max(v) for v in values], color=line.get_color(), alpha=0.15, linewidth=0)
        for name, style in (("sgd", ":"), ("tiki_taka", "--")):
            level = fmean([result.accuracy for job, result in found.items() if job.mode == name])
            axis.axhline(level, color="black", linestyle=style, linewidth=1, label=name)
        axis.set(title=mode, xlabel="rank", xscale="log", xticks=ranks, xticklabels=ranks)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    figure.axes[0].set_ylabel("test accuracy in %")
    figure.axes[1].legend(fontsize="small", title="mini-batches", loc="lower right")
    figure.savefig(path, dpi=150)


def table(found: dict[Job, Trained]) -> Table:
    """Return the means over seeds."""
    shown = Table("", "mini-batches", "rank", "cells per weight", "accuracy %", "residual")
    seeds = sorted({job.seed for job in found})
    for job in found:
        if job.seed != seeds[0]:
            continue
        same = [found[job._replace(seed=seed)] for seed in seeds]
        accuracy, residual = (fmean([getattr(each, name) for each in same]) for name in ("accuracy", "residual"))
        low = job.mode in MODES
        shown.add_row(
            job.mode,
            str(job.every) if low else "",
            str(job.rank) if low else "",
            f"{cells(job):.2f}",
            f"{accuracy:.1f}",
            f"{residual:.2f}" if residual == residual else "",
        )
    return shown


@click.command(help=__doc__.partition("\n")[0])
@click.option("--rank", "ranks", type=click.IntRange(1, 10), multiple=True, default=(1, 2, 4, 8), show_default=True)
@click.option("--every", type=click.IntRange(1), multiple=True, default=(1, 10, 100), show_default=True, help="Mini-batches per transfer.")
@click.option("--epochs", type=click.IntRange(2), default=6, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=10, show_default=True, help="Images in a mini-batch, of 1437.")
@click.option("--seed", "seeds", type=int, multiple=True, default=(0, 1), show_default=True)
@click.option("--processes", type=click.IntRange(1), default=2, show_default=True)
@click.option("--plot", type=click.Path(path_type=Path), default=Path("lrtt_rank.png"), show_default=True, help="Where the plot goes.")
def main(
    ranks: tuple[int, ...], every: tuple[int, ...], epochs: int, batch: int, seeds: tuple[int, ...], processes: int, plot: Path
) -> None:
    """Train all, print, draw."""
    console = Console()
    jobs = [Job(name, 0, 0, seed) for name in ("sgd", "tiki_taka") for seed in seeds]
    jobs += [Job(mode, rank, each, seed) for mode in MODES for each in every for rank in ranks for seed in seeds]
    found = {}
    with Bars(console).stage("trainings", len(jobs)) as stage:
        for job, result in zip(jobs, results(jobs, epochs, batch, processes), strict=True):
            found[job] = result
            stage.advance()
    console.print(table(found))
    draw(found, plot)
    console.print(f"written: {plot}", highlight=False)


if __name__ == "__main__":
    main()
