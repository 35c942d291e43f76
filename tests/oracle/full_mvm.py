"""One noise-free analog pass with every nonideality, number by number in float64, written from the order of operations of the source.

Scaling, DAC, asymmetry of inputs, product, IR drop, voltage offset and series resistance, S shape, asymmetry of outputs, ADC, bound
management; the running average of a scale is passed in. A second reading of the equations, not of the code under test.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.oracle.mvm import round_half_even

__all__ = ["read"]


def clip(value: float, bound: float) -> float:
    return min(max(value, -bound), bound)


def scale_of(x: np.ndarray, s: dict[str, Any]) -> float:
    """Return what an input vector is divided by, not positive for an empty one."""
    kind, limit = s["scaling"], s.get("limit", math.inf)
    if kind == "none":
        return 1.0
    if kind == "fixed":
        return float(s["value"])
    largest = max(abs(v) for v in x)
    if kind == "max":
        return float(min(float(max(x)), limit))
    if kind == "abs_max":
        return float(min(float(largest), limit))
    return worst_case(x, s, min(float(largest), limit))


def worst_case(x: np.ndarray, s: dict[str, Any], largest: float) -> float:
    positive, negative = sum(v for v in x if v > 0), -sum(v for v in x if v < 0)
    q = max(positive, negative) * s["assumed_w_max"] / (s["out_bound"] if math.isfinite(s["out_bound"]) else 1.0)
    if s["in_step"] > 0:
        q = min(q, largest / s["in_step"] * s["max_in_resolution"])
    return float(max(largest, q))


def currents(v: np.ndarray, w: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """Return the currents of one pass over the array."""
    outs, n = w.shape
    y = np.zeros(outs)
    for i in range(outs):
        total = sum(w[i, j] * v[j] for j in range(n))
        if s["ir_drop"] > 0:
            a = n / s["g_ratio"] * sum(abs(w[i, j]) * abs(v[j]) for j in range(n))
            c = a * (a * (0.05 * a - 0.2) + 0.5)
            total -= s["ir_drop"] * c * sum(w[i, j] * v[j] * (1 - (1 - j / n) ** 2) for j in range(n))
        o, rs = s["offsets"][i], s["r_series"]
        if o or rs:
            if s["reference_w"] == 0:
                total = (1 - o) * total / (1 + rs * abs(total))
            else:
                r = -s["reference_w"] * sum(v)
                total = (1 - o) * (total + r) / (1 + rs * abs(total + r)) - (1 + o) * r / (1 + rs * abs(r))
        y[i] = total
    return y


def converted(y: np.ndarray, s: dict[str, Any]) -> tuple[np.ndarray, bool]:
    """Return the ADC's numbers, and whether one of them passed the bound."""
    out, over = np.zeros(len(y)), False
    strengths = s["strengths"]
    mean = float(np.mean(np.abs(strengths)))
    bound = s["out_bound"] if math.isfinite(s["out_bound"]) else 1.0
    gain = (1 + (mean + s["r_series"]) * s["slope"] * bound) ** 2 if s["slope"] > 0 else 1.0
    for i, value in enumerate(y):
        z = float(value)
        if s["nonlinear"]:
            z = gain * z / (1 + abs(strengths[i] * z))
        if z < 0:
            z *= 1 - s["out_asymmetry"]
        if s["out_step"] > 0:
            z = round_half_even(z / s["out_step"]) * s["out_step"]
        over = over or z > s["out_bound"] or (s["test_negative"] and z < -s["out_bound"])
        out[i] = clip(z, s["out_bound"])
    return out, over


def attempt(x: np.ndarray, w: np.ndarray, divisor: float, s: dict[str, Any]) -> tuple[np.ndarray, bool]:
    v = np.zeros(len(x))
    for j, value in enumerate(x):
        scaled = float(value) / divisor
        if s["in_step"] > 0:
            scaled = round_half_even(scaled / s["in_step"]) * s["in_step"]
        scaled = clip(scaled, s["in_bound"])
        v[j] = scaled * (1 - s["in_asymmetry"]) if scaled < 0 else scaled
    if s["passes"] == "one":
        return converted(currents(v, w, s), s)
    negative = currents(np.minimum(v, 0), w * s["cells"], s)
    positive = currents(np.maximum(v, 0), w, s)
    if s["passes"] == "analog":
        return converted(negative + positive, s)
    (first, over_first), (second, over_second) = converted(negative, s), converted(positive, s)
    return first + second, over_first or over_second


def read(x: np.ndarray, w: np.ndarray, s: dict[str, Any]) -> np.ndarray:
    """Return the outputs of one input vector."""
    scale = scale_of(x, s)
    if scale <= 0:
        return np.zeros(len(w))
    reduction, round_ = 0.5, 0
    while True:
        reduction *= 2
        if round_ == 1 and s["management"] == "iterative_worst_case":
            scale, reduction = worst_case(x, s, max(abs(v) for v in x)), 1.0
        round_ += 1
        divisor = scale * (reduction if s["management"] else 1.0)
        y, over = attempt(x, w, divisor, s)
        too_coarse = s["in_step"] > 0 and reduction > s["max_in_resolution"] / s["in_step"]
        if not s["management"] or not over or reduction > s["max_reduction"] or too_coarse:
            return np.asarray(y * divisor * s["out_scale"])
