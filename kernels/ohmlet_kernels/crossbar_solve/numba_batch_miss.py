"""Compiled passages of LANES inputs through the cells in float64: what Kirchhoff's voltage law is missed by, and its correction."""

from __future__ import annotations

from numba import float32, njit

from ohmlet_kernels.crossbar_solve.numba_lanes import LANES, load, narrow, spread, store, wide
from ohmlet_kernels.crossbar_solve.numba_lines import FAST

__all__ = ["add", "miss"]


@njit(nogil=True, cache=True, error_model="numpy", fastmath=FAST)
def _gather(x, i, row):  # type: ignore[no-untyped-def]
    """Fill row [columns, LANES] with row i of x [inputs, rows, columns]; lanes without an input are zero."""
    for b in range(LANES):
        for k in range(x.shape[2]):
            row[k * LANES + b] = x[b, i, k] if b < x.shape[0] else 0.0


@njit(nogil=True, cache=True, error_model="numpy")
def add(g, light, r, sense, scale, vectors, u, rows_of, wide_rows, more, d, out):  # type: ignore[no-untyped-def]
    """Write f + P_w (u - f) - u to d [inputs, rows, columns], added to what stands there if `more`; return the outputs' squared norm.

    f is vectors[0], and both times scale[1]. out [inputs, columns] gets the outputs, wide_rows[1] what flows into the last row's ends.
    """
    rows, columns = g.shape
    line, f, v = columns * LANES, vectors[0], rows_of[1]
    row, current, moment = wide_rows[0], wide_rows[1], wide_rows[2]
    unit, one = load(scale, LANES), spread(float32(1.0))
    current[:], moment[:] = 0.0, 0.0
    for i in range(rows):
        base = i * line
        at = spread(float32(0.0))
        for k in range(columns - 1, -1, -1):
            x = load(u, base + k * LANES) - load(f, base + k * LANES)
            q = spread(light[1, i, k])
            at = (one - q) * at + q * x
            store(v, k * LANES, at)
        if more:
            _gather(d, i, row)
        along = spread(r[2] + (rows - 1 - i) * r[3])
        at = spread(float32(0.0))
        for k in range(columns):
            open_circuit = load(v, k * LANES)
            a = spread(light[2, i, k])
            at = a * at + (one - a) * open_circuit
            x = wide(load(f, base + k * LANES) + at - load(u, base + k * LANES)) * unit
            if more:
                x = x + load(row, k * LANES)
            store(row, k * LANES, x)
            x = spread(g[i, k]) * x
            store(current, k * LANES, load(current, k * LANES) + x)
            if sense:
                store(moment, k * LANES, load(moment, k * LANES) + x * along)
        for b in range(d.shape[0]):
            for k in range(columns):
                d[b, i, k] = row[k * LANES + b]
    whole = 2.0 * r[2] + (rows - 1) * r[3]
    size = spread(0.0)
    for k in range(columns):
        x = load(current, k * LANES)
        size = size + x * x
        for b in range(d.shape[0]):
            out[b, k] = current[k * LANES + b]
        if sense and whole > 0.0:
            store(current, k * LANES, x - load(moment, k * LANES) * spread(1.0 / whole))
    return size


@njit(nogil=True, cache=True, error_model="numpy")
def miss(g, e, d, fresh, light, exact, r, drive, scale, vectors, rows_of, wide_rows, sums):  # type: ignore[no-untyped-def]
    """Write <f, g f> and <f, g P_b f> to sums [2, LANES] for f = e - d - Z (g d), with d taken as zero if `fresh`.

    e is [inputs, rows, columns], or [inputs, rows, 1] where columns are alike, and wide_rows[1] as `add` leaves it. Cells without
    conductance are corrected in d, as nothing else depends on them. vectors[0] gets f times scale[0], and vectors[1] the elimination
    of P_b (f - P_w f) that `correct` begins with.
    """
    rows, columns = g.shape
    line, each = columns * LANES, LANES if e.shape[2] > 1 else 0
    f, half, v, nothing = vectors[0], vectors[1], rows_of[1], rows_of[4]
    row, current, drops, node, volts = wide_rows[0], wide_rows[1], wide_rows[2], wide_rows[3], wide_rows[4]
    zero, one = spread(0.0), spread(float32(1.0))
    square, power, unit = zero, zero, load(scale, 0)
    whole = 2.0 * r[0] + (columns - 1) * r[1]
    drops[:], node[:] = 0.0, 0.0
    neighbour, beside = nothing, 0
    for i in range(rows - 1, -1, -1):
        base = i * line
        _gather(e, i, volts)
        if fresh:
            for k in range(columns):
                store(row, k * LANES, load(volts, k * each))
        else:
            _gather(d, i, row)
            flow, moment, drop = zero, zero, zero
            for k in range(columns):
                x = spread(g[i, k]) * load(row, k * LANES)
                flow = flow + x
                moment = moment + x * spread(r[0] + k * r[1])
            if drive and whole > 0.0:
                flow = flow - moment * spread(1.0 / whole)
            ohm, below = spread(r[0]), spread(r[3] if i < rows - 1 else r[2])
            idle = False
            for k in range(columns):
                cell = load(row, k * LANES)
                x = spread(g[i, k]) * cell
                drop = drop + ohm * flow
                flow = flow - x
                beyond = load(current, k * LANES)
                rise = load(drops, k * LANES) + below * beyond
                store(drops, k * LANES, rise)
                store(current, k * LANES, beyond - x)
                store(row, k * LANES, load(volts, k * each) - cell - drop - rise)
                ohm = spread(r[1])
                idle = idle or g[i, k] == 0.0
            for k in range(columns if idle else 0):
                for b in range(d.shape[0] if g[i, k] == 0.0 else 0):
                    d[b, i, k] += row[k * LANES + b]
                    row[k * LANES + b] = 0.0
        at = spread(float32(0.0))
        for k in range(columns - 1, -1, -1):
            x = load(row, k * LANES)
            there = load(node, k * LANES)
            there = there + spread(exact[0, i, k]) * (x - there)
            store(node, k * LANES, there)
            there = spread(exact[1, i, k]) * there
            power = power + there * there
            square = square + spread(g[i, k]) * x * x
            light_x = narrow(x * unit)
            store(f, base + k * LANES, light_x)
            q = spread(light[1, i, k])
            at = (one - q) * at + q * light_x
            store(v, k * LANES, at)
        at = spread(float32(0.0))
        for k in range(columns):
            open_circuit = load(v, k * LANES)
            a = spread(light[2, i, k])
            at = a * at + (one - a) * open_circuit
            there_light = load(neighbour, beside + k * LANES)
            store(half, base + k * LANES, there_light + spread(light[5, i, k]) * (load(f, base + k * LANES) - at - there_light))
        neighbour, beside = half, base
    store(sums, 0, square)
    store(sums, LANES, power)
