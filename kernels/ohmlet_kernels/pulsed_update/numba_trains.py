"""Management of pulse trains compiled: thresholds, lengths and signs of a mini-batch in one call, the integers of `trains`."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.pulsed_update.cells import LEVELS, SLOTS
from ohmlet_kernels.pulsed_update.numba_loops import slots

__all__ = ["short_trains", "thresholds_of"]

MOST = np.float64(LEVELS)


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
def short_trains(  # type: ignore[no-untyped-def]
    x, d, rates, granularity, desired, fixed, management, length_management, grad_scale, ordinals, key, for_x, for_d,
    x_bits, d_bits, x_negative, d_negative, x_words, d_words, d_signs,
):  # fmt: skip
    """Fill trains x_bits [S, in, 1] and d_bits [S, out, 1] and signs, unless the longest has more than a word; return whether.

    And once more in the order in which rows of cells are updated: x_words int32 [S, 1, in], d_words [out, S, 1], d_signs [out, S].
    """
    samples, ins, outs = len(x), x.shape[1], d.shape[1]
    lengths = np.empty(samples, np.int64)
    x_lines, d_lines = np.empty((samples, ins), np.int64), np.empty((samples, outs), np.int64)
    longest = thresholds_of(
        x, d, rates, granularity, desired, fixed, management, length_management, grad_scale, lengths, x_lines, d_lines, x_negative,
        d_negative,
    )  # fmt: skip
    if longest > SLOTS:
        return False
    slots(0, samples, x_bits, x_lines, lengths, ordinals, key, for_x)
    slots(0, samples, d_bits, d_lines, lengths, ordinals, key, for_d)
    for sample in range(samples):
        for line in range(ins):
            x_words[sample, 0, line] = np.int32(x_bits[sample, line, 0])
        for line in range(outs):
            d_words[line, sample, 0] = d_bits[sample, line, 0]
            d_signs[line, sample] = d_negative[sample, line]
    return True
