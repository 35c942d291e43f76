"""Where a search begins: settings spread out around those that the reads suggest, the best of them, and what they do at all."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ohmlet.fitting.measurements import Trace
from ohmlet.fitting.residuals import Residuals
from ohmlet.interfaces.device import Device

__all__ = ["determined", "edges", "first_guess", "screened", "told_apart"]

Array = NDArray[np.float64]

BEYOND = 0.1
"""How far beyond the reads bounds are guessed, relative to what the reads span."""

FAR = 2.5
"""How much farther than the others every other candidate lies from the start."""

REDUNDANT = 1e-8
"""Share of a setting's effect that no combination of the others has, below which it is redundant."""


def first_guess(device: Device, traces: tuple[Trace, ...]) -> dict[str, float]:
    """Return settings that the reads suggest by themselves: bounds beyond all of them, a step of the size that they show.

    Only `w_max`, `w_min` and `dw_min` are guessed, whose meaning all devices share; others start as they are set.
    """
    values = np.concatenate([trace.seen for trace in traces])
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    margin = BEYOND * max(high - low, 1e-9)
    out = {}
    if hasattr(device, "w_max"):
        out["w_max"] = max(high + margin, margin)
    if hasattr(device, "w_min"):
        out["w_min"] = min(low - margin, -margin)
    sizes = []
    for trace in traces:
        # A tenth of the trace at a time: noise averages out, and the direction seldom changes within.
        places = np.flatnonzero(np.isfinite(trace.seen))
        way = np.cumsum(trace.direction)
        for first, last in zip(places[: -max(len(places) // 10, 1)], places[max(len(places) // 10, 1) :], strict=True):
            if way[last] != way[first]:
                sizes.append((trace.seen[last] - trace.seen[first]) / (way[last] - way[first]))
    size = float(np.median(np.abs(sizes))) if sizes else 0.0
    if hasattr(device, "dw_min") and size > 0:
        out["dw_min"] = size
    return out


def edges(traces: tuple[Trace, ...]) -> dict[str, float]:
    """Return the bounds that reads suggest where devices stand still at them: what all but a few reads lie within."""
    values = np.concatenate([trace.seen for trace in traces])
    low, high = np.nanquantile(values, (0.02, 0.98))
    return {"w_max": max(float(high), 1e-6), "w_min": min(float(low), -1e-6)}


def screened(residuals: Residuals, start: Array, at_edges: Array, candidates: int, best: int) -> list[Array]:
    """Return the coordinates [p] of the best of at least as many candidates around `start` and `at_edges`, the best first.

    Candidates are the points of a Sobol' sequence, so the same measurements always give the same ones.
    """
    from scipy.stats import norm, qmc

    p, devices = len(start), residuals.seen.shape[1]
    points = qmc.Sobol(p, scramble=False).random_base2(max(candidates - 1, 1).bit_length())
    # The first point of the sequence is all zeros: the start itself.
    points[0] = 0.5
    spread = norm.ppf(np.clip(points, 0.02, 0.98)) * np.array([each.scale for each in residuals.coordinates])
    # Every other one far off: what a class has by default may be decades from what was measured.
    spread[1::2] *= FAR
    low = np.array([each.low for each in residuals.coordinates])
    high = np.array([each.high for each in residuals.coordinates])
    # Bounds at the edges stay there: beyond them nothing shows that they are bounds.
    moved = np.where(at_edges == start, spread, 0.0)
    places = np.clip(np.concatenate([start + spread, at_edges + moved]), low, high)
    inputs = [residuals.inputs(place) for place in places]
    possible = [place for place, found in enumerate(inputs) if found is not None]
    if not possible:
        return []
    many = np.stack([found for found in inputs if found is not None]).repeat(devices, 0)
    direction, seen = np.tile(residuals.direction, (1, len(possible))), np.tile(residuals.seen, (1, len(possible)))
    gains = None if residuals.gains is None else np.tile(residuals.gains, (1, len(possible), 1))
    with np.errstate(all="ignore"):
        _, after = residuals.model.follow(many, direction, seen, gains)
        off = np.nan_to_num((after[..., 0] - seen)[1:] ** 2, nan=0.0, posinf=math.inf)
    bad = ~np.isfinite(after[..., 0]).all(0)
    cost = np.where(bad, math.inf, off.sum(0)).reshape(len(possible), devices).sum(1)
    order = [possible[place] for place in np.argsort(cost, kind="stable") if math.isfinite(cost[place])]
    half = len(places) // 2
    # Of either kind, since one cannot turn into the other.
    chosen = [*[place for place in order if place < half][:best], *[place for place in order if place >= half][:best]]
    return [places[place] for place in order if place in chosen]


def determined(residuals: Residuals, places: list[Array]) -> tuple[list[int], dict[int, str]]:
    """Return which coordinates the traces can tell, and of the others why not, from their effects at several places.

    A coordinate is given up when at none of the places the reads depend on it, or when at each its effect is one that those before it
    have together; bounds come last, so that they are given up first.
    """
    devices, p = residuals.seen.shape[1], len(residuals.coordinates)
    order = sorted(range(p), key=lambda place: residuals.coordinates[place].path in {"w_max", "w_min"})
    free = {place: [0.0, 0.0] for place in range(p)}
    for at in places:
        matrix = residuals.normal(np.tile(at, (devices, 1))).matrix.sum(0)
        left = matrix.copy()
        kept: list[int] = []
        largest = max(float(matrix.diagonal().max()), 1e-300)
        for place in order:
            size, own = float(matrix[place, place]), float(left[place, place])
            free[place][0] = max(free[place][0], size / largest)
            free[place][1] = max(free[place][1], own / size if size > 0 else 0.0)
            if own > REDUNDANT * size and size > 0:
                kept.append(place)
                left = left - np.outer(left[:, place], left[place]) / own
    keep, why = [], {}
    for place in range(p):
        effect, own = free[place]
        if effect <= 1e-12:
            why[place] = "no read depends on it"
        elif own <= REDUNDANT:
            why[place] = "other settings have the same effect"
        else:
            keep.append(place)
    return keep, why


def told_apart(matrix: Array, limits: Array, paths: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which coordinates the reads tell better than `limits` [p], given those before them; bounds come last.

    `matrix` [p, p] is that of the normal equations, in units of the scatter.
    """
    kept = np.zeros(len(paths), dtype=np.bool_)
    left = matrix.copy()
    for place in sorted(range(len(paths)), key=lambda place: paths[place] in {"w_max", "w_min"}):
        own = float(left[place, place])
        if own * limits[place] ** 2 > 1 and own > REDUNDANT * matrix[place, place]:
            kept[place] = True
            left = left - np.outer(left[:, place], left[place]) / own
    return kept
