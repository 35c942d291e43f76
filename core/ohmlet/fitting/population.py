"""From devices to the population they come from: mean and spread, with the error of each device's estimate taken out."""

from __future__ import annotations

import math

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["Population", "population"]

Array = NDArray[np.float64]

LEVEL = 0.95
"""Confidence of intervals."""


@frozen
class Population:
    """Mean over devices with its standard error, and the spread over devices with its interval of confidence."""

    mean: float
    mean_std: float
    spread: float
    spread_low: float
    spread_high: float
    devices: int

    @property
    def mean_interval(self) -> tuple[float, float]:
        """The mean's interval of confidence, by Student's t."""
        from scipy.stats import t

        reach = float(t.ppf((1 + LEVEL) / 2, max(self.devices - 1, 1))) * self.mean_std
        return self.mean - reach, self.mean + reach

    @property
    def spread_std(self) -> float:
        """The standard error of the spread, from the width of its interval."""
        return (self.spread_high - self.spread_low) / (2 * 1.96)


def population(values: Array, errors: Array, design: Array | None = None) -> Population:
    """Return the random-effects estimate of values [N] with standard errors [N]: value_i = mean + spread xi_i + error_i xi_i'.

    The spread tau solves Q(tau^2) = N - 1, where Q = sum (value - mean)^2 / (tau^2 + error^2), and its interval holds all tau whose Q
    lies between the quantiles of chi^2. With a `design` [N, k] the mean is a line in it, and what is returned is its first coefficient.
    Source: Paule and Mandel, J. Res. Natl. Bur. Stand. 87, 377 (1982), doi:10.6028/jres.087.022; Viechtbauer, Stat. Med. 26, 37 (2007),
    doi:10.1002/sim.2514; the standard error of the mean after Knapp and Hartung, Stat. Med. 22, 2693 (2003), doi:10.1002/sim.1482.
    """
    from scipy.stats import chi2

    used = np.isfinite(values) & np.isfinite(errors)
    values, errors = values[used], errors[used]
    rows = np.ones((len(values), 1)) if design is None else design[used]
    freedom = len(values) - rows.shape[1]
    if freedom < 1:
        mean = float(values.mean()) if len(values) else math.nan
        return Population(mean, float(errors[0]) if len(errors) == 1 else math.nan, math.nan, math.nan, math.nan, len(values))

    def fitted(tau2: float) -> tuple[Array, Array, float]:
        weight = 1 / np.maximum(tau2 + errors**2, 1e-300)
        information: Array = rows.T @ (weight[:, None] * rows)
        coefficients: Array = np.asarray(np.linalg.solve(information, rows.T @ (weight * values)), dtype=np.float64)
        q = float((weight * (values - rows @ coefficients) ** 2).sum())
        return coefficients, information, q

    def root(wanted: float) -> float:
        """Return the tau^2 at which Q, which falls with it, has this value; 0 if it is below even there."""
        from scipy.optimize import brentq

        top = max(float(np.var(values)), 1e-300)
        if fitted(0.0)[2] <= wanted:
            return 0.0
        while fitted(top)[2] > wanted:
            top *= 4
        return float(brentq(lambda tau2: fitted(tau2)[2] - wanted, 0.0, top, xtol=1e-14 * top, rtol=1e-10))

    tau2 = root(freedom)
    coefficients, information, q = fitted(tau2)
    error = math.sqrt(float(np.linalg.inv(information)[0, 0]) * max(q / freedom, 1.0 if tau2 == 0 else 0.0))
    ends = [math.sqrt(root(float(chi2.ppf(level, freedom)))) for level in ((1 + LEVEL) / 2, (1 - LEVEL) / 2)]
    return Population(float(coefficients[0]), error, math.sqrt(tau2), ends[0], ends[1], len(values))
