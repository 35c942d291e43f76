"""Devices fitted to responses to pulses: settings, their spread over devices, and the noise of steps and reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from ohmlet.errors import ConfigError
from ohmlet.fitting.devices import Spreads, spread_settings, spreads, without_spread
from ohmlet.fitting.least_squares import covariances
from ohmlet.fitting.measurements import PulseTraces, Trace
from ohmlet.fitting.population import Population
from ohmlet.fitting.result import Curve, Estimate, Fit
from ohmlet.fitting.scatter import white
from ohmlet.fitting.search import Search, levels, search
from ohmlet.fitting.settings import numeric_settings, setting, with_settings
from ohmlet.fitting.starts import told_apart
from ohmlet.interfaces.device import Device
from ohmlet.registry import registry

__all__ = ["fit_pulses"]

Array = NDArray[np.float64]
Said = Callable[[str], None]

TOLD = 1.0
"""Standard error of a logarithm beyond which a setting counts as undetermined."""


def in_weights(found: PulseTraces, window: tuple[float, float] | None) -> tuple[tuple[Trace, ...], tuple[float, float] | None]:
    """Return traces in normalised weights: conductances of the window, of all reads unless given, become -1 to 1."""
    if found.unit == "weight":
        if window is not None:
            raise ConfigError("a window of conductances has no effect on reads that are weights: leave it out")
        return found.traces, None
    low, high = found.span if window is None else window
    if not low < high:
        raise ConfigError(f"the window of conductances {low:g} to {high:g} uS is empty")
    return tuple(evolve(trace, seen=2 * (trace.seen - low) / (high - low) - 1) for trace in found.traces), (low, high)


def _kept(ended: Search) -> NDArray[np.bool_]:
    """Return which settings the reads tell at the end; the others stay where the search left them."""
    chosen = ended.residuals.coordinates
    sizes = [TOLD if each.sign else max(1.0, abs(each.value(float(t)))) for each, t in zip(chosen, ended.solution.at[0], strict=True)]
    return told_apart(ended.solution.normal.matrix.sum(0), np.array(sizes), tuple(each.path for each in chosen))


def _covariances(ended: Search, kept: NDArray[np.bool_]) -> Array:
    """Return the covariances [B, p, p] of the settings that are told, zero for the others."""
    out = np.zeros_like(ended.solution.normal.matrix)
    both = np.ix_(np.arange(len(out)), np.flatnonzero(kept), np.flatnonzero(kept))
    out[both] = covariances(ended.solution.normal.matrix[both], ended.shared[kept])
    return out


def _told(ended: Search, covariance: Array, kept: NDArray[np.bool_]) -> tuple[list[Estimate], dict[str, float]]:
    """Return the estimates of one device's settings, or of those that all devices share."""
    out, values = [], {}
    several = len(ended.solution.at) > 1
    for place, each in enumerate(ended.residuals.coordinates):
        if several and not ended.shared[place]:
            continue
        t, error = float(ended.solution.at[0, place]), math.sqrt(float(covariance[0, place, place]))
        value, far = each.value(t), 1.96 * error
        values[each.path] = value
        if not kept[place]:
            out.append(Estimate(each.path, math.nan, math.nan, math.nan, math.nan, "the reads do not tell it from the others", value))
            continue
        ends = sorted((each.value(t - far), each.value(t + far)))
        note = "at the end of its range" if t in (each.low, each.high) else ""
        out.append(Estimate(each.path, value, abs(each.slope(t)) * error, ends[0], ends[1], note))
    return out, values


def _of_population(name: str, value: float, found: Population) -> Estimate:
    low, high = found.mean_interval
    shift = value - found.mean
    return Estimate(name, value, found.mean_std, low + shift, high + shift, f"mean of {found.devices} devices")


def _noise_estimates(ended: Search) -> list[Estimate]:
    out = []
    names = [*ended.scatter.settings, "read_noise"]
    for name, value, error in zip(names, levels(ended.scatter), [*ended.scatter.errors, math.nan], strict=False):
        if error < TOLD:
            ends = value * math.exp(-1.96 * error), value * math.exp(1.96 * error)
            note = "standard deviation of a read, no setting of the device" if name == "read_noise" else "over pulses"
            out.append(Estimate(name, value, value * error, *ends, note))
        elif math.isnan(error):
            out.append(Estimate(name, value, 0.0, value, value, "given"))
        else:
            held = math.nan if name == "read_noise" else value
            out.append(Estimate(name, math.nan, math.nan, math.nan, math.nan, "the scatter shows none", held))
    return out


