"""The elementwise halves of an analog pass as compiled loops over rows `first` to `last`: before and after the product, and back."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise.numba import CHUNK, MASK, S32, _draw, _normals, _places

__all__ = ["after", "after_gradient", "before", "before_gradient"]


@njit(nogil=True, cache=True, error_model="numpy")
def before(first, last, x, scale, step, bound, v, inside):  # type: ignore[no-untyped-def]
    """Fill v [rows, in] with clip(round(x / scale / step) step, +-bound), and `inside` with where nothing clips, if it has any size."""
    columns = x.shape[1]
    for i in range(first, last):
        s = scale[i] if scale[i] > np.float32(0) else np.float32(1)
        for j in range(columns):
            value = x[i, j] / s
            if step > np.float32(0):
                value = np.rint(value / step) * step
            v[i, j] = min(max(value, -bound), bound)
            if inside.size:
                inside[i, j] = np.uint8(abs(value) <= bound)


@njit(nogil=True, cache=True, error_model="numpy")
def _noise(noise, columns, row, ordinal, key, purpose):  # type: ignore[no-untyped-def]
    """Fill noise [columns] with the normals at (key, purpose, ordinal, row)."""
    quads = (columns + 3) // 4
    z = np.empty((4, CHUNK), np.uint32)
    y = np.empty((4, CHUNK), np.float32)
    at_row, at_column = np.empty(CHUNK, np.uint64), np.empty(CHUNK, np.uint64)
    high = (ordinal >> S32) << np.uint64(20)
    for start in range(0, quads, CHUNK):
        count = min(CHUNK, quads - start)
        _places(at_row, at_column, count, row * quads + start, quads)
        _draw(z, at_row, at_column, count, high, ordinal & MASK, purpose, key & MASK, key >> S32)
        _normals(z, y, count)
        for i in range(count):
            first = (start + i) * 4
            for lane in range(min(4, columns - first)):
                noise[first + lane] = y[lane, i]


@njit(nogil=True, cache=True, error_model="numpy")
def after(first, last, y, power, scale, keys, ordinals, positions, purposes, numbers, keep_empty, inside):  # type: ignore[no-untyped-def]
    """Turn currents y [rows, out] into outputs in place: read noise, output noise, ADC, scale; rows run over keys, ordinals, positions.

    `power` [rows, out or 1] or empty, `purposes` of weight and output noise, `numbers` w_noise, out_noise, step, bound, out_scale.
    """
    columns = y.shape[1]
    w_noise, out_noise, step, bound, out_scale = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]
    per_key = len(ordinals) * positions
    for i in range(first, last):
        s = scale[i]
        if s <= np.float32(0):
            s = np.float32(1)
            if not keep_empty:
                for j in range(columns):
                    y[i, j] = np.float32(0)
                    if inside.size:
                        inside[i, j] = np.uint8(0)
                continue
        key = np.uint64(keys[i // per_key])
        ordinal = np.uint64(ordinals[(i % per_key) // positions])
        position = i % positions
        noise = np.empty(columns, np.float32)
        if power.size:
            _noise(noise, columns, position, ordinal, key, purposes[0])
            shared = power.shape[1] == 1
            for j in range(columns):
                y[i, j] = y[i, j] + w_noise * power[i, 0 if shared else j] * noise[j]
        if out_noise > np.float32(0):
            _noise(noise, columns, position, ordinal, key, purposes[1])
            for j in range(columns):
                y[i, j] = y[i, j] + out_noise * noise[j]
        for j in range(columns):
            value = y[i, j]
            if step > np.float32(0):
                value = np.rint(value / step) * step
            if inside.size:
                inside[i, j] = np.uint8(abs(value) <= bound)
            value = min(max(value, -bound), bound) * s
            y[i, j] = value if out_scale == np.float32(1) else value * out_scale


@njit(nogil=True, cache=True, error_model="numpy")
def after_gradient(first, last, gradient, scale, out_scale, keep_empty, inside, out):  # type: ignore[no-untyped-def]
    """Fill out [rows, out] with the gradient at the currents."""
    columns = gradient.shape[1]
    for i in range(first, last):
        s = scale[i]
        if s <= np.float32(0):
            s = np.float32(1) if keep_empty else np.float32(0)
        s = s * out_scale
        for j in range(columns):
            out[i, j] = gradient[i, j] * s if inside.size == 0 or inside[i, j] else np.float32(0)


@njit(nogil=True, cache=True, error_model="numpy")
def before_gradient(first, last, gradient, scale, inside):  # type: ignore[no-untyped-def]
    """Turn the gradient at the scaled inputs [rows, in] into that at the inputs, in place."""
    columns = gradient.shape[1]
    for i in range(first, last):
        s = scale[i] if scale[i] > np.float32(0) else np.float32(1)
        for j in range(columns):
            gradient[i, j] = gradient[i, j] / s if inside.size == 0 or inside[i, j] else np.float32(0)
