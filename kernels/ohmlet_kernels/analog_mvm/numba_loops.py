"""The elementwise halves of an analog pass as compiled loops over rows `first` to `last`: before and after the product, and back."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.analog_mvm.numba_draws import normals_of_rows, room, rows_at_once

__all__ = ["after", "after_gradient", "before", "before_gradient", "decoded"]

ZERO, ONE = np.float32(0.0), np.float32(1.0)
FULL = np.uint8(255)


@njit(nogil=True, cache=True, error_model="numpy")
def _pack(bits, inside, columns):  # type: ignore[no-untyped-def]
    """Fill bits [ceil(columns / 8)] with flags inside [columns], 0 or 1, eight in each."""
    for byte in range(len(bits)):
        word = np.uint8(0)
        for k in range(min(8, columns - 8 * byte)):
            word |= np.uint8(inside[8 * byte + k] << np.uint8(k))
        bits[byte] = word


@njit(inline="always")
def _bit(bits, j):  # type: ignore[no-untyped-def]
    """Return flag j of packed flags."""
    return (bits[j >> 3] >> np.uint8(j & 7)) & np.uint8(1)


@njit(nogil=True, cache=True, error_model="numpy")
def before(first, last, x, scale, step, bound, position, v, other, codes, bits, clipped):  # type: ignore[no-untyped-def]
    """Turn inputs x [rows, in] into what drives the array, v = clip(round(x / scale / step) step, +-bound).

    v [L, 1, rows / L, in], or [L, 2, ...] with v position beside it; other [L, 0 to 2, ...] gets |v| (with `position`) and then v^2.
    Unless they have no size: codes [rows, in] gets round(...), bits [rows, in / 8] where nothing clips, clipped [rows] how often it does.
    """
    columns, vectors = x.shape[1], v.shape[2]
    inside = np.empty(columns, np.uint8)
    level, wires = np.empty(columns, np.float32), v.shape[1] == 2
    for i in range(first, last):
        s = scale[i] if scale[i] > ZERO else ONE
        lead, at = i // vectors, i % vectors
        source, out = x[i], v[lead, 0, at]
        if step > ZERO:
            for j in range(columns):
                level[j] = np.rint(source[j] / s / step)
            for j in range(columns):
                out[j] = min(max(level[j] * step, -bound), bound)
        else:
            for j in range(columns):
                out[j] = min(max(source[j] / s, -bound), bound)
        if bits.size:
            count = np.int32(0)
            for j in range(columns):
                value = abs(level[j] * step) if step > ZERO else abs(source[j] / s)
                inside[j] = np.uint8(value <= bound)
                count = np.int32(count + np.int32(inside[j]))
            clipped[i] = columns - count
            if count == columns:
                bits[i] = FULL
            else:
                _pack(bits[i], inside, columns)
        if codes.size:
            most = np.rint(bound / step)
            for j in range(columns):
                codes[i, j] = np.int32(min(max(level[j], -most), most))
        if wires:
            scaled, absolute = v[lead, 1, at], other[lead, 0, at]
            for j in range(columns):
                scaled[j] = out[j] * position[j]
            for j in range(columns):
                absolute[j] = abs(out[j])
        if other.shape[1] > wires:
            square = other[lead, int(wires), at]
            for j in range(columns):
                square[j] = out[j] * out[j]


@njit(nogil=True, cache=True, error_model="numpy")
def decoded(first, last, codes, step, bound, bits, v):  # type: ignore[no-untyped-def]
    """Fill v [rows, in] with what `before` made of the codes."""
    columns = codes.shape[1]
    for i in range(first, last):
        source, out = codes[i], v[i]
        for j in range(columns):
            out[j] = min(max(np.float32(source[j]) * step, -bound), bound)
        if bits.size:
            for j in range(columns):
                if not _bit(bits[i], j):
                    out[j] = bound if source[j] > 0 else -bound


# Entries are addressed one by one, since taking a row out of an array costs as much as a short row itself.
@njit(nogil=True, cache=True, error_model="numpy")
def _currents(start, end, y, other, ir_drop, load, value):  # type: ignore[no-untyped-def]
    """Fill value [rows, out] with the currents of rows `start` to `end`, less the IR drop."""
    vectors, wires = y.shape[2], y.shape[1] == 2
    for i in range(start, end):
        lead, at, n = i // vectors, i % vectors, i - start
        if wires:
            for j in range(value.shape[1]):
                a = load * other[lead, 0, at, j]
                c = a * (a * (np.float32(0.05) * a - np.float32(0.2)) + np.float32(0.5))
                value[n, j] = y[lead, 0, at, j] - ir_drop * (c * y[lead, 1, at, j])
        else:
            for j in range(value.shape[1]):
                value[n, j] = y[lead, 0, at, j]


@njit(nogil=True, cache=True, error_model="numpy")
def _read(start, end, other, norm, w_noise, noise, value):  # type: ignore[no-untyped-def]
    """Add the read noise of the weights to the currents of rows `start` to `end`, in place."""
    vectors, last = other.shape[2], other.shape[1] - 1
    for i in range(start, end):
        lead, at, n = i // vectors, i % vectors, i - start
        if norm.size:
            common = w_noise * norm[i]
            for j in range(value.shape[1]):
                value[n, j] = value[n, j] + common * noise[n, j]
        else:
            for j in range(value.shape[1]):
                value[n, j] = value[n, j] + w_noise * np.sqrt(max(other[lead, last, at, j], ZERO)) * noise[n, j]


@njit(nogil=True, cache=True, error_model="numpy")
def _converted(rows, out_noise, step, noise, value):  # type: ignore[no-untyped-def]
    """Add the output noise to the currents and round them to the ADC's steps, in place."""
    for n in range(rows):
        if out_noise > ZERO and step > ZERO:
            for j in range(value.shape[1]):
                value[n, j] = np.rint((value[n, j] + out_noise * noise[n, j]) / step) * step
        elif out_noise > ZERO:
            for j in range(value.shape[1]):
                value[n, j] = value[n, j] + out_noise * noise[n, j]
        elif step > ZERO:
            for j in range(value.shape[1]):
                value[n, j] = np.rint(value[n, j] / step) * step


