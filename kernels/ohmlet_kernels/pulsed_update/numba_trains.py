"""Management of pulse trains compiled, the integers of `trains`: lengths, thresholds and signs, and trains of one word that fire."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.numba import philox
from ohmlet_kernels.pulsed_update.cells import LEVELS
from ohmlet_kernels.pulsed_update.numba_lanes import LANES, kept

__all__ = ["lines_of", "managed", "spoken", "thresholds_of"]

MOST, SURE, NONE = np.float64(LEVELS), np.int32(LEVELS), np.int32(0)
MASK, S8, S32 = np.uint64(0xFFFFFFFF), np.uint64(8), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
SIZE = np.int32(0x7FFFFFFF)


@njit(nogil=True, cache=True, error_model="numpy")
def lines_of(v, factor, thresholds, negative, turned):  # type: ignore[no-untyped-def]
    """Fill the thresholds and signs of one sample's lines; probabilities beyond one always fire, NaN never does."""
    for line in range(len(v)):
        p = np.float64(abs(v[line])) * factor
        p = p if p < 1.0 else (1.0 if p >= 1.0 else 0.0)
        thresholds[line] = np.int64(np.rint(p * MOST))
        negative[line] = v[line] > 0 if turned else v[line] < 0


@njit(nogil=True, cache=True, error_model="numpy")
def _largest(v):  # type: ignore[no-untyped-def]
    """Return the largest absolute value, NaN if there is one: sizes of float32 are in the order of their bits, and integers vectorise."""
    bits, most = v.view(np.int32), np.int32(0)
    for line in range(len(v)):
        most = max(most, np.int32(bits[np.uint64(line)] & SIZE))
    return np.float64(np.int32(most).view(np.float32))


@njit(nogil=True, cache=True, error_model="numpy")
def managed(x, d, rate, granularity, desired, fixed, management, length_management, grad_scale):  # type: ignore[no-untyped-def]
    """Return the length of one sample's trains and the factors of |x| and |d| to probabilities, as `trains.managed` works them out."""
    rate = abs(rate)
    enough = granularity * desired >= rate
    largest_x, largest_d = _largest(x), _largest(d)
    silent = largest_x == 0 or largest_d == 0 or rate == 0
    if silent:
        largest_x, largest_d = 1.0, 1.0
    largest_d = largest_d * grad_scale
    wanted = rate * largest_x * largest_d / granularity
    length = np.int64(desired)
    if length_management:
        whole = np.ceil(wanted)
        length = length if whole > desired else (np.int64(whole) if whole > 0 else np.int64(0))
    elif not fixed and not enough:
        length = np.int64(np.ceil(rate / granularity))
    factor = 1.0
    if length_management or fixed or enough:
        factor = np.sqrt(rate / (granularity * np.float64(max(length, np.int64(1)))))
    for_x = for_d = factor
    if management:
        if wanted > desired:
            largest_d = largest_d * desired / wanted
        for_x, for_d = factor * np.sqrt(largest_d / largest_x), factor * np.sqrt(largest_x / largest_d)
    return np.int64(0) if silent else length, for_x, for_d


@njit(nogil=True, cache=True, error_model="numpy")
def thresholds_of(  # type: ignore[no-untyped-def]
    x, d, rates, granularity, desired, fixed, management, length_management, grad_scale, lengths, x_lines, d_lines, x_negative, d_negative
):
    """Fill lengths [S], thresholds (lines) and signs [S, in] and [S, out] as `trains` works them out; return the longest."""
    longest = np.int64(0)
    for sample in range(len(x)):
        length, for_x, for_d = managed(
            x[sample], d[sample], rates[sample], granularity, desired, fixed, management, length_management, grad_scale
        )
        lengths[sample] = length
        longest = max(longest, length)
        lines_of(x[sample], for_x, x_lines[sample], x_negative[sample], False)
        lines_of(d[sample], for_d, d_lines[sample], d_negative[sample], rates[sample] < 0)
    return longest


@njit(nogil=True, cache=True, error_model="numpy")
def _fire(codes, levels, count, length, shift, ordinal, key, purpose, words):  # type: ignore[no-untyped-def]
    """Fill trains of one word of the lines codes >> shift, with `levels` for thresholds, as `reference.pulse_bits` states them."""
    k0, k1 = key & MASK, key >> S32
    high, low = (ordinal >> S32) << COLUMN_BITS, ordinal & MASK
    for quad in range((length + 3) // 4):
        column, first = (np.uint64(quad) | high) & MASK, np.int64(4 * quad)
        slot_a = np.int32(np.int64(1) << first)
        slot_b = np.int32(np.int64(first + 1 < length) << (first + np.int64(1)))
        slot_e = np.int32(np.int64(first + 2 < length) << (first + np.int64(2)))
        slot_g = np.int32(np.int64(first + 3 < length) << (first + np.int64(3)))
        for line in range(count):
            i = np.uint64(line)
            a, b, e, g = philox(column, np.uint64(codes[i] >> shift), low, purpose, k0, k1)
            # The upper 24 bits of a word are compared; its lower ones change nothing, and need not be shifted out.
            below = np.uint64(levels[i]) << S8
            fires = np.int32((slot_a if a < below else NONE) | (slot_b if b < below else NONE))
            fires = np.int32(fires | np.int32((slot_e if e < below else NONE) | (slot_g if g < below else NONE)))
            words[i] = fires if quad == 0 else np.int32(words[i] | fires)


@njit(nogil=True, cache=True, error_model="numpy")
def spoken(thresholds, negative, lines, length, ordinal, key, purpose, shift, words, codes, levels):  # type: ignore[no-untyped-def]
    """Fill trains of one word of the lines of one sample that fire, and their codes, line << shift | negative; return how many.

    Arrays are int32 with LANES numbers more than there are lines; as many behind the words are zero. Thresholds and levels are scratch.
    """
    for line in range(lines):
        i = np.uint64(line)
        codes[i] = np.int32(np.int32(np.int32(line) << shift) | np.int32(negative[i]))
    for line in range(lines, (lines + LANES - 1) // LANES * LANES):
        thresholds[np.uint64(line)] = NONE
    drawn = np.uint64(0)
    for first in range(0, lines, LANES):
        kept(codes, thresholds, np.uint64(first), codes, drawn)
        drawn = kept(thresholds, thresholds, np.uint64(first), levels, drawn)
    count = np.int64(drawn)
    least = SURE
    for line in range(count):
        least = min(least, levels[np.uint64(line)])
    if least == SURE:
        # As the one line of a transfer that is driven: no random numbers are needed.
        for line in range(count):
            words[np.uint64(line)] = np.int32((np.int64(1) << length) - np.int64(1))
    else:
        # Whole vectors, since numbers left over would be drawn one by one.
        padded = (count + 7) // 8 * 8
        for line in range(count, padded):
            codes[np.uint64(line)] = NONE
        _fire(codes, levels, padded, length, shift, ordinal, key, purpose, words)
        for line in range(count, (count + LANES - 1) // LANES * LANES):
            words[np.uint64(line)] = NONE
        drawn = np.uint64(0)
        for first in range(0, count, LANES):
            kept(codes, words, np.uint64(first), codes, drawn)
            drawn = kept(words, words, np.uint64(first), words, drawn)
    fired = np.int64(drawn)
    for line in range(fired, fired + LANES):
        words[np.uint64(line)] = NONE
    return fired
