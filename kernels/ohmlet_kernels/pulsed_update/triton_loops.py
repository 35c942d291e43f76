"""What a Triton update does for any device: count the pulses of a block of cells; and the kernel that draws pulse trains."""

from __future__ import annotations

import triton
import triton.language as tl

from ohmlet_kernels.noise.triton import COLUMN_BITS, philox
from ohmlet_kernels.pulsed_update.cells import BOTH, SLOTS, UP_ONLY

__all__ = ["column_counter", "count", "halves", "row_counter", "slots"]

ANY, UPWARD = tl.constexpr(BOTH), tl.constexpr(UP_ONLY)
WIDTH = tl.constexpr(SLOTS)
ROUND, WHOLE = tl.constexpr(12582912.0), tl.constexpr(4194304.0)


@triton.jit
def halves(key_at):  # type: ignore[no-untyped-def]
    """Return the two words of a key."""
    key = tl.load(key_at)
    return key.to(tl.uint32), (key >> 32).to(tl.uint32)


@triton.jit
def column_counter(column, ordinal):  # type: ignore[no-untyped-def]
    """Return the first word of a counter."""
    return column.to(tl.uint32) | ((ordinal >> 32) << COLUMN_BITS).to(tl.uint32)


@triton.jit
def row_counter(row, block):  # type: ignore[no-untyped-def]
    """Return the second word of the counter of a block of four random numbers."""
    return row.to(tl.uint32) | (tl.cast(block, tl.uint32) << COLUMN_BITS)


@triton.jit
def _ones(bits):  # type: ignore[no-untyped-def]
    """Return how many bits of uint32 are set, in the form that compilers know as one instruction."""
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    return ((bits * 0x01010101) >> 24).to(tl.int32)


@triton.jit
def _nearest(v):  # type: ignore[no-untyped-def]
    """Return numbers from zero on rounded half to even; from 2^22 on their halves do not matter to any cell."""
    return tl.where(v < WHOLE, (v + ROUND) - ROUND, v).to(tl.int32)


@triton.jit  # type: ignore[untyped-decorator]
def count(  # type: ignore[no-untyped-def]
    x_all, d_all, period_all, x_signs, d_signs, sample, row, column, rows, columns, WORDS: tl.constexpr, SELECT: tl.constexpr
):
    """Return how many pulses a block of cells gets from a sample, int32, and whether they are up; WORDS 0 stands for counts."""
    at_row, at_column = tl.cast(sample, tl.int64) * rows + row, tl.cast(sample, tl.int64) * columns + column
    in_row, in_column = row < rows, column < columns
    up = tl.load(x_signs + at_column, mask=in_column, other=0) != tl.load(d_signs + at_row, mask=in_row, other=0)
    if WORDS == 0:
        x = tl.load(x_all + at_column, mask=in_column, other=0.0)
        d = tl.load(d_all + at_row, mask=in_row, other=0.0)
        n = _nearest(tl.div_rn(d * x, tl.load(period_all + sample)))
    else:
        n = (up ^ up).to(tl.int32)
        for word in tl.static_range(WORDS):
            x = tl.load(x_all + at_column * WORDS + word, mask=in_column, other=0)
            d = tl.load(d_all + at_row * WORDS + word, mask=in_row, other=0)
            n += _ones(d.to(tl.uint32) & x.to(tl.uint32))
    if SELECT == UPWARD:
        n = tl.where(up, n, 0)
    elif SELECT != ANY:
        n = tl.where(up, 0, n)
        up = up | (up == up)
    return n, up


@triton.jit(do_not_specialize=["purpose", "lines"])  # type: ignore[untyped-decorator]
def slots(out, thresholds, lengths, ordinals, key_at, purpose, lines, WORDS: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Fill one word of the trains of a block of lines of one sample: out int64 [S, n, WORDS]."""
    blocks = tl.cdiv(lines, BLOCK)
    program = tl.program_id(0)
    word, block = program % WORDS, (program // WORDS) % blocks
    sample = program // (WORDS * blocks)
    line = block * BLOCK + tl.arange(0, BLOCK)
    inside = line < lines
    at = sample.to(tl.int64) * lines + line
    threshold = tl.load(thresholds + at, mask=inside, other=0).to(tl.int32)
    length = tl.minimum(tl.maximum(tl.load(lengths + sample) - word * WIDTH, 0), WIDTH).to(tl.int32)
    ordinal = tl.load(ordinals + sample)
    k0, k1 = halves(key_at)
    low, purpose = ordinal.to(tl.uint32), purpose.to(tl.uint32)
    made = tl.zeros((BLOCK,), tl.uint32)
    for quad in range(tl.cdiv(length, 4)):
        a, b, e, g = philox(column_counter(word * 8 + quad, ordinal), line.to(tl.uint32), low, purpose, k0, k1)
        fires = ((a >> 8).to(tl.int32) < threshold).to(tl.uint32)
        fires |= ((b >> 8).to(tl.int32) < threshold).to(tl.uint32) << 1
        fires |= ((e >> 8).to(tl.int32) < threshold).to(tl.uint32) << 2
        fires |= ((g >> 8).to(tl.int32) < threshold).to(tl.uint32) << 3
        made |= fires << tl.cast(4 * quad, tl.uint32)
    # What lies beyond the train was drawn in whole quads.
    keep = tl.where(length < WIDTH, ((length * 0 + 1).to(tl.int64) << length) - 1, 0xFFFFFFFF).to(tl.uint32)
    tl.store(out + at * WORDS + word, (made & keep).to(tl.int64), mask=inside)
