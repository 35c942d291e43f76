"""What a transfer between two arrays that an engine makes in one call is told."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Rule", "Sweep"]


class Sweep(NamedTuple):
    """When slices are read, and when their signs flip after it."""

    every: int
    """Vectors from one read to the next; 0 for never."""
    columns: bool
    """Whether slices are columns."""
    random: float = 0.0
    """Probability of a flip."""
    regular: int = 0
    """Sweeps from one regular flip to the next; 0 for never."""
    at: int = 0
    """Which sweep of a period has the flip."""


class Rule(NamedTuple):
    """What becomes of a read-out v, in a buffer h with references P and means M where there are such.

    h <- h + c gain (v - P)         c the signs; h = 0 before unless it is kept
    n = trunc(h / threshold)        pulses, at most `most`; none are made up to sweep `period`
    h <- momentum h where n is not 0, or h - (1 - momentum) n threshold unless it forgets; then at most `cap` in size, 0 for no limit
    M <- (1 - beta) M + beta v
    """

    gain: float = 1.0
    threshold: float = 1.0
    most: int = 1
    momentum: float = 0.0
    forget: bool = True
    keep: bool = True
    period: int = 0
    beta: float = 0.0
    cap: float = 0.0
