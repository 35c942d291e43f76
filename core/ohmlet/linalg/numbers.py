"""Between numpy, torch and what crossbars hold: kinds of numbers, complex ones as pairs of real lines, and indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_block", "finite", "from_block", "lines", "paired", "tensor_of"]


def tensor_of(value: Any, what: str) -> tuple[Tensor, bool]:
    """Return numbers as a tensor, and whether they came as one; raises TypeError for what are no numbers."""
    if isinstance(value, Tensor):
        return value, True
    given = np.asarray(value)
    if given.dtype.kind not in "biufc":
        raise TypeError(f"{what} must hold numbers, not {given.dtype}")
    return torch.from_numpy(np.array(given)), False


def finite(value: Tensor, what: str) -> Tensor:
    """Return the numbers; raises ValueError with how many of them are NaN or infinite."""
    bad = int((~torch.isfinite(value)).sum())
    if bad:
        raise ValueError(f"{what} holds {bad} of {value.numel()} numbers that are not finite (NaN or infinite)")
    return value


def as_block(matrix: Tensor) -> Tensor:
    """Return [[Re, -Im], [Im, Re]] of a complex matrix, whose product with (Re x, Im x) is (Re y, Im y)."""
    re, im = matrix.real, matrix.imag
    return torch.cat((torch.cat((re, -im), dim=1), torch.cat((im, re), dim=1)))


def from_block(block: Tensor) -> Tensor:
    """Return the complex matrix of a block [2 out, 2 in], the mean of the two copies where they differ."""
    (a, b), (c, d) = (row.chunk(2, dim=1) for row in block.chunk(2))
    return torch.complex((a + d) / 2, (c - b) / 2)


def paired(lines_: Tensor, count: int) -> Tensor:
    """Return the real lines of complex ones, of which there are so many: real parts first."""
    return torch.cat((lines_, lines_ + count))


def lines(key: Any, count: int, axis: str, *, drop: bool) -> tuple[np.ndarray[Any, Any], bool]:
    """Return which of `count` lines an index selects, and whether it is a single number.

    Raises IndexError for an index that is outside, selects nothing or one line twice, and for a number unless `drop`.
    """
    try:
        found = np.arange(count)[key]
    except IndexError as error:
        raise IndexError(f"{axis}s are 0 to {count - 1}, and {key!r} selects others: {error}") from None
    if found.ndim == 0 and not drop:
        raise IndexError(f"{axis} {key!r} alone would leave no matrix; write {key!r}:{int(key) + 1 or ''}")
    if found.ndim > 1:
        raise IndexError(f"an index of {axis}s has one size, not {found.shape}")
    chosen = np.atleast_1d(found).copy()  # torch has no negative strides
    if not len(chosen):
        raise IndexError(f"{key!r} selects none of {count} {axis}s")
    if len(np.unique(chosen)) < len(chosen):
        raise IndexError(f"{key!r} selects a {axis} twice, and there is one of each")
    return chosen, found.ndim == 0
