"""The Kalman filter of traces: what reads say beyond what was known, where steps are noisy and so are reads."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ohmlet.fitting.step_model import Linearised

__all__ = ["Filtered", "filtered", "sensitivities"]

Array = NDArray[np.float64]


@frozen(eq=False)
class Filtered:
    """What the filter says of traces: innovations and their variances [T, B], NaN where nothing was read, and its gains [T, B, n]."""

    innovation: Array
    variance: Array
    gains: Array

    @property
    def loss(self) -> float:
        """Minus the logarithm of the likelihood of all reads but the first ones, which the traces start from."""
        e, s = self.innovation[1:], self.variance[1:]
        seen = np.isfinite(e)
        return float(0.5 * (e[seen] ** 2 / s[seen] + np.log(2 * math.pi * s[seen])).sum())


def filtered(model: Linearised, after: Array, before: Array, seen: Array, read_variance: float) -> Filtered:
    """Return what the extended Kalman filter makes of traces, linearised around states [T, B, n] before and after each event.

        P <- A P A^T + G G^T        s = P_ww + r        K = P_w / s        x <- x + K (y - w)        P <- P - K P_w^T

    with A and G the derivatives of the step by states and noise, r the variance of a read. The first read is the first estimate.
    Source: Kalman, J. Basic Eng. 82, 35 (1960), doi:10.1115/1.3662552; the likelihood after Schweppe, IEEE Trans. Inf. Theory 11, 61
    (1965), doi:10.1109/TIT.1965.1053737.
    """
    events, devices, n = before.shape
    a, q = model.by_state, np.einsum("tbik,tbjk->tbij", model.by_noise, model.by_noise)
    read = np.isfinite(seen)
    innovation, variance = np.full(seen.shape, np.nan), np.full(seen.shape, np.nan)
    gains = np.zeros((events, devices, n))
    spread = [[np.zeros(devices) for _ in range(n)] for _ in range(n)]
    spread[0][0] = np.full(devices, read_variance)
    off = [np.zeros(devices) for _ in range(n)]
    for event in range(1, events):
        at = a[event]
        moved = [[sum(at[:, i, k] * spread[k][j] for k in range(n)) for j in range(n)] for i in range(n)]
        spread = [[sum(moved[i][k] * at[:, j, k] for k in range(n)) + q[event, :, i, j] for j in range(n)] for i in range(n)]
        off = [sum(at[:, i, k] * off[k] for k in range(n)) for i in range(n)]
        s, here = spread[0][0] + read_variance, read[event]
        e = seen[event] - after[event, :, 0] - off[0]
        innovation[event], variance[event] = e, np.where(here, s, np.nan)
        gain = [np.where(here, spread[i][0] / s, 0.0) for i in range(n)]
        known = np.where(here, e, 0.0)
        first = list(spread[0])
        for i in range(n):
            gains[event, :, i] = gain[i]
            off[i] = off[i] + gain[i] * known
            for j in range(n):
                spread[i][j] = spread[i][j] - gain[i] * first[j]
        # The states that the next event starts from, as deviations from those that it was linearised around.
        if event + 1 < events:
            off = [off[i] + after[event, :, i] - before[event + 1, :, i] for i in range(n)]
    return Filtered(innovation, variance, gains)


def sensitivities(model: Linearised, by_parameter: Array, gains: Array, seen: Array) -> Array:
    """Return the derivatives [T, B, p] of the weight expected at each event by the parameters, gains held fixed.

    `by_parameter` [B, inputs, p] are those of the step's inputs by them.
    """
    events, devices, n, inputs = model.by_input.shape
    p = by_parameter.shape[-1]
    drive = np.einsum("tbni,bip->tbnp", model.by_input, by_parameter)
    fresh = by_parameter[:, inputs - (n - 1) :]
    state = [np.zeros((devices, p)), *(fresh[:, place] for place in range(n - 1))]
    out = np.zeros((events, devices, p))
    kept = np.where(np.isfinite(seen)[..., None], gains, 0.0)
    for event in range(1, events):
        at = model.by_state[event]
        state = [sum(at[:, i, k, None] * state[k] for k in range(n)) + drive[event, :, i] for i in range(n)]
        out[event] = first = state[0]
        state = [state[i] - kept[event, :, i, None] * first for i in range(n)]
    return out
