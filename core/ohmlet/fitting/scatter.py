"""How much of the scatter of reads is the steps' own, which later reads remember, and how much the reads'."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ohmlet.fitting.filtering import Filtered, filtered, sensitivities
from ohmlet.fitting.least_squares import log_determinant
from ohmlet.fitting.residuals import Residuals
from ohmlet.fitting.settings import setting, with_settings
from ohmlet.interfaces.device import Device

__all__ = ["Scatter", "noise_settings", "scatter", "white", "without_noise"]

Array = NDArray[np.float64]

LEAST = 1e-5
"""Standard deviation of reads, relative to what they span, below which none is looked for."""

LAGS = 10
"""Lags of innovations that the test of whiteness looks at."""


@frozen(eq=False)
class Scatter:
    """The noise settings of the device and the standard deviation of reads, with standard errors of their logarithms, and the filter."""

    settings: Mapping[str, float]
    read: float
    errors: tuple[float, ...]
    """Of the settings, then of `read`; infinite where the reads do not tell."""
    filter: Filtered


def noise_settings(residuals: Residuals, device: Device, t: Array, names: tuple[str, ...]) -> tuple[str, ...]:
    """Return those of the settings that change the scatter of steps and nothing else, and are above zero."""
    line, before, after = residuals.linearised(t)
    found = []
    for name in names:
        value = setting(device, name)
        if value <= 0:
            continue
        inputs = np.stack([residuals.model.inputs(with_settings(device, {**residuals.settings(row), name: value * 1.5})) for row in t])
        other = residuals.model.linearised(inputs, residuals.direction, before)
        mean = residuals.model.follow(inputs, residuals.direction, residuals.seen, residuals.gains)[1]
        if np.array_equal(mean, after) and not np.allclose(other.by_noise, line.by_noise, rtol=1e-9, atol=0.0):
            found.append(name)
    return tuple(found)


def _moments(residuals: Residuals, after: Array) -> tuple[float, float]:
    """Return the variances of steps and of reads that neighbouring one-step errors suggest."""
    off = residuals.seen - after[..., 0]
    one, two = off[1:-1], off[2:]
    both = np.isfinite(one) & np.isfinite(two)
    if both.sum() < 8:
        whole = float(np.nanvar(off[1:]))
        return whole / 2, whole / 4
    variance, shared = float((one[both] ** 2).mean()), float((one[both] * two[both]).mean())
    read = min(max(-shared, 0.02 * variance), 0.49 * variance)
    return variance - 2 * read, read


def scatter(
    residuals: Residuals, t: Array, shared: NDArray[np.bool_], names: tuple[str, ...], read: float | None, guess: Scatter | None
) -> Scatter:
    """Return the most likely scatter at coordinates [B, p]; `names` are the noise settings, `read` a known standard deviation of reads.

    The model is linearised around the states that the residuals' gains lead to. The likelihood is the restricted one, which knows that
    settings were fitted to the same reads: each has swallowed some of the scatter.
    Source: Patterson and Thompson, Biometrika 58, 545 (1971), doi:10.1093/biomet/58.3.545.
    """
    from scipy.optimize import minimize

    inputs, before, after, _ = residuals.states(t)
    span = float(np.nanmax(residuals.seen) - np.nanmin(residuals.seen)) or 1.0
    base = residuals.device
    line = residuals.model.linearised(inputs, residuals.direction, before)
    slopes = np.stack([residuals.input_slopes(row) for row in t])

    def at(v: Array) -> Filtered:
        if names:
            changed = with_settings(base, dict(zip(names, np.exp(v[: len(names)]).tolist(), strict=True)))
            own = np.stack([residuals.model.inputs(with_settings(changed, residuals.settings(row))) for row in _distinct(t)])
            own = own if len(own) == len(t) else np.tile(own, (len(t), 1))
            model = residuals.model.linearised(own, residuals.direction, before)
        else:
            model = line
        sigma = read if read is not None else span * max(math.exp(float(v[-1])), LEAST)
        return filtered(model, after, before, residuals.seen, sigma**2)

    def loss(v: Array) -> float:
        # Anything as good far away in both directions comes back slowly.
        far = float(np.maximum(np.abs(v) - 16.0, 0.0).sum())
        try:
            made = at(np.clip(v, -16.0, 16.0))
            change = sensitivities(line, slopes, made.gains, residuals.seen) / np.sqrt(made.variance)[..., None]
            change = np.nan_to_num(change, posinf=0.0, neginf=0.0)
            value = made.loss + 0.5 * log_determinant(np.einsum("tbp,tbq->bpq", change, change), shared)
        except (ValueError, ArithmeticError):
            return 1e300
        return value + far if math.isfinite(value) else 1e300

    size = len(names) + (read is None)
    if guess is not None:
        start = [math.log(guess.settings[name]) for name in names] + [math.log(max(guess.read / span, LEAST))] * (read is None)
    else:
        one = residuals.model.follow(inputs, residuals.direction, residuals.seen, _follow_reads(before))[1]
        steps, reads = _moments(residuals, one)
        q = np.square(line.by_noise[..., 0, :]).sum(-1)
        mean_q = float(q[residuals.direction != 0].mean()) if (residuals.direction != 0).any() else 0.0
        factor = 0.5 * math.log(max(steps, 1e-12) / mean_q) if mean_q > 0 else 0.0
        start = [math.log(setting(base, name)) + factor for name in names]
        start += [0.5 * math.log(max(reads, 1e-12 * span**2) / span**2)] * (read is None)
    best = np.array(start)
    if size:
        simplex = np.vstack([best, *(best + (0.7 if guess is None else 0.1) * np.eye(size))])
        best = minimize(
            loss, best, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 5e-3, "fatol": 5e-3, "maxfev": 150}
        ).x
    sigma = read if read is not None else span * max(math.exp(float(best[-1])), LEAST)
    values = dict(zip(names, np.exp(best[: len(names)]).tolist(), strict=True))
    return Scatter(values, sigma, _errors(loss, best), at(best))


def _distinct(t: Array) -> Array:
    """Return the rows of coordinates, one alone if all are equal."""
    return t[:1] if (t == t[0]).all() else t


def _follow_reads(states: Array) -> Array:
    """Return the gains that take every read for the weight itself."""
    gains = np.zeros_like(states)
    gains[..., 0] = 1.0
    return gains


def _errors(call: Callable[[Array], float], at: Array, width: float = 0.05) -> tuple[float, ...]:
    """Return the standard errors of logarithms, from second differences of the loss; infinite where it does not curve."""
    n = len(at)
    hessian = np.zeros((n, n))
    here = call(at)
    unit = width * np.eye(n)
    for i in range(n):
        for j in range(i, n):
            if i == j:
                hessian[i, i] = (call(at + unit[i]) - 2 * here + call(at - unit[i])) / width**2
            else:
                ends = [call(at + a * unit[i] + b * unit[j]) * a * b for a in (1, -1) for b in (1, -1)]
                hessian[i, j] = hessian[j, i] = sum(ends) / (4 * width**2)
    curved = np.diag(hessian) > 1.0
    out = np.full(n, math.inf)
    if curved.any():
        inner = np.linalg.pinv(hessian[np.ix_(curved, curved)])
        out[curved] = np.sqrt(np.maximum(np.diag(inner), 0.0))
        out[curved & (out == 0)] = math.inf
    return tuple(out.tolist())


def white(series: Sequence[Array]) -> float:
    """Return the probability of autocorrelations like those of residuals in units of their spread, if they were white; NaN for few.

    Source: Ljung and Box, Biometrika 65, 297 (1978), doi:10.1093/biomet/65.2.297.
    """
    from scipy.stats import chi2

    series = [each for each in series if len(each) > 3 * LAGS]
    if not series:
        return math.nan
    n = sum(len(each) for each in series)
    power = sum(float((each**2).sum()) for each in series)
    q = sum((sum(float((each[lag:] * each[:-lag]).sum()) for each in series) / power) ** 2 / (n - lag) for lag in range(1, LAGS + 1))
    return float(chi2.sf(n * (n + 2) * q, LAGS))


def without_noise(residuals: Residuals, t: Array) -> Scatter:
    """Return what is left over of trajectories that no read corrects: all of it counts as noise of reads."""
    found = residuals.states(t)
    off = residuals.seen - found[2][..., 0]
    off[0] = np.nan
    read = np.isfinite(off)
    sigma = math.sqrt(float((off[read] ** 2).mean())) or 1e-15
    variance = np.where(read, sigma**2, np.nan)
    made = Filtered(off, variance, np.zeros_like(found[1]))
    return Scatter({}, sigma, (1 / math.sqrt(2 * read.sum()),), made)
