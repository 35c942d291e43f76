"""A gradient gathered in a digital matrix, and the whole steps that are taken from it to be written, compiled."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import cfunc, njit
from torch import Tensor

from ohmlet_kernels.addresses import called, counts, doubles, reals
from ohmlet_kernels.pulsed_update import numba_blocks as at
from ohmlet_kernels.pulsed_update.numba_blocks import Plan
from ohmlet_kernels.pulsed_update.numba_blocks import at as address
from ohmlet_kernels.pulsed_update.numba_vectors import Views

__all__ = ["gathered"]

ZERO = np.float32(0)
CHI, VECTORS, EVERY, RATES, M, LINES, NUMBERED, PLAN, BLOCK = range(at.HEAD, at.HEAD + 9)
SIZE = at.HEAD + 9


@njit(nogil=True, cache=True, error_model="numpy")
def _gathered(x, d, rate, size, chi):  # type: ignore[no-untyped-def]
    """Add rate d^T x to chi [out, in]; return how many of its rows then have a whole step of `size`."""
    rows, outputs, inputs = 0, len(chi), chi.shape[1]
    lr, step, total = np.float32(rate), np.float32(size), np.empty(inputs, np.float32)
    for i in range(outputs):
        total[:] = ZERO
        for s in range(len(x)):
            e, drive = d[s, i], x[s]
            for j in range(inputs):
                total[j] = total[j] + e * drive[j]
        held, anything = chi[i], False
        for j in range(inputs):
            held[j] = held[j] + lr * total[j]
            anything |= np.trunc(held[j] / step) != ZERO
        rows += anything
    return rows


@njit(nogil=True, cache=True, error_model="numpy")
def _taken(chi, size, ordinal, m, lines, ordinals):  # type: ignore[no-untyped-def]
    """Take whole steps from chi [out, in]: their numbers to m [rows, in] for each row with any, a one for it to `lines` [rows, out]."""
    rows, step, steps = 0, np.float32(size), np.empty(chi.shape[1], np.float32)
    for i in range(len(chi)):
        held, anything = chi[i], False
        for j in range(len(held)):
            steps[j] = np.trunc(held[j] / step)
            anything |= steps[j] != ZERO
        if not anything:
            continue
        for j in range(len(held)):
            held[j] = held[j] - steps[j] * step
        m[rows], lines[rows, i], ordinals[rows] = steps, np.float32(1), ordinal * len(chi) + i
        rows += 1


@njit(nogil=True, cache=True, error_model="numpy")
def _written(address):  # type: ignore[no-untyped-def]
    """Gather the vectors of a block, and write what is due on the way."""
    b = counts(address, SIZE)
    samples, ins, outs, rates = b[at.SAMPLES], b[at.COLUMNS], b[at.ROWS], doubles(b[RATES], 2)
    x, d, chi = reals(b[at.X], (samples, ins)), reals(b[at.D], (samples, outs)), reals(b[CHI], (outs, ins))
    ordinals, vectors, write = counts(b[at.ORDINALS], samples), counts(b[VECTORS], 1), counts(b[BLOCK], at.STATE)
    done = 0
    for after in range(1, samples + 1):
        due = (vectors[0] + after) % b[EVERY] == 0
        if not due and after < samples:
            continue
        rows = _gathered(x[done:after], d[done:after], rates[0], rates[1], chi)
        if due and rows > 0:
            lines = reals(b[LINES], (rows, outs))
            lines[:] = ZERO
            _taken(chi, rates[1], ordinals[after - 1], reals(b[M], (rows, ins)), lines, counts(b[NUMBERED], rows))
            write[at.SAMPLES], write[at.KEY] = rows, b[at.KEY]
            called(b[PLAN], b[BLOCK])
        done = after
    vectors[0] += samples
    return np.int64(1)


@functools.cache
def _compiled() -> Any:
    return cfunc("int64(int64)", cache=True)(_written.py_func)


def gathered(
    chi: Tensor, vectors: Tensor, views: Views, samples: int, lr: float, step: float, every: int, pulses: Any, rate: float,
    granularity: float, path: str,
) -> Plan | None:  # fmt: skip
    """Return the update that adds lr d^T x to chi [out, in] and writes whole steps of it every so many vectors; None where it takes more.

    `vectors` int64 [1] counts them; each row with a whole step is a vector of its own, pulsed at `rate` in steps of `granularity`.
    """
    outs, ins = chi.shape
    plain = chi.is_cpu and chi.is_contiguous() and chi.dtype == torch.float32
    write = views.plan(pulses, outs, rate, granularity, f"{path}/transfer") if plain else None
    if write is None:
        return None
    m, lines, ordinals = np.empty((outs, ins), np.float32), np.empty((outs, outs), np.float32), np.empty(outs, np.int64)
    rates, block = np.array([lr, step]), np.zeros(SIZE, np.int64)
    write.block[at.X], write.block[at.D], write.block[at.ORDINALS] = (address(each) for each in (m, lines, ordinals))
    block[:3] = outs, ins, samples
    block[at.HEAD :] = (
        chi.data_ptr(), vectors.data_ptr(), every, address(rates), address(m), address(lines), address(ordinals), write.function,
        write.address,
    )  # fmt: skip

    def pace(lr: float) -> bool:
        rates[0] = lr
        return True

    return Plan(_compiled(), block, pace, write, chi, vectors, m, lines, ordinals, rates)
