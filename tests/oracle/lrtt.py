"""LR-TT in float64, number by number: three arrays of constant steps, exact reads, pulses that are rounded products."""

from __future__ import annotations

import math

from tests.oracle.algorithms import OracleArray

__all__ = ["LRTTOracle", "product"]

Vector = list[float]
Matrix = list[Vector]


def times(w: Matrix, v: Vector) -> Vector:
    """Return w v."""
    return [sum(a * b for a, b in zip(row, v, strict=True)) for row in w]


def transposed_times(w: Matrix, v: Vector) -> Vector:
    """Return w^T v."""
    return [sum(row[j] * e for row, e in zip(w, v, strict=True)) for j in range(len(w[0]))]


def product(up: Matrix, down: Matrix) -> Matrix:
    """Return up down."""
    return [[sum(a * down[k][j] for k, a in enumerate(row)) for j in range(len(down[0]))] for row in up]


class LRTTOracle:
    """Low-rank Tiki-Taka from a given `down`; up and core start at zero."""

    def __init__(
        self,
        rows: int,
        down: Matrix,
        steps: dict[str, float],
        alpha: float,
        grad_scale: str,
        eta: float,
        period: int = 0,
        keep: float = 0.0,
    ) -> None:
        rank, columns = len(down), len(down[0])
        self.up, self.down = OracleArray(rows, rank, steps["up"]), OracleArray(rank, columns, steps["down"])
        self.core = OracleArray(rows, columns, steps["core"])
        self.down.w = [list(row) for row in down]
        self.factor = alpha * {"none": 1.0, "div_sqrt_r": 1 / math.sqrt(rank), "mul_sqrt_r": math.sqrt(rank)}[grad_scale]
        self.rank, self.eta = rank, eta
        # A filter: the sign of each rank, flipped every `period` transfers, and averages of which transfers keep a share.
        self.signs, self.period, self.transfers, self.keep = [1.0] * rank, period, 0, keep
        self.mean_up, self.mean_down = [[0.0] * rank for _ in range(rows)], list[Vector]()

    def gradient(self, xs: Matrix, ds: Matrix, lr: float) -> None:
        """Pulse up and down with vectors, all of which see both as they were before."""
        projected = [(times(self.down.w, x), transposed_times(self.up.w, d)) for x, d in zip(xs, ds, strict=True)]
        for (p, q), x, d in zip(projected, xs, ds, strict=True):
            p, q = ([c * v for c, v in zip(self.signs, each, strict=True)] for each in (p, q))
            self.up.pulse(p, d, lr * self.factor, {})
            self.down.pulse(x, q, lr * self.factor, {})

    def transfer(self, micro_steps: int, mode: str, decay: float) -> None:
        """Add eta up down to core as rank-one updates, then let up and down start anew."""
        up, down = [[c * v for c, v in zip(self.signs, row, strict=True)] for row in self.up.w], self.down.w
        if self.keep:
            for old, new in (*zip(self.mean_up, up, strict=True), *zip(self.mean_down, down, strict=bool(self.mean_down))):
                old[:] = [self.keep * a + (1 - self.keep) * b for a, b in zip(old, new, strict=True)]
            self.mean_down = self.mean_down or [list(row) for row in down]
            up, down = self.mean_up, self.mean_down
        for _ in range(micro_steps):
            for k in range(self.rank):
                self.core.pulse(down[k], [-row[k] for row in up], self.eta / micro_steps, {})
        self.transfers += 1
        if self.period and self.transfers % self.period == 0:
            self.signs = [-c for c in self.signs]
        if mode == "hybrid":
            self.up.w = [[0.0] * self.rank for _ in self.up.w]
        if mode == "decay":
            for array in (self.up, self.down):
                array.w = [[decay * v for v in row] for row in array.w]

    def train(
        self, xs: Matrix, ds: Matrix, lr: float, batch: int, every: int, samples: bool, micro_steps: int, mode: str, decay: float = 1.0
    ) -> None:
        """Train with vectors, `batch` at a time; transfers come after `every` mini-batches, or vectors wherever they are."""
        counted, waiting_x, waiting_d = 0, list[Vector](), list[Vector]()
        for first in range(0, len(xs), batch):
            for x, d in zip(xs[first : first + batch], ds[first : first + batch], strict=True):
                waiting_x.append(x)
                waiting_d.append(d)
                counted += samples
                if samples and counted % every == 0:
                    self.gradient(waiting_x, waiting_d, lr)
                    waiting_x, waiting_d = [], []
                    self.transfer(micro_steps, mode, decay)
            self.gradient(waiting_x, waiting_d, lr)
            waiting_x, waiting_d = [], []
            counted += not samples
            if not samples and counted % every == 0:
                self.transfer(micro_steps, mode, decay)
