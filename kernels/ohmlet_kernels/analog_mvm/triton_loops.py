"""The parts of an analog pass as Triton kernels: what drives the array, the product, and what the read-out makes of the currents.

`driven` and `read` work on blocks in registers, so that a kernel that does everything at once can be made of the same functions.
"""

from __future__ import annotations

import triton
import triton.language as tl

from ohmlet_kernels.noise.triton import address, normals, philox, uniforms

__all__ = ["CLIPPED", "NEGATIVE", "drive", "driven", "multiply", "read", "read_out"]

CLIPPED, NEGATIVE = 1, 2
"""What a flag says of a number: that it was clipped, that it lost what an asymmetry takes."""

CLIPS, BELOW = tl.constexpr(CLIPPED), tl.constexpr(NEGATIVE)
WHOLE = tl.constexpr(8388608.0)


@triton.jit
def _nearest(v):  # type: ignore[no-untyped-def]
    """Return whole numbers, half to even: float32 from 2^23 on have no fraction, and those above carry none through an addition."""
    size = tl.abs(v)
    whole = (size + WHOLE) - WHOLE
    return tl.where(size < WHOLE, tl.where(v < 0.0, -whole, whole), v)


@triton.jit
def _rounded(v, step, shift):  # type: ignore[no-untyped-def]
    """Return multiples of `step`; a shift between -1/2 and 1/2 rounds at random."""
    return _nearest(tl.div_rn(v, step + 0.0 * v) + shift) * step


