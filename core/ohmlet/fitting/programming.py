"""Programming errors as noise models have them: a spread that is a polynomial in the conductance."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from attrs import evolve, fields
from numpy.typing import NDArray

from ohmlet.errors import ConfigError
from ohmlet.fitting.measurements import ProgrammingErrors
from ohmlet.fitting.result import Curve, Estimate, Fit
from ohmlet.interfaces.noise_model import NoiseModel
from ohmlet.registry import registry

__all__ = ["fit_programming"]

Array = NDArray[np.float64]

FLOOR = 1e-6
"""Smallest spread, relative to the largest conductance, that a search looks at."""


def _loss(c: Array, g: Array, off: Array, zero: NDArray[np.bool_], largest: float) -> float:
    """Return minus the logarithm of the likelihood; a conductance of zero was cut off there and says only that it is not above."""
    from scipy.stats import norm

    sigma = np.polynomial.polynomial.polyval(g, c)
    if sigma.min() < FLOOR * largest:
        return math.inf
    seen = 0.5 * (off / sigma) ** 2 + np.log(sigma) + 0.5 * math.log(2 * math.pi)
    return float(np.where(zero, -norm.logcdf(off / sigma), seen).sum())


def _curvature(c: Array, g: Array, sigma: Array) -> Array:
    """Return the expected information on the coefficients."""
    basis = np.stack([g**power for power in range(len(c))], 1) / sigma[:, None]
    information: Array = 2 * basis.T @ basis
    return information


def fit_programming(found: ProgrammingErrors, spec: NoiseModel, *, order: int | None = None, g_max: float | None = None) -> Fit:
    """Return a noise model with the programming error measured: g = max(g_target + sigma(g_target / g_max) xi, 0).

    sigma = c_0 + c_1 g_r + ... + c_order g_r^order, `prog_coeff`, is the most likely one that is positive, of the second order unless given
    (less for few targets); `g_max` [uS], the largest target unless given, goes to `g_max_reference_uS` where the model has it. Raises
    ConfigError for a model without `prog_coeff`, fewer targets than coefficients, or measurements without scatter.
    """
    from scipy.optimize import minimize

    names = {each.name for each in fields(type(spec))}
    if "prog_coeff" not in names:
        raise ConfigError(f"{type(spec).__name__} has no prog_coeff to fit: take a noise model with it, such as pcm or state_independent")
    g_max = float(found.target.max(initial=0.0)) if g_max is None else g_max
    if not g_max > 0:
        raise ConfigError(f"{found.source}: all targets are zero, so no conductance is the largest")
    # Below zero nothing is programmed: a target of zero that is met says nothing of the spread.
    told = (found.target > 0) | (found.measured > 0)
    found = evolve(found, target=found.target[told], measured=found.measured[told])
    distinct = len(np.unique(found.target))
    order = min(2, max(distinct - 1, 0)) if order is None else order
    if order < 0 or distinct < order + 1 or len(found.target) < 3 * (order + 1):
        raise ConfigError(
            f"{len(found.target)} errors at {distinct} targets do not tell {order + 1} coefficients: measure more, or lower the order"
        )
    g, off = found.target / g_max, found.measured - found.target
    zero = found.measured <= 0
    spread = math.sqrt(float((off**2).mean()))
    if spread <= FLOOR * g_max:
        raise ConfigError(f"{found.source}: every conductance is its target, there is no error to fit")
    # The first guess: squares of errors as a straight line, never below a tenth of the whole.
    line = np.polynomial.polynomial.polyfit(g, np.abs(off) * math.sqrt(math.pi / 2), min(order, 1))
    start = np.zeros(order + 1)
    start[: len(line)] = line
    if np.polynomial.polynomial.polyval(np.array([0.0, 1.0]), start).min() <= 0.05 * spread:
        start = np.zeros(order + 1)
        start[0] = spread
    best = start
    for _ in range(3):
        made = minimize(
            _loss, best, (g, off, zero, g_max), method="Nelder-Mead", options={"xatol": 1e-7 * spread, "fatol": 1e-9, "maxfev": 4000}
        )
        best = made.x
    sigma: Array = np.asarray(np.polynomial.polynomial.polyval(g, best), dtype=np.float64)
    covariance = np.linalg.pinv(_curvature(best, g, sigma), hermitian=True)
    grid = np.polynomial.polynomial.polyval(np.linspace(0, 1, 257), best)
    if grid.min() < 0:
        raise ConfigError(
            f"the polynomial of order {order} is negative between the targets ({grid.min():.3g} uS): lower the order, or measure there too"
        )
    estimates = []
    for power, (value, variance) in enumerate(zip(best, np.diag(covariance), strict=True)):
        std = math.sqrt(float(variance))
        known = abs(value) > 1e-12 or std < spread
        estimates.append(
            Estimate(f"prog_coeff[{power}]", float(value), std, value - 1.96 * std, value + 1.96 * std, "" if known else "flat")
        )
    bias, bias_std = float(off.mean()), float(off.std(ddof=1) / math.sqrt(len(off)))
    words = "which noise models do not have" if abs(bias) > 1.96 * bias_std else "none seen"
    estimates.append(Estimate("bias_uS", bias, bias_std, bias - 1.96 * bias_std, bias + 1.96 * bias_std, f"mean error, {words}"))
    changes: dict[str, Any] = {"prog_coeff": tuple(float(f"{value:.6g}") for value in best)}
    if "g_max_reference_uS" in names:
        changes["g_max_reference_uS"] = g_max
    n = len(off)
    order_of = np.argsort(found.target, kind="stable")
    return Fit(
        name=registry(spec.kind).name_of(type(spec)),
        spec=evolve(spec, **changes),
        estimates=tuple(estimates),
        figures={
            "rms_error_uS": spread,
            "chi2": float((off[~zero] ** 2 / sigma[~zero] ** 2).sum()) / max(int((~zero).sum()) - order - 1, 1),
            "aic": 2 * (_loss(best, g, off, zero, g_max) + order + 1),
            "reads": float(n),
            "cut_off_at_zero": float(zero.sum()),
        },
        curves=(Curve("spread", found.target[order_of], np.abs(off[order_of]), sigma[order_of], (off / sigma)[order_of]),),
        axes=("target (uS)", "error (uS): single ones, line the standard deviation"),
        source=found.source,
        notes=(f"{n} errors at {distinct} targets up to g_max = {g_max:g} uS",),
    )
