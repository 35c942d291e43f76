"""Management of pulse trains compiled: thresholds, lengths and signs of a mini-batch in one call, the integers of `trains`."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.numba import philox
from ohmlet_kernels.pulsed_update.cells import LEVELS, SLOTS

__all__ = ["short_trains", "thresholds_of"]

MOST, SURE = np.float64(LEVELS), np.int64(LEVELS)
MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)


@njit(nogil=True, cache=True, error_model="numpy")
def _lines(v, factor, thresholds, negative, turned):  # type: ignore[no-untyped-def]
    """Fill the thresholds and signs of one sample's lines; probabilities beyond one always fire, NaN never does."""
    for line in range(len(v)):
        p = np.float64(abs(v[line])) * factor
        p = p if p < 1.0 else (1.0 if p >= 1.0 else 0.0)
        thresholds[line] = np.int64(np.rint(p * MOST))
        negative[line] = v[line] > 0 if turned else v[line] < 0


@njit(nogil=True, cache=True, error_model="numpy")
def _largest(v):  # type: ignore[no-untyped-def]
    most = np.float32(0)
    for line in range(len(v)):
        size = abs(v[line])
        most = size if (size > most) | (size != size) else most
    return np.float64(most)


@njit(nogil=True, cache=True, error_model="numpy")
def thresholds_of(  # type: ignore[no-untyped-def]
    x, d, rates, granularity, desired, fixed, management, length_management, grad_scale, lengths, x_lines, d_lines, x_negative, d_negative
):
    """Fill lengths [S], thresholds (lines) and signs [S, in] and [S, out] as `trains` works them out; return the longest."""
    longest = np.int64(0)
    for sample in range(len(x)):
        rate = abs(rates[sample])
        enough = granularity * desired >= rate
        largest_x, largest_d = _largest(x[sample]), _largest(d[sample])
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
        lengths[sample] = 0 if silent else length
        longest = max(longest, lengths[sample])
        _lines(x[sample], for_x, x_lines[sample], x_negative[sample], False)
        _lines(d[sample], for_d, d_lines[sample], d_negative[sample], rates[sample] < 0)
    return longest


@njit(nogil=True, cache=True, error_model="numpy")
def _word(thresholds, length, ordinal, key, purpose, active, level, bits):  # type: ignore[no-untyped-def]
    """Return how many lines of one sample may fire, their numbers in `active` and trains of one word in `bits`.

    Lines that never fire and lines that always do need no random numbers, which most lines of a transfer are.
    """
    drawn, certain = 0, len(thresholds)
    every = (np.int64(1) << length) - np.int64(1)
    for line in range(len(thresholds)):
        if thresholds[line] >= SURE:
            certain -= 1
            active[certain], bits[certain] = line, every
        elif thresholds[line] > 0:
            active[drawn], level[drawn], bits[drawn] = line, thresholds[line], 0
            drawn += 1
    k0, k1 = key & MASK, key >> S32
    high, low = (ordinal >> S32) << COLUMN_BITS, ordinal & MASK
    for quad in range((length + 3) // 4):
        column = (np.uint64(quad) | high) & MASK
        keep = (np.int64(1) << min(np.int64(4), length - 4 * quad)) - np.int64(1)
        shift = np.int64(4 * quad)
        for i in range(drawn):
            a, b, e, g = philox(column, np.uint64(active[i]), low, purpose, k0, k1)
            threshold = level[i]
            fires = np.int64(np.int64(a >> np.uint64(8)) < threshold)
            fires |= np.int64(np.int64(b >> np.uint64(8)) < threshold) << np.int64(1)
            fires |= np.int64(np.int64(e >> np.uint64(8)) < threshold) << np.int64(2)
            fires |= np.int64(np.int64(g >> np.uint64(8)) < threshold) << np.int64(3)
            bits[i] |= (fires & keep) << shift
    return drawn, certain


@njit(nogil=True, cache=True, error_model="numpy")
def short_trains(  # type: ignore[no-untyped-def]
    x, d, rates, granularity, desired, fixed, management, length_management, grad_scale, ordinals, key, for_x, for_d,
    x_words, d_words, x_negative, d_negative,
):  # fmt: skip
    """Fill trains in the order in which rows of cells are updated, unless the longest has more than a word; return whether.

    x_words int32 [S, 1, in], d_words int64 [out, S, 1], x_negative bool [S, in], d_negative bool [S, out].
    """
    samples, ins, outs = len(x), x.shape[1], d.shape[1]
    lengths, most = np.empty(samples, np.int64), max(ins, outs)
    x_lines, d_lines = np.empty((samples, ins), np.int64), np.empty((samples, outs), np.int64)
    longest = thresholds_of(
        x, d, rates, granularity, desired, fixed, management, length_management, grad_scale, lengths, x_lines, d_lines, x_negative,
        d_negative,
    )  # fmt: skip
    if longest > SLOTS:
        return False
    active, level, bits = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int64)
    x_words[:] = 0
    d_words[:] = 0
    for sample in range(samples):
        ordinal, length = np.uint64(ordinals[sample]), lengths[sample]
        if length == 0:
            continue
        drawn, certain = _word(d_lines[sample], length, ordinal, key, for_d, active, level, bits)
        for i in range(drawn):
            d_words[active[i], sample, 0] = bits[i]
        for i in range(certain, outs):
            d_words[active[i], sample, 0] = bits[i]
        drawn, certain = _word(x_lines[sample], length, ordinal, key, for_x, active, level, bits)
        for i in range(drawn):
            x_words[sample, 0, active[i]] = np.int32(bits[i])
        for i in range(certain, ins):
            x_words[sample, 0, active[i]] = np.int32(bits[i])
    return True
