"""Tuning a crossbar of memristors to conductances by pulses: how many, at what energy, and how close."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from ohmlet.circuit.bench import Bench, read
from ohmlet.circuit.tuning import Progress, Tuned, Tuning
from ohmlet.errors import ConfigError
from ohmlet.interfaces.memristor import Memristor
from ohmlet_kernels.crossbar_solve import Wires
from ohmlet_kernels.noise import Stream

__all__ = ["open_loop", "tune"]


def _checked(memristor: Memristor, g: Tensor, target: Tensor, tuning: Tuning) -> Tensor:
    """Return the targets, shaped as g; raises ConfigError for what cannot be tuned to."""
    window = memristor.window
    low, high = 1e-6 * window.g_min, 1e-6 * window.g_max
    target = target.expand_as(g)
    outside = ~((target >= low * (1 - 1e-6)) & (target <= high * (1 + 1e-6)))
    if bool(outside.any()):
        worst = 1e6 * float(target[outside].flatten()[0])
        raise ConfigError(
            f"{int(outside.sum())} targets lie outside of the window of {type(memristor).__name__}, "
            f"{window.g_min:g} to {window.g_max:g} uS, such as {worst:g} uS: conductances are in S"
        )
    memristor.check_read(torch.tensor(tuning.v_read))
    return target


def tune(
    memristor: Memristor,
    g: Tensor,
    target: Tensor,
    cell: Mapping[str, Tensor],
    tuning: Tuning = Tuning(),  # noqa: B008 - frozen
    wires: Wires = Wires(),  # noqa: B008 - a tuple of numbers
    noise: Stream | None = None,
    stuck: Tensor | None = None,
    each: Callable[[Progress], None] | None = None,
) -> Tuned:
    """Return a crossbar after closed-loop tuning: read, pulse the cells that are off, until all are within tolerance.

    g, target [..., rows, columns] in S; a target is met by what a read at `v_read` sees. A cell that was met and is disturbed later is
    pulsed again. `stuck` cells keep their state, whatever is applied. `each` is told of the progress before each sweep and at the end.
    Raises ConfigError for targets outside of the device's window.
    """
    target = _checked(memristor, g, target, tuning)
    bench, history = Bench(memristor, g, cell, tuning, wires, noise, stuck), []
    tolerance = tuning.tolerance * target + 1e-6 * tuning.tolerance_uS
    before, count = torch.zeros_like(g), torch.zeros_like(g)
    for sweep in range(tuning.max_sweeps + 1):
        off = target - bench.seen()
        pending = off.abs() > tolerance
        history.append(bench.progress(sweep, target, pending))
        if each is not None:
            each(history[-1])
        if sweep == tuning.max_sweeps or not bool(pending.any()):
            break
        way = torch.where(pending, off.sign(), 0.0)
        count = torch.where((way == before) & pending, count + 1, torch.where(pending, 0.0, count))
        before = torch.where(pending, way, before)
        for up in (True, False):
            chosen = pending & (way > 0 if up else way < 0)
            bench.sweep(chosen, tuning.volts(memristor, up, count), tuning.width(memristor, up, sweep), up)
    return bench.tuned(target, ~pending, history)


def open_loop(
    memristor: Memristor,
    g: Tensor,
    target: Tensor,
    cell: Mapping[str, Tensor],
    tuning: Tuning = Tuning(),  # noqa: B008 - frozen
    wires: Wires = Wires(),  # noqa: B008 - a tuple of numbers
    noise: Stream | None = None,
    stuck: Tensor | None = None,
    each: Callable[[Progress], None] | None = None,
) -> Tuned:
    """Return a crossbar after open-loop tuning: as many pulses as bring a typical device closest to the target, without a look.

    Sizes as in `tune`. The plan knows the states g that tuning begins with and a device without device-to-device spread on ideal wires;
    what devices, wires and disturb make of it is in `g`. `accepted` says which cells are within tolerance. `stuck` and `each` as in `tune`.
    """
    target = _checked(memristor, g, target, tuning)
    typical = {name: value.to(g) for name, value in memristor.typical().items()}
    at, best = g, torch.zeros(g.shape, dtype=torch.int64, device=g.device)
    seen = read(memristor, g, typical, tuning)
    up, least = target > seen, (target - seen).abs()
    for pulse in range(tuning.max_sweeps):
        for raised in (True, False):
            volts = tuning.volts(memristor, raised, torch.full_like(g, pulse))
            moved = memristor.applied(at, torch.where(up == raised, volts, 0.0), tuning.width(memristor, raised, pulse), typical)
            at = torch.where(up == raised, moved, at)
        off = (target - read(memristor, at, typical, tuning)).abs()
        best, least = torch.where(off < least, pulse + 1, best), torch.minimum(off, least)
    bench, history = Bench(memristor, g, cell, tuning, wires, noise, stuck), []
    for sweep in range(int(best.max()) if best.numel() else 0):
        history.append(bench.progress(sweep, target, best > sweep))
        if each is not None:
            each(history[-1])
        for raised in (True, False):
            volts = tuning.volts(memristor, raised, torch.full_like(g, sweep))
            bench.sweep((best > sweep) & (up == raised), volts, tuning.width(memristor, raised, sweep), raised)
    off = (target - bench.seen()).abs()
    accepted = off <= tuning.tolerance * target + 1e-6 * tuning.tolerance_uS
    history.append(bench.progress(len(history), target, ~accepted))
    if each is not None:
        each(history[-1])
    return bench.tuned(target, accepted, history)