def fit_pulses(
    found: PulseTraces,
    device: Device,
    *,
    free: Sequence[str] | Mapping[str, tuple[float, float, float]] | None = None,
    window: tuple[float, float] | None = None,
    estimator: str = "filter",
    read_noise: float | None = None,
    starts: int = 8,
    said: Said = lambda words: None,
) -> Fit:
    """Return the device fitted to pulse responses; `ohmlet.fitting.fit` describes the arguments."""
    if estimator not in {"filter", "trajectory"}:
        raise ConfigError(f"estimator must be filter or trajectory: {estimator!r}")
    if read_noise is not None and (estimator == "trajectory" or not read_noise > 0):
        raise ConfigError(f"read_noise = {read_noise:g} must be above zero and is for the filter: trajectories take all scatter for it")
    traces, used = in_weights(found, window)
    if read_noise is not None and used is not None:
        read_noise = 2 * read_noise / (used[1] - used[0])
    spreading = spread_settings(device)
    ended = search(without_spread(device), traces, free, estimator, read_noise, starts, said)
    told = _kept(ended)
    covariance = _covariances(ended, told)
    estimates, values = _told(ended, covariance, told)
    made = with_settings(ended.residuals.device, values)
    several, over = len(traces) > 1, Spreads({}, {}, made)
    if several:
        said(f"spread over {len(traces)} devices")
        over = spreads(ended.residuals, ended.solution.at, covariance, ~ended.shared, spreading)
        made = with_settings(over.device, values)
        for name, each in over.means.items():
            estimates.append(_of_population(name, setting(made, name), each))
    kept = {}
    for name in spreading:
        seen = over.spreads.get(name)
        if seen is not None and math.isfinite(seen.spread):
            ends = seen.spread_low, seen.spread_high
            estimates.append(Estimate(name, seen.spread, seen.spread_std, *ends, f"{seen.devices} devices"))
            continue
        kept[name] = setting(device, name)
        if kept[name]:
            why = "not seen in what was fitted" if several else "one device shows no spread"
            estimates.append(Estimate(name, math.nan, math.nan, math.nan, math.nan, why, kept[name]))
    made = with_settings(made, kept)
    estimates += _noise_estimates(ended)
    for name, why in ended.undetermined.items():
        estimates.append(Estimate(name, math.nan, math.nan, math.nan, math.nan, why, setting(made, name)))
    made = _rounded(made, [each.name for each in estimates])
    return Fit(
        name=registry("device").name_of(type(device)),
        spec=made,
        estimates=tuple(estimates),
        figures=_figures(ended, several),
        curves=_curves(ended, traces, found.source),
        axes=("pulses", "weight (normalised)"),
        source=found.source,
        notes=_notes(traces, used, estimator),
        interrupted=ended.solution.interrupted,
    )


def _rounded(device: Device, names: Sequence[str]) -> Device:
    known = set(numeric_settings(device))
    return with_settings(device, {name: float(f"{setting(device, name):.6g}") for name in names if name in known})


def _notes(traces: tuple[Trace, ...], used: tuple[float, float] | None, estimator: str) -> tuple[str, ...]:
    counts = f"{len(traces)} device{'s' if len(traces) > 1 else ''}, {sum(trace.pulses for trace in traces)} pulses"
    scale = () if used is None else (f"weights -1 to 1 are {used[0]:.6g} to {used[1]:.6g} uS",)
    return f"{counts}, estimator: {estimator}", *scale


def _figures(ended: Search, several: bool) -> dict[str, float]:
    """Return how well model and reads agree."""
    residuals, t = ended.residuals, ended.solution.at
    alone = evolve(residuals, gains=None, variance=None).states(t)
    off, e = residuals.seen - alone[2][..., 0], ended.scatter.filter.innovation
    off[0] = np.nan
    reads = residuals.seen[1:][np.isfinite(residuals.seen[1:])]
    n, devices = len(reads), len(t)
    own = int((~ended.shared).sum()) * devices + int(ended.shared.sum())
    count = own + sum(math.isfinite(error) for error in ended.scatter.errors)
    square = np.nanmean(off**2)
    variance = float(reads.var())
    chi = (e**2 / ended.scatter.filter.variance)[1:]
    return {
        "rmse": math.sqrt(float(square)),
        "rmse_next_read": math.sqrt(float(np.nanmean(e[1:] ** 2))),
        "r2": 1 - float(square) / variance if variance else math.nan,
        "chi2": float(np.nansum(chi)) / max(n - own, 1),
        "whiteness": white([column[np.isfinite(column)] for column in (e / np.sqrt(ended.scatter.filter.variance)).T]),
        "aic": 2 * (ended.scatter.filter.loss + count),
        "reads": float(n),
        "devices": float(devices) if several else 1.0,
    }


def _curves(ended: Search, traces: tuple[Trace, ...], source: str) -> tuple[Curve, ...]:
    residuals = ended.residuals
    alone = evolve(residuals, gains=None, variance=None).states(ended.solution.at)
    curves = []
    for place, trace in enumerate(traces):
        last = len(trace.seen)
        model = alone[2][:last, place, 0]
        off = ended.scatter.filter.innovation[:last, place] / np.sqrt(ended.scatter.filter.variance[:last, place])
        curves.append(Curve(trace.device, np.cumsum(np.abs(trace.direction)).astype(np.float64), trace.seen, model, off))
    return tuple(curves)
