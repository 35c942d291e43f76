"""Residuals of traces: what a device with given settings predicts of each read, and how that changes with the settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from ohmlet.fitting.filtering import sensitivities
from ohmlet.fitting.least_squares import Normal
from ohmlet.fitting.measurements import Trace
from ohmlet.fitting.settings import Coordinate, with_settings
from ohmlet.fitting.step_model import Linearised, StepModel
from ohmlet.interfaces.device import Device

__all__ = ["Residuals", "padded"]

Array = NDArray[np.float64]

NUDGE = 1e-5
"""Change of a coordinate over which the step's inputs are differentiated; they are smooth and in double precision."""


def padded(traces: Sequence[Trace]) -> tuple[NDArray[np.int8], Array]:
    """Return directions and reads [T, B] of traces, short ones filled up with nothing."""
    longest = max(len(trace.seen) for trace in traces)
    direction, seen = np.zeros((longest, len(traces)), dtype=np.int8), np.full((longest, len(traces)), np.nan)
    for place, trace in enumerate(traces):
        direction[: len(trace.seen), place] = trace.direction
        seen[: len(trace.seen), place] = trace.seen
    return direction, seen


@define(eq=False)
class Residuals:
    """Traces, the device whose settings are looked for, and the coordinates of these; `gains` and `variance` as the filter says."""

    model: StepModel
    device: Device
    coordinates: tuple[Coordinate, ...]
    direction: NDArray[np.int8]
    seen: Array
    gains: Array | None = None
    """[T, B, n]; no corrections without."""
    variance: Array | None = None
    """[T, B]; 1 without."""
    known: dict[bytes, Array | None] = field(factory=dict)

    def settings(self, t: Array) -> dict[str, float]:
        """Return the settings at coordinates [p]."""
        return {each.path: each.value(float(at)) for each, at in zip(self.coordinates, t, strict=True)}

    def inputs(self, t: Array) -> Array | None:
        """Return the step's inputs at coordinates [p], or None where the device refuses the settings."""
        key = t.tobytes()
        if key not in self.known:
            if len(self.known) > 20_000:
                self.known.clear()
            try:
                found = self.model.inputs(with_settings(self.device, self.settings(t)))
            except (ValueError, ArithmeticError):
                self.known[key] = None
            else:
                self.known[key] = found if np.isfinite(found).all() else None
        return self.known[key]

    def input_slopes(self, t: Array) -> Array:
        """Return the derivatives [inputs, p] of the step's inputs by the coordinates, one-sided where only one side is possible."""
        here = self.inputs(t)
        assert here is not None
        out = np.zeros((len(here), len(t)))
        for place in range(len(t)):
            ends = []
            for sign in (1, -1):
                moved = t.copy()
                moved[place] += sign * NUDGE
                found = self.inputs(moved)
                ends.append((sign, found) if found is not None else (0, here))
            (first, above), (second, below) = ends
            if first != second:
                out[:, place] = (above - below) / ((first - second) * NUDGE)
        return out

    def states(self, t: Array) -> tuple[Array, Array, Array, NDArray[np.bool_]]:
        """Return the inputs [B, inputs], the states before and after each event, and which devices [B] are possible, at t [B, p]."""
        rows = [self.inputs(row) for row in t]
        standing = next((row for row in rows if row is not None), None)
        if standing is None:
            standing = self.model.inputs(self.device)
        inputs = np.stack([standing if row is None else row for row in rows])
        with np.errstate(all="ignore"):
            before, after = self.model.follow(inputs, self.direction, self.seen, self.gains)
        possible = np.array([row is not None for row in rows]) & np.isfinite(after).all((0, 2))
        return inputs, before, after, possible

    def linearised(self, t: Array) -> tuple[Linearised, Array, Array]:
        """Return the model linearised around the states before each event, and the states before and after, at possible coordinates."""
        inputs, before, after, _ = self.states(t)
        return self.model.linearised(inputs, self.direction, before), before, after

    def off(self, after: Array) -> Array:
        """Return what the reads [T, B] are off the weights expected, in standard deviations, 0 where nothing was read."""
        off = self.seen - after[..., 0]
        if self.variance is not None:
            off = off / np.sqrt(self.variance)
        off[0] = 0.0
        out: Array = np.where(np.isfinite(off), off, 0.0)
        return out

    def normal(self, t: Array) -> Normal:
        """Return the normal equations at coordinates [B, p]; an infinite cost where the device is impossible."""
        inputs, before, after, possible = self.states(t)
        off = np.where(possible, self.off(after), 0.0)
        cost = np.where(possible, 0.5 * (off**2).sum(0), math.inf)
        before = np.where(possible[:, None], before, 0.0)
        line = self.model.linearised(inputs, self.direction, before)
        slopes = np.stack([self.input_slopes(row) if fine else self._flat() for row, fine in zip(t, possible, strict=True)])
        gains = np.zeros_like(before) if self.gains is None else self.gains
        with np.errstate(all="ignore"):
            change = sensitivities(line, slopes, gains, self.seen)
            if self.variance is not None:
                change = change / np.sqrt(np.where(np.isfinite(self.variance), self.variance, 1.0))[..., None]
        change = np.where(np.isfinite(self.seen)[..., None] & possible[:, None], change, 0.0)
        change[0] = 0.0
        change = np.nan_to_num(change, posinf=0.0, neginf=0.0)
        return Normal(cost, -np.einsum("tbp,tb->bp", change, off), np.einsum("tbp,tbq->bpq", change, change))

    def _flat(self) -> Array:
        return np.zeros((len(self.model.inputs(self.device)), len(self.coordinates)))
