"""Which layers mind the hardware: each one alone on chips, the others digital."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from attrs import frozen
from rich.table import Table
from torch import Tensor, nn

from ohmlet.chip import ChipView, program
from ohmlet.conversion import analog_layers, to_digital
from ohmlet.errors import ConfigError
from ohmlet.experiment.checkpoint import whole
from ohmlet.experiment.progress import Bars, Quiet
from ohmlet.nn import AnalogLayer
from ohmlet.nn.layer import drawn_seed
from ohmlet.units import seconds, spoken

__all__ = ["LayerLoss", "Sensitivity", "sensitivity"]


@frozen
class LayerLoss:
    """What a layer alone on chips costs: `losses` has one value per chip, digital minus measured, so that more is worse."""

    name: str
    weights: int
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean loss over chips."""
        return sum(self.losses) / len(self.losses)

    @property
    def std(self) -> float:
        """The standard deviation over chips; 0 for a single one."""
        if len(self.losses) < 2:
            return 0.0
        return math.sqrt(sum((loss - self.mean) ** 2 for loss in self.losses) / (len(self.losses) - 1))

    @property
    def error(self) -> float:
        """The standard error of the mean."""
        return self.std / math.sqrt(len(self.losses))


@frozen
class Sensitivity:
    """The loss of each layer alone (`rows`, in the model's order) and of all together (`all_layers`) against the digital model."""

    quantity: str
    t: float
    digital: float
    rows: tuple[LayerLoss, ...]
    all_layers: LayerLoss

    def __rich__(self) -> Table:
        """Return the table that rich prints."""
        title = f"loss of {self.quantity} at {spoken(self.t)}; digital: {self.digital:.4g}"
        made = Table(title=title, box=None, pad_edge=False, title_justify="left", header_style="bold")
        made.add_column("layer")
        for column in ("weights", "part", "loss", "of chips ±", "of mean ±"):
            made.add_column(column, justify="right", no_wrap=True)
        for row in (*self.rows, self.all_layers):
            part = f"{row.weights / self.all_layers.weights:.1%}"
            made.add_row(row.name, str(row.weights), part, *(f"{value:.3g}" for value in (row.mean, row.std, row.error)))
        return made

    def draw(self, path: str | Path) -> None:
        """Write a bar for each layer, error bars one standard deviation over chips, as a picture."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        rows = (*self.rows, self.all_layers)
        figure = Figure(figsize=(7.0, 1.6 + 0.4 * len(rows)), layout="constrained")
        FigureCanvasAgg(figure)
        axis = figure.subplots()
        axis.barh(
            range(len(rows)),
            [row.mean for row in rows],
            xerr=[row.std for row in rows],
            color=["tab:blue"] * len(self.rows) + ["tab:orange"],
            capsize=4,
            height=0.65,
        )
        axis.set_yticks(range(len(rows)), [f"{row.name} ({row.weights})" for row in rows])
        axis.invert_yaxis()
        axis.axvline(0.0, color="black", linewidth=0.8)
        axis.set_xlabel(f"loss of {self.quantity}")
        axis.set_ylabel("layer on chips (weights)")
        axis.grid(axis="x", alpha=0.3)
        figure.suptitle(f"one layer on chips at a time, {spoken(self.t)}, {len(rows[0].losses)} chips, error bars: spread of chips")
        with whole(path) as new:
            figure.savefig(new, dpi=120, metadata={"Software": None})


def sensitivity(
    model: nn.Module,
    evaluate: Callable[[ChipView], Tensor],
    *,
    t: float | str = "1 s",
    instances: int = 25,
    seed: int | None = None,
    quantity: str = "accuracy",
    progress: Quiet | Bars | None = None,
) -> Sensitivity:
    """Return what each analog layer costs when it alone is programmed onto chips and the others compute digitally.

        loss_l = evaluate(digital model) - evaluate(model whose only analog layer is l, on chips at t)

    `model` is converted; it is not changed. `evaluate` takes a chip's view, as `chip.at(t)` gives it, and returns one value per chip
    [instances], larger being better: `lambda view: 100 * view.accuracy(batches)` for `quantity="accuracy in %"`, the negative of a cost.
    A layer has the same programming errors alone as among all, since they go by seed and name. Layers inside an analog layer, such as
    the output projection of attention, count as part of it. Losses of single layers need not add up to that of all.

    Raises OrderError for a model without analog layers, ConfigError when `evaluate` returns something else than finite values [instances].
    """
    time = seconds(t)
    seed = drawn_seed() if seed is None else seed
    progress = Quiet() if progress is None else progress
    units = _outermost(analog_layers(model, "sensitivity"))
    with progress.stage("sensitivity", len(units) + 2) as stage:
        view = ChipView(to_digital(copy.deepcopy(model)).eval(), {}, 1, time, compensated=True)
        digital = _values(evaluate(view), 1, "the digital model")[0]
        stage.advance()

        def losses(chosen: nn.Module, words: str) -> tuple[float, ...]:
            chip = program(chosen, instances, seed=seed)
            found = tuple(digital - value for value in _values(evaluate(chip.at(time)), instances, words))
            stage.advance()
            return found

        rows = []
        for name, layers in units.items():
            alone = to_digital(copy.deepcopy(model), keep=[name])
            rows.append(LayerLoss(name or "(model)", _weights(layers), losses(alone, f"layer '{name}' alone")))
        everything = LayerLoss("all layers", sum(row.weights for row in rows), losses(model, "all layers"))
        stage.note(f"{instances} chips at {spoken(time)}")
    return Sensitivity(quantity, time, digital, tuple(rows), everything)


def _outermost(layers: dict[str, AnalogLayer]) -> dict[str, list[AnalogLayer]]:
    """Return the analog layers by the name of the outermost one that they are or lie in."""
    units: dict[str, list[AnalogLayer]] = {}
    for name, layer in layers.items():
        owner = next((outer for outer in units if not outer or name.startswith(f"{outer}.")), name)
        units.setdefault(owner, []).append(layer)
    return units


def _weights(layers: list[AnalogLayer]) -> int:
    return sum(matrix.weight.numel() for layer in layers for matrix in layer.matrices().values())


def _values(found: Any, instances: int, words: str) -> list[float]:
    """Return the values of the chips; raises ConfigError for what is no value per chip."""
    if not isinstance(found, Tensor) or found.shape != (instances,):
        shape = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
        raise ConfigError(f"evaluate must return one value per chip, a tensor [{instances}], but for {words} it returned {shape}")
    if not bool(torch.isfinite(found).all()):
        raise ConfigError(f"evaluate returned {found.tolist()} for {words}; losses need finite values")
    values: list[float] = found.to("cpu", torch.float64).tolist()
    return values
