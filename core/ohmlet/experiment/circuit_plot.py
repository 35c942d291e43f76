"""The pictures of a run at circuit level: where the voltage is lost, and how far conductances and products are off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from ohmlet.experiment.circuit_results import lost_reading, lost_writing

if TYPE_CHECKING:
    from ohmlet.experiment.circuit_run import CircuitRun

__all__ = ["draw_errors", "draw_lost"]

BINS = 61


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_lost(run: CircuitRun, path: Any) -> None:
    """Write the map of the first crossbar: the part of a line's voltage that each cell does not see, when it is read and when written."""
    first, e = run.programmed[0], run.experiment
    start = e.programming.tuning.start(first.lines.memristor, up=True)
    maps = (
        (lost_reading(first), f"read: {float(first.volts.abs().max()):g} V on all word lines"),
        (lost_writing(first, e), f"written: {start:g} V on all cells of a word line, {e.programming.tuning.scheme}"),
    )
    figure = _figure(11.0, 4.8)
    for axis, (lost, title) in zip(figure.subplots(1, 2), maps, strict=True):
        shown = axis.imshow((100 * lost).detach().cpu().numpy(), cmap="magma", vmin=min(0.0, 100 * float(lost.min())), aspect="auto")
        axis.set_title(title, fontsize="medium")
        axis.set_xlabel("bit line; word lines are driven from the left")
        axis.set_ylabel("word line; bit lines are sensed below")
        figure.colorbar(shown, ax=axis, label="voltage lost in the wires, %")
    figure.suptitle(f"{run.results['name']}: crossbar {first.name}, mean {100 * float(maps[0][0].mean()):.1f} % when read")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def draw_errors(run: CircuitRun, path: Any) -> None:
    """Write histograms of the errors of conductances and of products, and how tuning went."""
    figure = _figure(15.0, 4.6)
    states, course, products = figure.subplots(1, 3)
    errors = torch.cat([1e6 * (each.tuned.read - each.tuned.target).flatten() for each in run.programmed])
    latched = [torch.zeros_like(each.tuned.accepted) if each.stuck is None else each.stuck for each in run.programmed]
    stuck = torch.cat([each.flatten() for each in latched])
    reach = max(1.1 * float(errors.abs().max()), 1e-3)
    both, names = [errors[~stuck].cpu().numpy(), errors[stuck].cpu().numpy()], ["healthy", "stuck"]
    states.hist(both, BINS, range=(-reach, reach), stacked=True, label=names)
    states.set_yscale("log")
    states.set_xlabel("conductance read minus target, uS")
    states.set_ylabel("cells")
    if bool(stuck.any()):
        states.legend(fontsize="small")
    for each in run.programmed:
        sweeps = [progress.sweep for progress in each.tuned.history]
        course.plot(sweeps, [100 * progress.pending for progress in each.tuned.history], label=each.name)
    course.set_xlabel("sweep of pulses")
    course.set_ylabel("cells that are still pulsed, %")
    course.grid(alpha=0.3)
    course.legend(fontsize="small")
    figure.suptitle(f"{run.results['name']}: errors of conductances, tuning, errors of products")
    single = run.results["variants"][0]["layers"]
    if single:
        _draw_products(run, single[0]["layer"], products)
    else:
        products.set_axis_off()
    figure.savefig(path, dpi=120, metadata={"Software": None})


def _draw_products(run: CircuitRun, layer: str, products: Any) -> None:
    off = {name: kept["layers"][layer] for name, kept in run.state["evaluation"].items()}
    size = float(next(iter(off.values()))["exact"].square().mean().sqrt())
    relative = {name: 100 * ((kept["product"] - kept["exact"]) / size).flatten() for name, kept in off.items()}
    reach = max(1e-3, *(float(values.abs().double().quantile(0.995)) for values in relative.values()))
    for name, values in relative.items():
        products.hist(values.clamp(-reach, reach).cpu().numpy(), BINS, range=(-reach, reach), histtype="step", label=name)
    products.set_xlabel(f"product of layer {layer} minus the exact one, % of its rms")
    products.set_ylabel("outputs")
    products.legend(fontsize="small", loc="upper left")
