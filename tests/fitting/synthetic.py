"""Measurements of known devices, made in plain NumPy from the equations of their docstrings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ohmlet.fitting import PulseTraces

Array = NDArray[np.float64]
Steps = Callable[[Array, int], Array]

WAYS = np.array([1] * 80 + [-1] * 80 + [1] * 40)


def soft_bounds(up: Array, down: Array, w_max: Array, w_min: Array) -> Steps:
    return lambda w, way: up * (1 - w / w_max) if way > 0 else -down * (1 - w / w_min)


def linear_step(dw: Array, gamma_up: float, gamma_down: float, w_max: float, w_min: float) -> Steps:
    return lambda w, way: dw * (1 - gamma_up * w / w_max) if way > 0 else -dw * (1 - gamma_down * w / w_min)


def pow_step(dw: Array, gamma: float, w_max: float, w_min: float) -> Steps:
    def step(w: Array, way: int) -> Array:
        distance = np.maximum(w_max - w if way > 0 else w - w_min, 0.0) / (w_max - w_min)
        return way * dw * distance**gamma

    return step


def exp_step(dw: Array, a_up: float, a_down: float, gamma_up: float, gamma_down: float, a: float, width: float) -> Steps:
    def step(w: Array, way: int) -> Array:
        z = 2 * a * w / width
        size = 1 - (a_up * np.exp(gamma_up * z) if way > 0 else a_down * np.exp(-gamma_down * z))
        return way * dw * np.maximum(size, 0.0)

    return step


def traces(
    step: Steps, devices: int, *, ways: Array = WAYS, noise: float = 0.3, read: float = 0.01, bounds: tuple[object, object], seed: int = 0
) -> PulseTraces:
    """Return reads after each pulse: steps times (1 + noise xi), clipped to the bounds, and reads off by `read` xi."""
    random = np.random.default_rng(seed)
    w = np.zeros(devices)
    seen = [w]
    for way in ways:
        w = np.clip(w + step(w, int(way)) * (1 + noise * random.normal(size=devices)), bounds[0], bounds[1])  # type: ignore[call-overload]
        seen.append(w)
    values = np.array(seen) + read * random.normal(size=(len(ways) + 1, devices))
    return PulseTraces.of(np.insert(ways, 0, 0)[:, None] * np.ones((1, devices)), values)
