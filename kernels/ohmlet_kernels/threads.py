"""Compiled loops on several threads: rows are dealt out to a pool of plain threads, as many as torch uses.

Not numba's own parallel loops: their threads spin beside torch's, and on a busy machine a small loop waits for a whole time slice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["PARALLEL_FROM", "over_rows"]

PARALLEL_FROM = 1 << 19
"""Numbers below which waking another thread costs more than it saves."""


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="ohmlet")


def over_rows(rows: int, numbers: int, run: Callable[[int, int], None], pieces: int = 1) -> None:
    """Call `run(first, last)` for parts of the rows that together make up all of them, at once if `numbers` makes it worthwhile.

    `run` must release the interpreter's lock and write to its own rows only. A thread takes `pieces` parts, one after the other: more
    than one where rows differ in work.
    """
    threads = 1 if numbers < PARALLEL_FROM else min(torch.get_num_threads(), rows)
    if threads < 2:
        run(0, rows)
        return
    parts = min(threads * pieces, rows)
    bounds = [rows * index // parts for index in range(parts + 1)]
    list(_pool(threads).map(run, bounds[:-1], bounds[1:]))
