"""Sums over a mini-batch compiled, in the order in which torch adds on the CPU: a bias's gradient to the last bit."""

from __future__ import annotations

import functools

import numpy as np
import torch
from numba import njit

__all__ = ["grouped", "sums"]

AT_ONCE = 16
"""Rows after which torch begins a new partial sum."""
APART = 4
"""Partial sums of a column that lies in no group."""


@njit(nogil=True, cache=True, error_model="numpy")
def _cascade(g, first, by, count, j):  # type: ignore[no-untyped-def]
    """Return the sum of so many entries of column j of g [rows, n], every `by`-th from row `first` on, in partial sums."""
    low, high = np.float32(0), np.float32(0)
    for i in range(count):
        low = low + g[first + i * by, j]
        if (i + 1) % AT_ONCE == 0:
            high, low = high + low, np.float32(0)
    return low + high


@njit(nogil=True, cache=True, error_model="numpy")
def sums(g, group, out):  # type: ignore[no-untyped-def]
    """Fill out [n] with the sums of the columns of g [rows, n], rows one after the other in whole groups of columns."""
    rows, columns = g.shape
    whole = columns // group * group
    if rows < AT_ONCE:
        for j in range(whole):
            out[j] = np.float32(0)
        for i in range(rows):
            for j in range(whole):
                out[j] = out[j] + g[i, j]
    else:
        for j in range(whole):
            out[j] = _cascade(g, 0, 1, rows, j)
    each = rows // APART
    for j in range(whole, columns):
        total = _cascade(g, 0, APART, each, j)
        for i in range(each * APART, rows):
            total = total + g[i, j]
        for k in range(1, APART):
            total = total + _cascade(g, k, APART, each, j)
        out[j] = total


@functools.lru_cache(256)
def grouped(rows: int, columns: int) -> int:
    """Return the group of columns with which `sums` of this size are torch's on this processor, or 0 if they are not."""
    if rows >= AT_ONCE * AT_ONCE:
        return 0
    spread = torch.linspace(0, 1, rows * columns, dtype=torch.float32, device="cpu").reshape(rows, columns)
    out = np.empty(columns, np.float32)
    for group in (64, 32, 16, 4):
        for trial in range(1, 33):
            # Numbers without order, of both signs, and torch's generator left alone.
            g = torch.sin(spread * (12.9898 * 10**4 * trial)) * torch.exp2(8 * torch.sin(spread * (7e4 + trial)))
            sums(g.numpy(), group, out)
            if not np.array_equal(out, g.sum(0).numpy()):
                break
        else:
            return group
    return 0
