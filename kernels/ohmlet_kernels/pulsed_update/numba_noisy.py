"""Updates of cells with write noise: what reads see of a cell is drawn anew whenever it is written, before each look too."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba import cfunc, njit
from torch import Tensor

from ohmlet_kernels.addresses import called, counts, flags, reals
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.noise.numba import normals_of_row, padded
from ohmlet_kernels.pulsed_update import numba_blocks as at
from ohmlet_kernels.pulsed_update.numba_blocks import Plan
from ohmlet_kernels.pulsed_update.numba_blocks import at as address

__all__ = ["noisy"]

FUNCTION, BLOCK, APPARENT, STD, EVENTS, FOR_WRITES = range(at.STATE, at.STATE + 6)
SIZE = at.STATE + 6


@njit(nogil=True, cache=True, error_model="numpy")
def _written(w, marks, apparent, std, key, events, purpose):  # type: ignore[no-untyped-def]
    """Make `apparent` w + std xi where cells are marked, all [out, in], and take the marks away; counts one event."""
    rows, columns = w.shape
    ordinal = np.uint64(events[0])
    events[0] += 1
    xi, pairs = np.empty(padded(columns), np.float32), np.empty((padded(columns) + 1) // 2, np.uint64)
    for row in range(rows):
        anything = False
        for j in range(columns):
            anything |= marks[row, j]
        if not anything:
            continue
        normals_of_row(xi, pairs, columns, row, ordinal, key, purpose)
        for j in range(columns):
            apparent[row, j] = xi[j] * std + w[row, j] if marks[row, j] else apparent[row, j]
            marks[row, j] = False


@njit(nogil=True, cache=True, error_model="numpy")
def _noisy(address):  # type: ignore[no-untyped-def]
    """Pulse the vectors of a block part by part, up to each look at the cells, and draw what reads see after each part."""
    b = counts(address, SIZE)
    rows, columns, samples, looks = b[at.ROWS], b[at.COLUMNS], b[at.SAMPLES], b[at.LOOKS]
    inner, shape = counts(b[BLOCK], at.STATE + 1), (rows, columns)
    after, which, seen = counts(b[at.AFTER], looks), counts(b[at.AT], looks), reals(b[at.SEEN], (looks, b[at.WIDTH]))
    w, apparent, marks, std = reals(inner[at.STATE], shape), reals(b[APPARENT], shape), flags(b[at.MARKS], shape), reals(b[STD], 1)[0]
    events, key = counts(b[EVENTS], 1), np.uint64(counts(b[at.OWN_KEY], 1)[0])
    inner[at.KEY], done = b[at.KEY], 0
    for t in range(looks + 1):
        until = after[t] if t < looks else samples
        if until > done:
            inner[at.SAMPLES], inner[at.RATES], inner[at.ORDINALS] = until - done, b[at.RATES] + 8 * done, b[at.ORDINALS] + 8 * done
            inner[at.X], inner[at.D] = b[at.X] + 4 * done * columns, b[at.D] + 4 * done * rows
            called(b[FUNCTION], b[BLOCK])
            _written(w, marks, apparent, std, key, events, np.uint64(b[FOR_WRITES]))
            done = until
        if t < looks:
            for j in range(seen.shape[1]):
                seen[t, j] = apparent[j, which[t]] if b[at.BY_COLUMNS] else apparent[which[t], j]
    return np.int64(1)


@functools.cache
def _compiled() -> Any:
    return cfunc("int64(int64)", cache=True)(_noisy.py_func)


@functools.lru_cache(1024)
def _purpose(path: str) -> int:
    return int(np.uint64(purpose_word(f"{path}/write noise/write noise")).view(np.int64))


def noisy(plan: Plan, apparent: Tensor, std: float, events: Tensor, path: str) -> Plan:
    """Return a plan's update for cells that reads see as `apparent` [out, in], w + std xi drawn when they are written.

    xi has the array's key, the number of the event out of `events` int64 [1], which counts them, and a word of the path. Looks are at
    what reads see.
    """
    inner = plan.block
    marks, spread = np.zeros((int(inner[at.ROWS]), int(inner[at.COLUMNS])), np.bool_), np.array([std], np.float32)
    inner[at.MARKS] = address(marks)
    block: Any = np.zeros(SIZE, np.int64)
    block[: at.STATE] = inner[: at.STATE]
    inner[at.LOOKS] = 0
    block[at.STATE :] = plan.function, plan.address, apparent.data_ptr(), address(spread), events.data_ptr(), _purpose(path)
    return Plan(_compiled(), block, plan.pace, plan, apparent, events, marks, spread)