@njit(nogil=True, cache=True, error_model="numpy")
def _flagged(start, end, scale, bound, value, inside, bits, clipped):  # type: ignore[no-untyped-def]
    """Fill bits with where the outputs of rows `start` to `end` do not clip, and clipped with how often they do."""
    columns = value.shape[1]
    for i in range(start, end):
        count = np.int32(0)
        for j in range(columns):
            inside[j] = np.uint8(abs(value[i - start, j]) <= bound)
            count = np.int32(count + np.int32(inside[j]))
        if scale[i] <= ZERO or count == columns:
            bits[i] = FULL
        else:
            clipped[i] = columns - count
            _pack(bits[i], inside, columns)


@njit(nogil=True, cache=True, error_model="numpy")
def _scaled(start, end, scale, bound, out_scale, value, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, out] with the outputs of rows `start` to `end`, clipped and scaled."""
    for i in range(start, end):
        n, s = i - start, scale[i]
        if s <= ZERO:
            for j in range(value.shape[1]):
                out[i, j] = ZERO
        else:
            for j in range(value.shape[1]):
                out[i, j] = min(max(value[n, j], -bound), bound) * s
            if out_scale != ONE:
                for j in range(value.shape[1]):
                    out[i, j] = out[i, j] * out_scale


@njit(nogil=True, cache=True, error_model="numpy")
def after(first, last, y, other, norm, scale, keys, ordinals, positions, purposes, numbers, out, bits, clipped):  # type: ignore[no-untyped-def]
    """Turn currents into outputs out [rows, out]: IR drop, read noise, output noise, ADC, scale; rows run over keys, ordinals, positions.

    y [L, 1 or 2, rows / L, out] are the products with v and, for the IR drop, with v position; other [L, 0 to 2, ...] those of |v| with
    |w| (for the IR drop) and the power of the read noise, unless norm [rows] has it. `purposes` of weight and output noise; `numbers`
    w_noise, out_noise, step, bound, out_scale, ir_drop, n / g_ratio. Unless it has no size, bits [rows, out / 8] gets where nothing
    clips and clipped [rows] how often it does. `out` may be the memory of y where this has one product.
    """
    columns = out.shape[1]
    w_noise, out_noise, step, bound, out_scale = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    ir_drop, load = numbers[5], numbers[6]
    many = min(rows_at_once(columns), max(1, last - first))
    noise, scratch, pairs, at = room(many, columns)
    value, inside = np.empty((many, columns), np.float32), np.empty(columns, np.uint8)
    # A block of rows at a time, which stays in the nearest cache from step to step.
    for start in range(first, last, many):
        end = min(start + many, last)
        _currents(start, end, y, other, ir_drop, load, value)
        if w_noise > ZERO:
            normals_of_rows(noise, scratch, pairs, at, start, end, columns, keys, ordinals, positions, purposes[0])
            _read(start, end, other, norm, w_noise, noise, value)
        if out_noise > ZERO:
            normals_of_rows(noise, scratch, pairs, at, start, end, columns, keys, ordinals, positions, purposes[1])
        _converted(end - start, out_noise, step, noise, value)
        if bits.size:
            _flagged(start, end, scale, bound, value, inside, bits, clipped)
        _scaled(start, end, scale, bound, out_scale, value, out)


@njit(nogil=True, cache=True, error_model="numpy")
def after_gradient(first, last, gradient, scale, out_scale, bits, divisor, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, out] with the gradient at the currents, over divisor [L, out] unless it has no size."""
    columns = gradient.shape[1]
    per_lead = max(1, gradient.shape[0] // max(1, divisor.shape[0]))
    for i in range(first, last):
        s = max(scale[i], ZERO) * out_scale
        source, to = gradient[i], out[i]
        if divisor.size:
            below = divisor[i // per_lead]
            for j in range(columns):
                to[j] = source[j] * s / below[j]
        else:
            for j in range(columns):
                to[j] = source[j] * s
        if bits.size:
            for j in range(columns):
                if not _bit(bits[i], j):
                    to[j] = ZERO


@njit(nogil=True, cache=True, error_model="numpy")
def before_gradient(first, last, gradient, scale, bits):  # type: ignore[no-untyped-def]
    """Turn the gradient at the scaled inputs [rows, in] into that at the inputs, in place."""
    columns = gradient.shape[1]
    for i in range(first, last):
        s = scale[i] if scale[i] > ZERO else ONE
        to = gradient[i]
        for j in range(columns):
            to[j] = to[j] / s
        if bits.size:
            for j in range(columns):
                if not _bit(bits[i], j):
                    to[j] = ZERO
