"""The product itself on a CPU, by the fastest of torch's own libraries."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

__all__ = ["accumulate", "most_rows", "times", "turned"]

SMALL = 1 << 15
"""Multiplications up to which calling a library takes longer than a plain loop does."""
LARGE = 1 << 20
"""Multiplications from which oneDNN's preparation is worth it."""

_linear: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


@njit(nogil=True, cache=True, error_model="numpy")
def turned(b, out):  # type: ignore[no-untyped-def]
    """Fill out [in, out] with b [out, in]."""
    rows, columns = b.shape
    # Gathering what is read and writing in order is the quicker, but not for a few numbers at a time.
    if rows >= 16:
        for k in range(columns):
            for i in range(rows):
                out[k, i] = b[i, k]
    else:
        for i in range(rows):
            for k in range(columns):
                out[k, i] = b[i, k]


@njit(nogil=True, cache=True, error_model="numpy")
def accumulate(a, b, y):  # type: ignore[no-untyped-def]
    """Fill y [rows, out] with a b of a [rows, in] and b [in, out]: entry by entry of the inputs, one rounding after each operation."""
    inputs, outputs = b.shape
    for i in range(len(a)):
        to, drive = y[i], a[i]
        for j in range(outputs):
            to[j] = np.float32(0)
        for k in range(0, inputs - 3, 4):
            a0, a1, a2, a3 = drive[k], drive[k + 1], drive[k + 2], drive[k + 3]
            b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
            for j in range(outputs):
                to[j] = (((to[j] + a0 * b0[j]) + a1 * b1[j]) + a2 * b2[j]) + a3 * b3[j]
        for k in range(inputs // 4 * 4, inputs):
            a0, b0 = drive[k], b[k]
            for j in range(outputs):
                to[j] = to[j] + a0 * b0[j]


@njit(nogil=True, cache=True, error_model="numpy")
def _product(a, b, y):  # type: ignore[no-untyped-def]
    across = np.empty((b.shape[1], b.shape[0]), np.float32)
    turned(b, across)
    accumulate(a, across, y)


def most_rows(outputs: int, inputs: int) -> int:
    """Return up to how many rows a product is made of by the loops here rather than by a library."""
    rows = (SMALL - 1) // max(outputs * inputs, 1)
    return rows if rows >= 4 else -1


def times(a: Tensor, b: Tensor) -> Tensor:
    """Return a b^T [..., rows, out] of a [..., rows, in] and b [..., out, in], float32.

    Matrices go to oneDNN, whose loops suit the processor whoever made it; torch's own choice, MKL, holds back on some of them.
    """
    if b.ndim > 2:
        return torch.matmul(a, b.mT)
    if a.ndim == 2 and len(a) <= most_rows(*b.shape) and a.is_contiguous() and b.is_contiguous():
        y = np.empty((len(a), len(b)), np.float32)
        _product(a.detach().numpy(), b.detach().numpy(), y)
        return torch.from_numpy(y)
    if _linear is None or a.numel() * b.shape[0] < LARGE or not torch.backends.mkldnn.enabled:
        return torch.nn.functional.linear(a, b)
    out: Tensor = _linear(a, b, None, "none", [], "")
    return out
