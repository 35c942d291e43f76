"""The coding of one update in pulses, number by number in float64, written beside Gokmen, Onen and Haensch (2017)."""

from __future__ import annotations

import math

__all__ = ["counts", "managed", "rounded", "train"]

Vector = list[float]


def managed(
    x: Vector, d: Vector, lr: float, g: float, bl: int, um: bool, ublm: bool, fixed: bool, grad_scale: float
) -> tuple[int, float, float]:
    """Return the train length, and the factors of |x| and |d| to firing probabilities."""
    um = um or ublm
    x_max, d_max = max(abs(v) for v in x), max(abs(v) for v in d)
    if lr == 0 or x_max == 0 or d_max == 0:
        return 0, 0.0, 0.0
    d_max *= grad_scale
    k = lr * x_max * d_max / g
    length = bl
    if ublm:
        length = min(math.ceil(k), bl)
    elif not fixed and g * bl < lr:
        length = max(math.ceil(lr / g), 1)
    factor = math.sqrt(lr / (g * length))
    if not ublm and not fixed and g * bl < lr:
        factor = 1.0
    if not um:
        return length, factor, factor
    if k > bl:
        d_max *= bl / k
    return length, factor * math.sqrt(d_max / x_max), factor * math.sqrt(x_max / d_max)


def rounded(p: float, step: float) -> float:
    """Return a probability rounded to multiples of a step, half to even."""
    return p if step == 0 else step * round(p / step)


def train(
    x: Vector,
    d: Vector,
    lr: float,
    g: float,
    bl: int = 31,
    um: bool = True,
    ublm: bool = True,
    fixed: bool = True,
    grad_scale: float = 1.0,
    resolution: float = 0.0,
) -> tuple[int, Vector, Vector]:
    """Return the train length and the firing probabilities of each input and each error."""
    length, for_x, for_d = managed(x, d, lr, g, bl, um, ublm, fixed, grad_scale)
    return (
        length,
        [min(rounded(abs(v) * for_x, resolution), 1.0) for v in x],
        [min(rounded(abs(v) * for_d, resolution), 1.0) for v in d],
    )


def counts(
    kind: str,
    x: Vector,
    d: Vector,
    lr: float,
    g: float,
    *,
    resolution: float = 0.0,
    x_resolution: float = 0.0,
    d_resolution: float = 0.0,
    **management: object,
) -> list[list[int]]:
    """Return the signed pulses [out][in], positive for an increase, of the types that draw no random trains."""
    length, for_x, for_d = managed(x, d, lr, g, **{"bl": 31, "um": True, "ublm": True, "fixed": True, "grad_scale": 1.0, **management})  # type: ignore[arg-type]
    if kind == "mean_count":
        c_x = [min(round(length * rounded(abs(v) * for_x, resolution)), length) for v in x]
        c_d = [min(round(length * rounded(abs(v) * for_d, resolution)), length) for v in d]
        n = [[round(b * a / length) if length else 0 for a in c_x] for b in c_d]
    else:
        q_x = [min(rounded(abs(v) * for_x, x_resolution), 1.0) for v in x]
        q_d = [min(rounded(abs(v) * for_d, d_resolution), 1.0) for v in d]
        n = [[round(length * b * a) for a in q_x] for b in q_d]
    return [[-k if x[j] * d[i] > 0 else k for j, k in enumerate(row)] for i, row in enumerate(n)]