@triton.jit  # type: ignore[untyped-decorator]
def _words(block, position, ordinal, purpose, key, BLOCK_N: tl.constexpr):  # type: ignore[no-untyped-def]
    """Return the random words [rows, BLOCK_N] of a block of columns; position, ordinal and key are [rows, 1]."""
    quad = (block * (BLOCK_N // 4) + tl.arange(0, BLOCK_N // 4))[None, :]
    c0, c1, c2, c3 = address(quad, position, ordinal, purpose)
    a, b, e, g = philox(c0, c1, c2, c3, key.to(tl.uint32), (key >> 32).to(tl.uint32))
    return tl.interleave(tl.interleave(a, e), tl.interleave(b, g))


@triton.jit
def _place(row, inside, keys, ordinals, samples, positions):  # type: ignore[no-untyped-def]
    """Return position, ordinal and key of rows that run over keys, ordinals and positions."""
    ordinal = tl.load(ordinals + (row // positions) % samples, mask=inside, other=0)
    key = tl.load(keys + row // positions // samples, mask=inside, other=0)
    return row % positions, ordinal, key


@triton.jit  # type: ignore[untyped-decorator]
def driven(  # type: ignore[no-untyped-def]
    x, scale, block, position, ordinal, key, dac_word, input_word, step, bound, noise, asymmetry,
    STEPPED: tl.constexpr, AT_RANDOM: tl.constexpr, NOISY: tl.constexpr, LOSSY: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Return what drives the array for a block of inputs, and its flags.

    clip(round(x / scale / step) step, +-bound) + noise xi, times 1 - asymmetry below zero.
    """
    v = tl.div_rn(x, tl.where(scale <= 0.0, 1.0, scale) + 0.0 * x)
    if STEPPED:
        if AT_RANDOM:
            v = _rounded(v, step, uniforms(_words(block, position, ordinal, dac_word, key, BLOCK_N)) - 0.5)
        else:
            v = _rounded(v, step, 0.0)
    flag = tl.where(tl.abs(v) <= bound, 0, CLIPS)
    v = tl.where(v > bound, bound, v)
    v = tl.where(v < -bound, -bound, v)
    if NOISY:
        v = v + noise * normals(_words(block, position, ordinal, input_word, key, BLOCK_N))
    if LOSSY:
        flag += tl.where(v < 0.0, BELOW, 0)
        v = tl.where(v < 0.0, v * (1.0 - asymmetry), v)
    return v, flag


@triton.jit  # type: ignore[untyped-decorator]
def read(  # type: ignore[no-untyped-def]
    y, power, block, position, ordinal, key, weight_word, output_word, adc_word, w_noise, noise, asymmetry, step, bound,
    POWERED: tl.constexpr, LOSSY: tl.constexpr, NOISY: tl.constexpr, STEPPED: tl.constexpr, AT_RANDOM: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Return what the ADC makes of a block of currents, in the crossbar's units, and its flags.

    y + w_noise power xi;  times 1 - asymmetry below zero;  + noise xi;  clip(round(y / step) step, +-bound).
    """
    if POWERED:
        y = y + w_noise * power * normals(_words(block, position, ordinal, weight_word, key, BLOCK_N))
    flag = tl.where(y < 0.0, BELOW, 0)
    if LOSSY:
        y = tl.where(y < 0.0, y * (1.0 - asymmetry), y)
    if NOISY:
        y = y + noise * normals(_words(block, position, ordinal, output_word, key, BLOCK_N))
    if STEPPED:
        if AT_RANDOM:
            y = _rounded(y, step, uniforms(_words(block, position, ordinal, adc_word, key, BLOCK_N)) - 0.5)
        else:
            y = _rounded(y, step, 0.0)
    flag += tl.where(tl.abs(y) <= bound, 0, CLIPS)
    y = tl.where(y > bound, bound, y)
    return tl.where(y < -bound, -bound, y), flag


@triton.jit(do_not_specialize=["dac_word", "input_word"])  # type: ignore[untyped-decorator]
def drive(  # type: ignore[no-untyped-def]
    x_all, scales, keys, ordinals, v_all, flags, dac_word, input_word, rows, columns, given, samples, positions,
    step, bound, noise, asymmetry,
    STEPPED: tl.constexpr, AT_RANDOM: tl.constexpr, NOISY: tl.constexpr, LOSSY: tl.constexpr, FLAGGED: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Fill v [rows, columns] and, if FLAGGED, flags with `driven` of inputs x [given, columns], of which rows may be multiples."""
    across = tl.cdiv(columns, BLOCK_N)
    block = tl.program_id(0) % across
    row = (tl.program_id(0) // across * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    column = (block * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    in_row, inside = row < rows, (row < rows) & (column < columns)
    source = row % given
    x = tl.load(x_all + source.to(tl.int64) * columns + column, mask=inside, other=0.0)
    scale = tl.load(scales + source, mask=in_row, other=1.0)
    position, ordinal, key = _place(row, in_row, keys, ordinals, samples, positions)
    v, flag = driven(
        x, scale, block, position, ordinal, key, dac_word, input_word, step, bound, noise, asymmetry,
        STEPPED, AT_RANDOM, NOISY, LOSSY, BLOCK_N,
    )  # fmt: skip
    place = row.to(tl.int64) * columns + column
    tl.store(v_all + place, v, mask=inside)
    if FLAGGED:
        tl.store(flags + place, flag.to(tl.uint8), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def multiply(  # type: ignore[no-untyped-def]
    v_all, w_all, y_all, vectors, outputs, inputs, v_lead, w_lead,
    PRECISION: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Fill y [L, vectors, outputs] with w v; `v_lead` and `w_lead` are the distances between crossbars in v and w, 0 if they share one.

    Sums run along the inputs in one order, whatever the number of vectors.
    """
    down, across = tl.cdiv(vectors, BLOCK_M), tl.cdiv(outputs, BLOCK_N)
    lead = (tl.program_id(0) // (down * across)).to(tl.int64)
    at = tl.program_id(0) % (down * across)
    row = (at // across * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    column = (at % across * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    step = tl.arange(0, BLOCK_K)
    v_at = v_all + lead * v_lead + row.to(tl.int64) * inputs + step[None, :]
    w_at = w_all + lead * w_lead + column.to(tl.int64) * inputs + step[:, None]
    total = tl.zeros((BLOCK_M, BLOCK_N), tl.float32)
    for first in range(0, inputs, BLOCK_K):
        left = inputs - first
        v = tl.load(v_at + first, mask=(row < vectors) & (step[None, :] < left), other=0.0)
        w = tl.load(w_at + first, mask=(column < outputs) & (step[:, None] < left), other=0.0)
        total = tl.dot(v, w, total, input_precision=PRECISION)
    y_at = y_all + (lead * vectors + row) * outputs + column
    tl.store(y_at, total, mask=(row < vectors) & (column < outputs))


@triton.jit(do_not_specialize=["weight_word", "output_word", "adc_word"])  # type: ignore[untyped-decorator]
def read_out(  # type: ignore[no-untyped-def]
    y_all, powers, scales, keys, ordinals, out, flags, weight_word, output_word, adc_word, rows, columns, given, samples, positions,
    w_noise, noise, asymmetry, step, bound, out_scale,
    POWERS: tl.constexpr, LOSSY: tl.constexpr, NOISY: tl.constexpr, STEPPED: tl.constexpr, AT_RANDOM: tl.constexpr,
    EMPTY_IS_ZERO: tl.constexpr, FLAGGED: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Fill out [rows, columns] with scale out_scale `read` of currents y, and flags if FLAGGED; scales [given] repeat along the rows.

    `powers` [rows, POWERS] is what the weights' read noise grows with, POWERS being 0 for none, 1 or the number of columns.
    """
    across = tl.cdiv(columns, BLOCK_N)
    block = tl.program_id(0) % across
    row = (tl.program_id(0) // across * BLOCK_M + tl.arange(0, BLOCK_M))[:, None]
    column = (block * BLOCK_N + tl.arange(0, BLOCK_N))[None, :]
    in_row, inside = row < rows, (row < rows) & (column < columns)
    place = row.to(tl.int64) * columns + column
    y = tl.load(y_all + place, mask=inside, other=0.0)
    power = 0.0
    if POWERS == 1:
        power = tl.load(powers + row, mask=in_row, other=0.0)
    elif POWERS > 1:
        power = tl.load(powers + place, mask=inside, other=0.0)
    scale = tl.load(scales + row % given, mask=in_row, other=1.0)
    position, ordinal, key = _place(row, in_row, keys, ordinals, samples, positions)
    y, flag = read(
        y, power, block, position, ordinal, key, weight_word, output_word, adc_word, w_noise, noise, asymmetry, step, bound,
        POWERS > 0, LOSSY, NOISY, STEPPED, AT_RANDOM, BLOCK_N,
    )  # fmt: skip
    empty = scale <= 0.0
    y = y * tl.where(empty, 1.0, scale) * out_scale
    if EMPTY_IS_ZERO:
        y = tl.where(empty, 0.0, y)
    tl.store(out + place, y, mask=inside)
    if FLAGGED:
        tl.store(flags + place, flag.to(tl.uint8), mask=inside)
