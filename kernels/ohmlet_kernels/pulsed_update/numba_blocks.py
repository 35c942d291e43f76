"""Updates that are bound to the memory they work on: compiled code that a block of integers tells everything, called with its address.

A block is int64: sizes, addresses and what else is an integer; real numbers lie in arrays of their own. All blocks begin alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit

from ohmlet_kernels.addresses import called, counts

__all__ = ["HEAD", "Plan", "at"]

ROWS, COLUMNS, SAMPLES, X, D, ORDINALS, KEY = range(7)
HEAD = 7
"""Outputs, inputs and vectors; addresses of float32 [S, in], float32 [S, out], int64 [S], and of the key of the noise."""

RATES, FOR_X, FOR_D, OWN_KEY, PURPOSE, DESIRED, FIXED, MANAGED, LENGTHS, NUMBERS, COUNTED = range(HEAD, HEAD + 11)
LOOKS, AFTER, AT, BY_COLUMNS, SEEN, WIDTH, PARAMS, MARKS, STATE = range(HEAD + 11, HEAD + 20)
"""Of `pulse`, whose arguments they are, marks of the cells that are pulsed among them, 0 for none; from STATE on its weights, cell arrays
and hidden states, then its tables with their lengths."""


def at(array: Any) -> int:
    """Return the address of a NumPy array."""
    return int(array.__array_interface__["data"][0])


@njit(nogil=True, cache=True)
def _run(function, block, x, d, ordinals, held, key):  # type: ignore[no-untyped-def]
    """Write where the arrays are, which takes Python ten times as long, and call the function."""
    b = counts(block, HEAD)
    held[0] = key
    b[X], b[D], b[ORDINALS], b[KEY] = x.ctypes.data, d.ctypes.data, ordinals.ctypes.data, held.ctypes.data
    return called(function, block)


class Plan:
    """An update of so many vectors that takes nothing but these: a compiled function and its block, with what must live as long.

    `pace` takes what depends on the learning rate `lr`, writes it where the function finds it, and returns whether it could.
    """

    lr: float | None = None

    def __init__(self, compiled: Any, block: Any, pace: Callable[..., bool], *kept: Any) -> None:
        self.function, self.block, self.address, self.pace = int(compiled.address), block, at(block), pace
        self.held = np.empty(1, np.uint64)
        self.kept = (compiled, *kept)

    def __reduce__(self) -> Any:
        """Pickle and copy as nothing: a copy has its memory elsewhere."""
        return type(None), ()

    def __call__(self, x: Any, d: Any, ordinals: Any, key: np.uint64) -> None:
        """Make the update for vectors x float32 [S, in] and d float32 [S, out] in order, with ordinals int64 [S]."""
        _run(self.function, self.address, x, d, ordinals, self.held, key)
