"""The pulsed update in plain torch: the definition that the other engines equal sample by sample."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise import reference as philox
from ohmlet_kernels.pulsed_update import ops_torch
from ohmlet_kernels.pulsed_update.cells import DOWN_AS_UP, SLOTS, UP_ONLY, Cells, Probe, Trains
from ohmlet_kernels.pulsed_update.step import Step, bound

__all__ = ["coincidences", "draws", "pulse_bits", "pulsed_update", "stepper"]


def pulse_bits(thresholds: Tensor, lengths: Tensor, words: int, key: Tensor, purpose: int, ordinals: Tensor) -> Tensor:
    """Return the trains int64 [S, n, words] of n lines: slot k of sample s fires where its random word >> 8 < threshold, k < length.

    `thresholds` int64 [S, n] in [0, 2^24], `lengths` int64 [S]; the random word of slot k is that of (key, purpose, ordinal, line, k).
    """
    samples, lines = thresholds.shape
    slots = torch.arange(words * SLOTS, device=thresholds.device)
    drawn = philox.words(key.reshape(1), purpose, ordinals, lines, words * SLOTS)[0]
    fires = ((drawn >> 8) < thresholds[..., None]) & (slots < lengths[:, None, None])
    return (fires.reshape(samples, lines, words, SLOTS).to(torch.int64) << slots[:SLOTS]).sum(-1)


def popcount(bits: Tensor) -> Tensor:
    """Return how many of the low 32 bits are set."""
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    return ((bits * 0x01010101) >> 24) & 0xFF


def coincidences(trains: Trains, sample: int) -> tuple[Tensor, Tensor]:
    """Return how many pulses each cell [out, in] gets from a sample, int64, and whether they are up."""
    x, d = trains.x[sample], trains.d[sample]
    if trains.period is None:
        count = popcount(d[:, None] & x[None]).sum(-1)
    else:
        count = torch.round(d[:, None] * x[None] / trains.period[sample]).to(torch.int64)
    up = trains.x_negative[sample][None] != trains.d_negative[sample][:, None]
    if trains.select == UP_ONLY:
        count = torch.where(up, count, 0)
    elif trains.select == DOWN_AS_UP:
        count, up = torch.where(up, 0, count), torch.ones_like(up)
    return count, up


def draws(step: Step, pulse: int, rows: int, columns: int, key: Tensor, purpose: int, ordinal: Tensor) -> tuple[Tensor, ...]:
    """Return the random numbers float32 [rows, columns] of one pulse: normals, then uniforms.

    Number d of pulse k is word (k D + d) % 4, D a pulse's draws, of the counter (column | ordinal's upper bits << 20,
    row | (k D + d) // 4 << 20, ordinal's lower 32 bits, purpose).
    """
    at_row, at_column = torch.arange(rows, device=key.device)[:, None], torch.arange(columns, device=key.device)
    lane, made, out = key.reshape(()), {}, []
    for d in range(step.draws):
        block, word = divmod(pulse * step.draws + d, 4)
        if block not in made:
            counter = (
                at_column | ((ordinal >> 32) << c.COLUMN_BITS),
                (at_row | (block << c.COLUMN_BITS)) & philox.MASK,
                ordinal & philox.MASK,
                torch.tensor(purpose, device=key.device),
            )
            made[block] = philox.philox(counter, (lane & philox.MASK, (lane >> 32) & philox.MASK))
        drawn = made[block][word].expand(rows, columns)
        out.append(philox.normals(drawn) if d < step.normals else philox.uniforms(drawn))
    return tuple(out)


def stepper(step: Step) -> Callable[..., tuple[Tensor, tuple[Tensor, ...]]]:
    """Return f(w, up, noise, cell, hidden, params, tables) -> (w, hidden) of a step on tensors, differentiable."""
    function = bound(step.function, ops_torch)
    # A tuple with names is how a step reads them; made here, since an engine passes plain tuples.
    cells, states = namedtuple("cells", step.cell), namedtuple("states", step.hidden)
    numbers = namedtuple("numbers", (*step.params, *step.tables))  # type: ignore[misc]

    def run(w: Tensor, up: Tensor, noise: Any, cell: Any, hidden: Any, params: Any, tables: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        after, remembered = function(w, up, noise, cells(*cell), states(*hidden), numbers(*params, *tables))
        return after, tuple(remembered)

    return run


def look(w: Tensor, probe: Probe | None, done: int, samples: int) -> None:
    """Fill the looks that are due after `done` of the samples."""
    if probe is not None:
        due = (probe.after == done) if done < samples else (probe.after >= done)
        probe.seen[due] = (w.mT if probe.columns else w)[probe.at[due]]


def pulsed_update(cells: Cells, trains: Trains, key: Tensor, purpose: int, ordinals: Tensor, probe: Probe | None = None) -> None:
    """Apply the pulses of S samples in order, each pulse one step of each cell that gets it; changes `cells` in place."""
    function, (rows, columns) = stepper(cells.step), cells.w.shape
    for sample in range(len(ordinals)):
        look(cells.w, probe, sample, len(ordinals))
        count, up = coincidences(trains, sample)
        for pulse in range(int(count.max()) if count.numel() else 0):
            noise = tuple(n.to(cells.w.dtype) for n in draws(cells.step, pulse, rows, columns, key, purpose, ordinals[sample]))
            w, hidden = function(cells.w, up, noise, cells.cell, cells.hidden, cells.params, cells.tables)
            hit = pulse < count
            cells.w.copy_(torch.where(hit, w, cells.w))
            for state, after in zip(cells.hidden, hidden, strict=True):
                state.copy_(torch.where(hit, after, state))
        if cells.pulses is not None:
            cells.pulses[0] += torch.where(up, count, 0)
            cells.pulses[1] += torch.where(up, 0, count)
        if cells.touched is not None:
            cells.touched.logical_or_(count > 0)
    look(cells.w, probe, len(ordinals), len(ordinals))
