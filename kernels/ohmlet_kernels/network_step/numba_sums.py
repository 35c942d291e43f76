"""Sums over a mini-batch compiled, in the order in which torch adds on the CPU: a bias's gradient to the last bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

__all__ = ["lanes_of", "orders", "sums", "total"]

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
def _apart(g, j):  # type: ignore[no-untyped-def]
    """Return the sum of column j of g [rows, n], every fourth entry apart."""
    rows, each = len(g), len(g) // APART
    total = _cascade(g, 0, APART, each, j)
    for i in range(each * APART, rows):
        total = total + g[i, j]
    for k in range(1, APART):
        total = total + _cascade(g, k, APART, each, j)
    return total


@njit(nogil=True, cache=True, error_model="numpy")
def total(x, lanes):  # type: ignore[no-untyped-def]
    """Return the sum of x [n]: of as many lanes as a vector has, then of what is left and of the lanes."""
    whole = len(x) // lanes
    if whole == 0:
        return _apart(x.reshape(len(x), 1), 0)
    rows, made = x[: whole * lanes].reshape(whole, lanes), np.float32(0)
    for i in range(whole * lanes, len(x)):
        made = made + x[i]
    for j in range(lanes):
        made = made + _apart(rows, j)
    return made


@njit(nogil=True, cache=True, error_model="numpy")
def sums(g, group, lanes, out):  # type: ignore[no-untyped-def]
    """Fill out [n] with the sums of the columns of g [rows, n]: row by row in whole groups of columns; one column as `total`."""
    rows, columns = g.shape
    if columns == 1:
        out[0] = total(g.reshape(rows), lanes)
        return
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
    for j in range(whole, columns):
        out[j] = _apart(g, j)


@functools.lru_cache(256)
def orders(rows: int, columns: int) -> tuple[int, int]:
    """Return group and lanes with which `sums` of this size are torch's on this processor, or zeros if they are not."""
    if rows >= AT_ONCE * AT_ONCE:
        return 0, 0
    out = np.empty(columns, np.float32)
    for group, lanes in (64, 8), (32, 8), (16, 8), (4, 8), (64, 16), (64, 4):
        if all(_same(_spread(rows, columns, trial), lambda g: (sums(g.numpy(), group, lanes, out), out)[1], 0) for trial in range(32)):  # noqa: B023
            return group, lanes
    return 0, 0


@functools.lru_cache(256)
def lanes_of(count: int) -> int:
    """Return the lanes with which `total` of so many numbers is torch's on this processor, or 0 if it is not."""
    if count >= AT_ONCE**3:
        return 0
    for lanes in (8, 16, 4):
        if all(_same(_spread(1, count, trial)[0], lambda g: total(g.numpy(), lanes), 0) for trial in range(32)):  # noqa: B023
            return lanes
    return 0


def _same(g: Tensor, made: Callable[[Tensor], Any], dim: int) -> bool:
    return np.array_equal(made(g), g.sum(dim).numpy())


def _spread(rows: int, columns: int, trial: int) -> Tensor:
    """Return numbers without order, of both signs and many sizes; torch's generator is left alone."""
    at = torch.linspace(0, 1, rows * columns, dtype=torch.float32, device="cpu").reshape(rows, columns)
    return torch.sin(at * (12.9898 * 10**4 * (trial + 1))) * torch.exp2(8 * torch.sin(at * (7e4 + trial)))
