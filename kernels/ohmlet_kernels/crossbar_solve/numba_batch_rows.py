"""One word line's share of an iteration for LANES inputs: the way back along the bit lines, and the next way there."""

from __future__ import annotations

from numba import float32, njit

from ohmlet_kernels.crossbar_solve.numba_lanes import LANES, load, spread, store, wide

__all__ = ["advance", "begin", "multiply"]

# Vectors are flat, [rows * columns * LANES]; `base` is where a row begins. Word lines are eliminated on the way from their far ends.


@njit(nogil=True, cache=True, error_model="numpy")
def begin(base, a, q_word, e, y, s, v):  # type: ignore[no-untyped-def]
    """Write the bit lines' voltages to y, which holds the neighbouring row's, and to s; v gets the word line's elimination of s."""
    at, one = spread(float32(0.0)), spread(float32(1.0))
    for k in range(a.size - 1, -1, -1):
        here = base + k * LANES
        open_circuit = load(e, here)
        x = open_circuit + spread(a[k]) * (load(y, k * LANES) - open_circuit)
        store(y, k * LANES, x)
        store(s, here, x)
        q = spread(q_word[k])
        at = (one - q) * at + q * x
        store(v, k * LANES, at)


@njit(nogil=True, cache=True, error_model="numpy")
def advance(base, a, q_word, e, y, s, s_before, u, u_before, share, fresh, v):  # type: ignore[no-untyped-def]
    """Replace s_before and u_before by the residual and the solution that follow s and u; the rest as in `begin`.

    With P_b P_w s on the way in y and share [5, LANES]: s' = share_0 s + share_1 y + share_2 s_before and
    u' = share_3 u + share_4 s + share_2 u_before; `fresh` says that u is zero whatever stands there, and that nothing was before.
    """
    c0, c1, c2, c3, c4 = load(share, 0), load(share, LANES), load(share, 2 * LANES), load(share, 3 * LANES), load(share, 4 * LANES)
    zero = spread(float32(0.0))
    at, one = zero, spread(float32(1.0))
    for k in range(a.size - 1, -1, -1):
        here = base + k * LANES
        open_circuit = load(e, here)
        back = open_circuit + spread(a[k]) * (load(y, k * LANES) - open_circuit)
        store(y, k * LANES, back)
        now = load(s, here)
        x = c0 * now + c1 * back
        if fresh:
            store(u, here, zero)
            store(u_before, here, c4 * now)
        else:
            x = x + c2 * load(s_before, here)
            store(u_before, here, c3 * load(u, here) + c4 * now + c2 * load(u_before, here))
        store(s_before, here, x)
        q = spread(q_word[k])
        at = (one - q) * at + q * x
        store(v, k * LANES, at)


@njit(nogil=True, cache=True, error_model="numpy")
def multiply(base, g, a_word, q, wires, v, s, neighbours, beside, e, flow, moment, sums):  # type: ignore[no-untyped-def]
    """Write the bit lines' elimination of t = P_w s to e; s and e of the neighbouring row are `neighbours` from `beside` on.

    Adds <s, g s> and the power of s in the segments between both rows, <s, g t>, and the part of <s, (g + g Z_b g) s> that is known to
    sums [3, LANES], and the currents g s to flow and, times the resistance between row and sense node, to moment. wires are that
    segment's resistance, that resistance, the segment's conductance and that of an end of the lines at this row.
    """
    zero, one = spread(float32(0.0)), spread(float32(1.0))
    at, power, low, square = zero, zero, zero, zero
    ohm, arm, mho, end = spread(wires[0]), spread(wires[1]), spread(wires[2]), spread(wires[3])
    s_there, e_there = neighbours
    for k in range(g.size):
        here, there = base + k * LANES, beside + k * LANES
        a = spread(a_word[k])
        at = a * at + (one - a) * load(v, k * LANES)
        x = load(s, here)
        current = spread(g[k]) * x
        through = load(flow, k * LANES) + current
        store(flow, k * LANES, through)
        store(moment, k * LANES, load(moment, k * LANES) + current * arm)
        step = x - load(s_there, there)
        power = power + (current * x + end * x * x + mho * step * step)
        square = square + (current * x + ohm * through * through)
        low = low + current * at
        node = load(e_there, there)
        store(e, here, node + spread(q[k]) * (at - node))
    store(sums, 0, load(sums, 0) + wide(power))
    store(sums, LANES, load(sums, LANES) + wide(low))
    store(sums, 2 * LANES, load(sums, 2 * LANES) + wide(square))
