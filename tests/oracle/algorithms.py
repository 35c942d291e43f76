"""Update algorithms cell by cell in float64, written beside their papers; arrays of constant steps, exact read-outs, regular choppers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tests.oracle.update import counts

__all__ = ["OracleArray", "agad", "c_ttv2", "mixed_precision", "tiki_taka", "ttv2"]

Vector = list[float]
Matrix = list[Vector]
GRADIENT: dict[str, Any] = {}
SINGLE: dict[str, Any] = {"bl": 1, "um": False, "ublm": False}


class OracleArray:
    """Cells of one step size between hard bounds."""

    def __init__(self, rows: int, columns: int, g: float, bound: float = 1.0) -> None:
        self.w, self.g, self.bound = [[0.0] * columns for _ in range(rows)], g, bound

    def pulse(self, x: Vector, d: Vector, lr: float, coding: dict[str, Any], g: float | None = None) -> None:
        """Add the pulses of one vector, subtracting lr d x^T."""
        if lr == 0:
            return
        n = counts("deterministic_implicit", x, d, lr, self.g if g is None else g, **coding)
        for i, row in enumerate(n):
            for j, k in enumerate(row):
                self.w[i][j] = max(-self.bound, min(self.bound, self.w[i][j] + k * self.g))


class Lines:
    """Slices of a matrix: columns or rows."""

    def __init__(self, rows: int, columns: int, by_columns: bool) -> None:
        self.by_columns = by_columns
        self.count, self.width = (columns, rows) if by_columns else (rows, columns)

    def get(self, w: Matrix, s: int) -> Vector:
        """Return slice s."""
        return [w[i][s] for i in range(self.width)] if self.by_columns else list(w[s])

    def put(self, w: Matrix, s: int, values: Vector) -> None:
        """Set slice s."""
        for i, value in enumerate(values):
            if self.by_columns:
                w[i][s] = value
            else:
                w[s][i] = value

    def write(self, array: OracleArray, s: int, values: Vector, lr: float, coding: dict[str, Any]) -> None:
        """Pulse slice s with values, subtracted."""
        one_hot = [float(k == s) for k in range(self.count)]
        if self.by_columns:
            array.pulse(one_hot, values, lr, coding)
        else:
            array.pulse(values, one_hot, lr, coding)


def chain(
    xs: Matrix,
    ds: Matrix,
    lr: float,
    steps: Vector,
    batch: int,
    every: list[float],
    reads: int,
    by_columns: bool,
    in_batches: bool,
    process: Callable[[int, int, Vector, OracleArray, Lines], tuple[Vector, float, dict[str, Any]]],
    mean_step: bool = False,
) -> list[OracleArray]:
    """Return the arrays of a chain after vectors xs and ds; `process` says what a read-out of a stage's slice becomes."""
    rows, columns = len(ds[0]), len(xs[0])
    lines, arrays = Lines(rows, columns, by_columns), [OracleArray(rows, columns, g) for g in steps]
    current = [0] * (len(steps) - 1)
    g = sum(steps) / len(steps) if mean_step else steps[0]
    for t, (x, d) in enumerate(zip(xs, ds, strict=True), start=1):
        arrays[0].pulse(x, d, lr, GRADIENT, g)
        for stage in range(len(steps) - 1):
            period = math.ceil(every[stage] * batch) if in_batches else round(every[stage])
            if period == 0 or t % period:
                continue
            for _ in range(reads):
                s = current[stage]
                values, rate, coding = process(stage, s, lines.get(arrays[stage].w, s), arrays[stage + 1], lines)
                lines.write(arrays[stage + 1], s, values, rate, coding)
                current[stage] = (s + 1) % lines.count
    return arrays


def tiki_taka(xs: Matrix, ds: Matrix, lr: float, steps: Vector, transfer_lr: float, **schedule: Any) -> list[OracleArray]:
    """Return the arrays of Tiki-Taka."""
    return chain(
        xs, ds, lr, steps, process=lambda stage, s, v, target, lines: ([-each for each in v], transfer_lr * lr, GRADIENT), **schedule
    )


def ttv2(
    xs: Matrix,
    ds: Matrix,
    lr: float,
    steps: Vector,
    transfer_lr: float,
    momentum: float,
    forget: bool,
    thres_scale: float,
    step: float,
    **schedule: Any,
) -> tuple[list[OracleArray], list[Matrix]]:
    """Return the arrays and the buffers of Tiki-Taka version 2."""
    buffers = [[[0.0] * len(xs[0]) for _ in ds[0]] for _ in steps[1:]]

    def process(stage: int, s: int, v: Vector, target: OracleArray, lines: Lines) -> tuple[Vector, float, dict[str, Any]]:
        threshold, out, left = thres_scale * target.g, [], []
        for h, read in zip(lines.get(buffers[stage], s), v, strict=True):
            h += transfer_lr * lr * read
            n = max(-1, min(1, math.trunc(h / threshold)))
            if n:
                h = momentum * h if forget else h - (1 - momentum) * n * threshold
            out.append(float(-n))
            left.append(h)
        lines.put(buffers[stage], s, left)
        return out, step * target.g, SINGLE

    return chain(xs, ds, lr, steps, process=process, **schedule), buffers


