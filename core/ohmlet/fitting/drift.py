"""Drift exponents from conductances over time: their mean, their spread over devices, how they depend on the conductance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import evolve, fields, frozen
from numpy.typing import NDArray

from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.fitting.measurements import DriftTraces
from ohmlet.fitting.population import Population, population
from ohmlet.fitting.result import Curve, Estimate, Fit
from ohmlet.fitting.scatter import white
from ohmlet.interfaces.device import Device, UnitCell
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.registry import registry
from ohmlet.spec import Spec

__all__ = ["Exponents", "exponents", "fit_drift"]

Array = NDArray[np.float64]

NODES = 5
"""Most conductances of a table of exponents, each of which takes at least ten devices."""


@frozen(eq=False)
class Exponents:
    """What every device shows by itself, [N] each, and the scatter of ln g about its line."""

    devices: tuple[str, ...]
    nu: Array
    error: Array
    g: Array
    """Conductance [uS] at t_0 on the line."""
    t_0: float
    scatter: float
    residuals: tuple[Array, ...]


def exponents(found: DriftTraces) -> Exponents:
    """Return the least-squares exponents of g(t) = g_0 (t / t_0)^-nu of each device, t_0 the earliest read of all.

    Their errors come from the scatter about the lines, pooled over devices. Raises ConfigError without a device read three times.
    """
    usable = [(name, t, g) for name, t, g in found.traces if len(t) >= 2]
    freedom = sum(len(t) - 2 for _, t, _ in usable)
    if freedom < 1:
        raise ConfigError(f"{found.source}: no device was read at three times, so nothing tells drift from noise")
    t_0 = min(float(t[0]) for _, t, _ in usable)
    nu, weight, g_0, left = [], [], [], []
    for _, t, g in usable:
        x, y = np.log(t / t_0), np.log(g)
        middle = x - x.mean()
        slope = float((middle * y).sum() / (middle**2).sum())
        start = float(y.mean() - slope * x.mean())
        nu.append(-slope)
        weight.append(float((middle**2).sum()))
        g_0.append(math.exp(start))
        left.append(y - start - slope * x)
    scatter = math.sqrt(sum(float((each**2).sum()) for each in left) / freedom)
    error = scatter / np.sqrt(np.array(weight))
    return Exponents(tuple(name for name, _, _ in usable), np.array(nu), error, np.array(g_0), t_0, scatter, tuple(left))


def _has(spec: Spec, *names: str) -> bool:
    return {*names} <= {each.name for each in fields(type(spec))}


def _whole(name: str, found: Population, note: str = "") -> Estimate:
    return Estimate(name, found.mean, found.mean_std, *found.mean_interval, note)


def _spread(name: str, found: Population, of: float = 1.0) -> Estimate:
    if not math.isfinite(found.spread):
        return Estimate(name, math.nan, math.nan, math.nan, math.nan, "too few devices", math.nan)
    return Estimate(
        name, found.spread / of, found.spread_std / of, found.spread_low / of, found.spread_high / of, f"{found.devices} devices"
    )


def _table(each: Exponents) -> tuple[Array, Array, Array, Array]:
    """Return conductances, mean exponents, their standard errors and spreads at the nodes of a table, straight lines between."""
    count = max(2, min(NODES, len(each.nu) // 10))
    nodes = np.unique(np.quantile(each.g, np.linspace(0, 1, count)))
    if len(nodes) < 2:
        raise ConfigError("all devices have one conductance: a table of exponents needs two; fit a noise model without one")
    hats = np.stack([np.interp(each.g, nodes, np.eye(len(nodes))[place]) for place in range(len(nodes))], 1)
    first = population(each.nu, each.error, hats)
    spread = np.full(len(nodes), first.spread)
    if not math.isfinite(first.spread):
        raise ConfigError(f"{len(each.nu)} devices are too few for a table of {len(nodes)} conductances: measure at least {len(nodes) + 1}")
    weight = 1 / (first.spread**2 + each.error**2)
    inverse = np.linalg.pinv(hats.T @ (weight[:, None] * hats))
    mean = inverse @ hats.T @ (weight * each.nu)
    if len(each.nu) >= 10 * len(nodes):
        # Squares of what is left over, less the error of each exponent, are the variance of devices there.
        square = (each.nu - hats @ mean) ** 2 - each.error**2
        spread = np.sqrt(np.maximum(np.linalg.lstsq(hats, square, rcond=None)[0], 0.0))
    return nodes, mean, np.sqrt(np.diag(inverse)), spread


def fit_drift(found: DriftTraces, spec: NoiseModel | Device, *, window: tuple[float, float] | None = None) -> Fit:
    """Return a noise model, or the drift of a device, fitted to conductances over time; `ohmlet.fitting.fit` describes the arguments.

    A noise model takes a mean and a spread (`drift_nu_mean`, `drift_nu_std`), or a table (`g_uS`, `nu_mean`, `nu_std`), besides `t_0`; a
    device the fields of its `drift`, for which `window` says which conductances are weights of -1 and 1.
    """
    each = exponents(found)
    log_g = np.log(each.g)
    middle = float(log_g.mean())
    plain = population(each.nu, each.error)
    slope: Population | None = None
    if len(each.nu) > 3 and float(np.ptp(log_g)) > 1e-3:
        design = np.stack([-(log_g - middle), np.ones_like(log_g)], 1)
        slope = population(each.nu, each.error, design)
    note = "fall of the exponent with ln g" if slope is None or slope.mean_interval[0] * slope.mean_interval[1] > 0 else "not seen"
    estimates: list[Estimate] = []
    changes: dict[str, Any] = {}
    if isinstance(spec, NoiseModel) and _has(spec, "g_uS", "nu_mean", "nu_std"):
        nodes, mean, error, spread = _table(each)
        changes = {"g_uS": _short(nodes), "nu_mean": _short(np.maximum(mean, 0.0)), "nu_std": _short(spread)}
        for g, value, std in zip(nodes, mean, error, strict=True):
            estimates.append(Estimate(f"nu_mean at {g:.4g} uS", value, std, value - 1.96 * std, value + 1.96 * std))
        estimates.append(
            _spread("spread of nu at one conductance", population(each.nu, each.error, np.stack([np.ones_like(log_g), log_g], 1)))
        )
    elif isinstance(spec, NoiseModel) and _has(spec, "drift_nu_mean", "drift_nu_std"):
        changes["drift_nu_mean"] = float(f"{max(plain.mean, 0.0):.6g}")
        if math.isfinite(plain.spread):
            changes["drift_nu_std"] = float(f"{plain.spread:.6g}")
        estimates += [_whole("drift_nu_mean", plain), _spread("drift_nu_std", plain)]
    elif isinstance(spec, Device) and _has(spec, "drift"):
        changes["drift"] = _device_drift(plain, slope, middle, each.t_0, window)
        estimates += [_whole("drift.nu", plain), _spread("drift.nu_dtod", plain, abs(plain.mean))]
    else:
        raise ConfigError(
            f"{type(spec).__name__} has no drift to fit: a noise model needs drift_nu_mean and drift_nu_std (state_independent) or a table "
            "g_uS, nu_mean, nu_std (custom_drift_pcm), a device the part drift"
        )
    if slope is not None:
        estimates.append(_whole("nu_k", slope, note))
    if isinstance(spec, NoiseModel) and _has(spec, "t_0"):
        changes["t_0"] = each.t_0
    if "drift" in changes:
        changes["drift"] = _drift_of(spec, changes["drift"])
    fitted: Spec = evolve(spec, **changes)
    estimates.append(
        Estimate(
            "read_noise_relative", each.scatter, *_about(each.scatter, sum(len(left) - 2 for left in each.residuals)), "about the lines"
        )
    )
    return Fit(
        name=registry(spec.kind).name_of(type(spec)),
        spec=fitted,
        estimates=tuple(estimates),
        figures=_figures(found, each, plain),
        curves=_curves(found, each),
        axes=("time since programming (s)", "conductance (uS)"),
        source=found.source,
        notes=(f"{len(each.nu)} devices; t_0 = {each.t_0:g} s is the earliest read after programming",),
    )


def _short(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.6g}") for value in values)


def _about(value: float, freedom: int) -> tuple[float, float, float]:
    """Return standard error and interval of a standard deviation."""
    from scipy.stats import chi2

    low, high = (value * math.sqrt(freedom / float(chi2.ppf(level, freedom))) for level in (0.975, 0.025))
    return value / math.sqrt(2 * freedom), low, high


def _drift_of(spec: Spec, settings: dict[str, float]) -> Any:
    """Return the part `drift` of a device with these settings, whichever class it is."""
    whole = structure({"type": registry(spec.kind).name_of(type(spec)), "drift": settings}, UnitCell)
    return whole.drift  # type: ignore[attr-defined]


def _device_drift(
    plain: Population, slope: Population | None, middle: float, t_0: float, window: tuple[float, float] | None
) -> dict[str, float]:
    if window is None:
        raise ConfigError("the drift of a device is one of weights: give the window, the conductances [uS] of weights -1 and 1")
    low, high = window
    if not low < high:
        raise ConfigError(f"the window of conductances {low:g} to {high:g} uS is empty")
    out = {"nu": plain.mean, "t_0": t_0, "wg_ratio": 2 / (high - low), "g_offset": (low + high) / 2}
    if math.isfinite(plain.spread) and plain.mean:
        out["nu_dtod"] = plain.spread / abs(plain.mean)
    if slope is not None and slope.mean_interval[0] * slope.mean_interval[1] > 0:
        out |= {"nu_k": slope.mean, "log_g0": middle}
    return {name: float(f"{value:.6g}") for name, value in out.items()}


def _figures(found: DriftTraces, each: Exponents, plain: Population) -> dict[str, float]:
    logs = [np.log(g) for _, t, g in found.traces if len(t) >= 2]
    n, total = sum(map(len, logs)), sum(float(((y - y.mean()) ** 2).sum()) for y in logs)
    left = sum(float((r**2).sum()) for r in each.residuals)
    return {
        "rmse_relative": math.sqrt(left / n),
        "r2": 1 - left / total if total else math.nan,
        "whiteness": white([r / each.scatter for r in each.residuals]) if each.scatter else math.nan,
        "reads": float(n),
        "devices": float(len(each.nu)),
        "share_below_zero": float((each.nu < 0).mean()),
        "nu_median": float(np.median(each.nu)),
        "aic": n * math.log(max(left, 1e-300) / n) + 2 * (2 * len(each.nu) + 1),
    }


def _curves(found: DriftTraces, each: Exponents) -> tuple[Curve, ...]:
    out = []
    for name, nu, g, left in zip(each.devices, each.nu, each.g, each.residuals, strict=True):
        t, seen = next((t, seen) for other, t, seen in found.traces if other == name)
        out.append(Curve(name, t, seen, g * (t / each.t_0) ** -nu, left / each.scatter if each.scatter else left))
    return tuple(out)
