"""The solution of crossbars compiled for the CPU."""

from __future__ import annotations

from functools import partial

from ohmlet_kernels.crossbar_solve import solve

__all__ = ["crossbar_solve"]

crossbar_solve = partial(solve.crossbar_solve, kernel="numba")