def chopped(
    xs: Matrix,
    ds: Matrix,
    lr: float,
    steps: Vector,
    batch: int,
    every: int,
    by_columns: bool,
    period: int,
    fast_lr: float,
    auto_momentum: float | None,
    digital: Callable[..., Vector],
) -> tuple[OracleArray, OracleArray, Vector]:
    """Return the fast and the slow array and the choppers; `digital` returns the pulses of one read-out."""
    rows, columns = len(ds[0]), len(xs[0])
    lines, fast, slow = Lines(rows, columns, by_columns), OracleArray(rows, columns, steps[0]), OracleArray(rows, columns, steps[1])
    signs, sweep, current, m_x, m_d = [1.0] * lines.count, 0, 0, 0.0, 0.0
    for t, (x, d) in enumerate(zip(xs, ds, strict=True), start=1):
        rate = fast_lr
        if auto_momentum is not None:
            tau = (1 - auto_momentum) / batch
            x_max, d_max = max(map(abs, x)), max(map(abs, d))
            if x_max > 0:
                m_x = x_max if m_x == 0 else (1 - tau) * m_x + tau * x_max
            if d_max > 0:
                m_d = d_max if m_d == 0 else (1 - tau) * m_d + tau * d_max
            rate = fast_lr * 31 * fast.g / (m_x * m_d) if m_x * m_d else 0.0
        chopped_x = [v * c for v, c in zip(x, signs, strict=True)] if by_columns else x
        chopped_d = d if by_columns else [v * c for v, c in zip(d, signs, strict=True)]
        fast.pulse(chopped_x, chopped_d, rate, GRADIENT)
        if t % every:
            continue
        s = current
        flip = sweep % period == period - 1
        n = digital(lines, s, lines.get(fast.w, s), signs[s], sweep, flip, rate)
        lines.write(slow, s, [-k for k in n], slow.g, SINGLE)
        if flip:
            signs[s] = -signs[s]
        current = (s + 1) % lines.count
        sweep += current == 0
    return fast, slow, signs


def fired(h: float, momentum: float, forget: bool) -> tuple[float, float]:
    """Return the pulse that a buffer gives, -1, 0 or 1, and what it holds then."""
    n = max(-1, min(1, math.trunc(h)))
    if n:
        h = momentum * h if forget else h - (1 - momentum) * n
    return float(n), h


def c_ttv2(
    xs: Matrix, ds: Matrix, lr: float, steps: Vector, transfer_lr: float, momentum: float, forget: bool, correct: bool, **settings: Any
) -> tuple[OracleArray, OracleArray, Matrix, Vector]:
    """Return both arrays, the buffer and the choppers of chopped Tiki-Taka version 2."""
    buffer = [[0.0] * len(xs[0]) for _ in ds[0]]

    def digital(lines: Lines, s: int, v: Vector, sign: float, sweep: int, flip: bool, rate: float) -> Vector:
        factor = transfer_lr * lr / steps[0]
        if correct:
            factor = transfer_lr * lr / rate / steps[1]
        pairs = [fired(h + sign * read * factor, momentum, forget) for h, read in zip(lines.get(buffer, s), v, strict=True)]
        lines.put(buffer, s, [h for _, h in pairs])
        return [n for n, _ in pairs]

    fast, slow, signs = chopped(xs, ds, lr, steps, digital=digital, **settings)
    return fast, slow, buffer, signs


def agad(
    xs: Matrix,
    ds: Matrix,
    lr: float,
    steps: Vector,
    transfer_lr: float,
    momentum: float,
    forget: bool,
    tail: float,
    period: int,
    **settings: Any,
) -> tuple[OracleArray, OracleArray, Matrix, Matrix, Matrix]:
    """Return both arrays, the buffer, the running mean and the reference of AGAD."""
    buffer, mean, reference = ([[0.0] * len(xs[0]) for _ in ds[0]] for _ in range(3))
    switched: dict[int, bool] = {}
    beta = min(tail / period, 1.0)

    def digital(lines: Lines, s: int, v: Vector, sign: float, sweep: int, flip: bool, rate: float) -> Vector:
        if switched.get(s):
            lines.put(reference, s, lines.get(mean, s))
        switched[s] = flip
        p = lines.get(reference, s)
        pairs = [
            fired(h + sign * (read - zero) * transfer_lr * lr / steps[0], momentum, forget)
            for h, read, zero in zip(lines.get(buffer, s), v, p, strict=True)
        ]
        lines.put(buffer, s, [h for _, h in pairs])
        lines.put(mean, s, [(1 - beta) * m + beta * read for m, read in zip(lines.get(mean, s), v, strict=True)])
        return [n if sweep > period else 0.0 for n, _ in pairs]

    fast, slow, _ = chopped(xs, ds, lr, steps, digital=digital, period=period, **settings)
    return fast, slow, buffer, mean, reference


def mixed_precision(xs: Matrix, ds: Matrix, lr: float, g: float, batch: int, every: int, rows_each: int) -> tuple[OracleArray, Matrix]:
    """Return the array and the digital matrix of mixed-precision training, written after every `every` mini-batches."""
    rows, columns = len(ds[0]), len(xs[0])
    array, chi, start = OracleArray(rows, columns, g), [[0.0] * columns for _ in range(rows)], 0
    for t, (x, d) in enumerate(zip(xs, ds, strict=True), start=1):
        for i in range(rows):
            for j in range(columns):
                chi[i][j] += lr * d[i] * x[j]
        if t % (every * batch):
            continue
        for i in [(start + k) % rows for k in range(rows_each)]:
            m = [float(math.trunc(value / g)) for value in chi[i]]
            chi[i] = [value - k * g for value, k in zip(chi[i], m, strict=True)]
            array.pulse(m, [float(k == i) for k in range(rows)], g, GRADIENT)
        start = (start + rows_each) % rows
    return array, chi
