"""Conductances of one weight, number by number in float64."""

from __future__ import annotations


def n_pair(w: float, factors: tuple[float, ...], g_min: float, g_max: float) -> list[float]:
    """Return g1+, g1-, g2+, ...: each pair takes what is left of the weight until it is full."""
    span, out = g_max - g_min, []
    rest = abs(w) * span * sum(factors)
    for f in factors:
        taken = min(rest, f * span)
        rest -= taken
        out += [g_min + taken / f, g_min] if w > 0 else [g_min, g_min + taken / f]
    return out


def single_device(w: float, g_min: float, g_max: float) -> float:
    """Return the conductance of w, the middle of the window standing for zero."""
    return g_min + (g_max - g_min) * (w + 1.0) / 2.0


def lines(x: float, nodes: list[float], values: list[float]) -> float:
    """Return the straight lines between the nodes at x."""
    for left, right, low, high in zip(nodes, nodes[1:], values, values[1:], strict=False):
        if left <= x <= right:
            return low + (high - low) * (x - left) / (right - left)
    raise ValueError(x)
