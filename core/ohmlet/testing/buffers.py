"""Buffers that show what a kernel leaves unwritten, and what it reads or writes beyond its tensors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.utils import deterministic

from ohmlet.testing.expect import expect

__all__ = ["Guards", "poisoned"]

MARGIN = 64
"""Elements before and behind a guarded tensor."""


@contextmanager
def poisoned() -> Iterator[None]:
    """Let torch fill all that it allocates with NaN, integers with their largest: what a kernel does not write then shows."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    filled = deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        # The switch that fills memory also makes torch's own operations say when they sum in no fixed order.
        warnings.simplefilter("ignore", UserWarning)
        try:
            torch.use_deterministic_algorithms(True, warn_only=True)
            deterministic.fill_uninitialized_memory = True  # type: ignore[attr-defined]
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])
            deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]


class Guards:
    """Makes tensors that lie in the middle of larger buffers, whose margins are NaN and must stay it."""

    def __init__(self) -> None:
        self._buffers: list[tuple[Tensor, Tensor]] = []

    def __call__(self, value: Tensor) -> Tensor:
        """Return a contiguous copy between two margins: of NaN, of the smallest integers, or of false."""
        margin = float("nan") if value.is_floating_point() else 0 if value.dtype == torch.bool else torch.iinfo(value.dtype).min
        buffer = value.new_full((value.numel() + 2 * MARGIN,), margin)
        inner = buffer[MARGIN : MARGIN + value.numel()]
        inner.copy_(value.reshape(-1))
        self._buffers.append((buffer, buffer[:1].clone()))
        return inner.view(value.shape)

    def check(self, words: str) -> None:
        """Raise AssertionError when something was written into a margin."""
        for buffer, margin in self._buffers:
            edges = torch.cat((buffer[:MARGIN], buffer[len(buffer) - MARGIN :]))
            same = bool(edges.isnan().all()) if buffer.is_floating_point() else bool((edges == margin).all())
            expect(same, f"{words} writes beyond the tensors that it is given")
