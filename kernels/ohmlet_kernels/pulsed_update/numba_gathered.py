"""A gradient gathered in a digital matrix, and the whole steps that are taken from it to be written, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit
from torch import Tensor

from ohmlet_kernels.pulsed_update.numba_vectors import Rows

__all__ = ["gathered"]

ZERO = np.float32(0)


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


def gathered(chi: Tensor, given: Rows, lr: float, step: float, write: bool) -> Rows | None:
    """Add lr d^T x to chi [out, in]; to `write`, take whole steps from it and return a vector for each row with any, if one has."""
    held = chi.numpy()
    rows = _gathered(given.x, given.d, lr, step, held)
    if not write or not rows:
        return None
    outputs, inputs = held.shape
    m, lines, ordinals = np.empty((rows, inputs), np.float32), np.zeros((rows, outputs), np.float32), np.empty(rows, np.int64)
    _taken(held, step, given.ordinals[-1], m, lines, ordinals)
    return Rows(m, lines, ordinals, given.key, f"{given.path}/transfer")
