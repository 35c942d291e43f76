"""One analog matrix-vector product, number by number in float64, and the gradients it hands back.

Written from the order of operations of Rasch et al., Nat. Commun. 14, 5282 (2023), methods: scale, quantise, clip, multiply, weight
noise, output noise, quantise, clip, scale back.
"""

from __future__ import annotations

import math

import numpy as np

Vector = np.ndarray
Matrix = np.ndarray


def round_half_even(value: float) -> float:
    """Return the nearest whole number, the even one of two that are equally near."""
    low = math.floor(value)
    rest = value - low
    if rest == 0.5:
        return float(low if low % 2 == 0 else low + 1)
    return float(low if rest < 0.5 else low + 1)


def quantise(value: float, step: float, bound: float, uniform: float | None = None) -> float:
    """Return a value rounded to a step, then clipped."""
    if step > 0:
        value = round_half_even(value / step + (0.0 if uniform is None else uniform - 0.5)) * step
    return min(max(value, -bound), bound)


def passes(value: float, step: float, bound: float, uniform: float | None = None) -> bool:
    """Whether a gradient passes straight through `quantise`: everywhere but where the rounded value clips."""
    if step > 0:
        value = round_half_even(value / step + (0.0 if uniform is None else uniform - 0.5)) * step
    return -bound <= value <= bound


def distance_to_tie(value: float, step: float, uniform: float | None = None) -> float:
    """Return how far, in steps, a value lies from the nearest point where rounding turns."""
    if step <= 0:
        return 1.0
    scaled = value / step + (0.0 if uniform is None else uniform - 0.5)
    return abs(scaled - math.floor(scaled) - 0.5)


class Product:
    """One input vector on one crossbar; every intermediate number can be read."""

    def __init__(
        self,
        x: Vector,
        w: Matrix,
        *,
        scale: float = 1.0,
        in_step: float = 0.0,
        in_bound: float = math.inf,
        in_uniform: Vector | None = None,
        w_noise: float = 0.0,
        w_normal: Vector | None = None,
        out_noise: float = 0.0,
        out_normal: Vector | None = None,
        out_step: float = 0.0,
        out_bound: float = math.inf,
        out_uniform: Vector | None = None,
    ) -> None:
        self.x, self.w, self.scale = x, w, scale
        outs, ins = w.shape
        self.in_open, self.out_open = np.zeros(ins, bool), np.zeros(outs, bool)
        self.nearest_tie = 1.0
        self.v = np.zeros(ins)
        for j in range(ins):
            u = None if in_uniform is None else float(in_uniform[j])
            self.v[j] = quantise(float(x[j]) / scale, in_step, in_bound, u)
            self.in_open[j] = passes(float(x[j]) / scale, in_step, in_bound, u)
            self.nearest_tie = min(self.nearest_tie, distance_to_tie(float(x[j]) / scale, in_step, u))
        length = math.sqrt(sum(float(v) ** 2 for v in self.v))
        self.y = np.zeros(outs)
        for i in range(outs):
            y = 0.0
            for j in range(ins):
                y += float(w[i, j]) * float(self.v[j])
            if w_normal is not None:
                y += w_noise * length * float(w_normal[i])
            if out_normal is not None:
                y += out_noise * float(out_normal[i])
            u = None if out_uniform is None else float(out_uniform[i])
            self.nearest_tie = min(self.nearest_tie, distance_to_tie(y, out_step, u))
            self.out_open[i] = passes(y, out_step, out_bound, u)
            self.y[i] = scale * quantise(y, out_step, out_bound, u)

    def gradients(self, gradient: Vector) -> tuple[Vector, Matrix]:
        """Return those of x and w for that of the result: rounding passes them on, clipping stops them, the scale is a constant."""
        inner = self.scale * gradient * self.out_open
        outs, ins = self.w.shape
        dx, dw = np.zeros(ins), np.zeros((outs, ins))
        for j in range(ins):
            for i in range(outs):
                dx[j] += float(self.w[i, j]) * float(inner[i])
                dw[i, j] = float(inner[i]) * float(self.v[j])
            dx[j] *= float(self.in_open[j]) / self.scale
        return dx, dw


def largest(x: Vector) -> float:
    """Return the abs-max scale of an input vector; an all-zero one is not scaled."""
    found = max((abs(float(value)) for value in x), default=0.0)
    return found if found > 0 else 1.0


def range_gradient(x: Vector, gradient: Vector, r: float, decay: float, min_unclipped: float) -> float:
    """Return the gradient of a learned input range r from the gradient at the clipped inputs."""
    pull, inside = 0.0, 0
    for value, g in zip(x.ravel(), gradient.ravel(), strict=True):
        if value >= r:
            pull += min(float(g), 0.0)
        if value <= -r:
            pull -= max(float(g), 0.0)
        inside += abs(value) < r
    return r * pull + (decay * r if inside / x.size > min_unclipped else 0.0)
