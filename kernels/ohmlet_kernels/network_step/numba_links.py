"""A network's crossbars one after the other, forwards, backwards and learning, compiled; a block of integers for each says all.

A link is a crossbar with its scale, its bias and the activation behind it. Blocks are int64 [links, SIZE], sizes and addresses.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.addresses import counts, doubles, reals
from ohmlet_kernels.analog_mvm.numba_rows import backward_rows, finite_errors, forward_rows
from ohmlet_kernels.network_step.numba_activations import activate, derive
from ohmlet_kernels.network_step.numba_sums import sums
from ohmlet_kernels.pulsed_update import numba_learning as learning

__all__ = ["SIZE", "backward", "forward", "learn"]

INS, OUTS, W, SCALE, SCALES, BIAS, RATES, ACTIVATION, NUMBERS, PURPOSES, READS, BACK_NUMBERS, BACK_PURPOSES, KEY = range(14)
"""Sizes; float32 weights [out, in], scale [out or 1] with its length, bias [out] or 0; float64 rates of the bias and of learned scales;
then what `numba_rows` takes for both ways, and the key."""
SEEN, STEPS, FIRST, X, Y, GRAD, D, LEARNING, BIAS_GRAD, GROUP, BLOCK_OF = range(14, 25)
"""Counters int64 [1] of samples and of steps, or 0; ordinal of the first sample; inputs, outputs, their gradient and the errors, each
float32 [S, in or out]; the block of the crossbar's `Learning`; float32 [out]; orders of sums and of activations."""
LEARNED, LEARNED_COUNT, LINEAR, RAW, FACTOR, LEARNED_GRAD, MADE = range(25, 32)
"""Float32 parameter g [out or 1] of a learned scale or 0, its length and form; w x [S, out], factor times scale [out], gradient of g;
where outputs go before an activation that is torch's, which fills Y, and Y otherwise."""
SIZE = 32
OF_PASS = 10
"""Numbers that a pass takes."""


@njit(nogil=True, cache=True, error_model="numpy")
def _factors(b):  # type: ignore[no-untyped-def]
    """Fill scale times learned factor [out] of a link."""
    given, scale, out = reals(b[LEARNED], b[LEARNED_COUNT]), reals(b[SCALE], b[SCALES]), reals(b[FACTOR], b[OUTS])
    for j in range(len(out)):
        g = given[j if len(given) > 1 else 0]
        out[j] = scale[j if len(scale) > 1 else 0] * (np.float32(1) + g if b[LINEAR] else np.exp(g))


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _outputs(raw, factor, bias, y):  # type: ignore[no-untyped-def]
    """Fill y [S, out] with bias + factor raw."""
    for i in range(len(raw)):
        for j in range(raw.shape[1]):
            y[i, j] = bias[j] + raw[i, j] * factor[j] if len(bias) else raw[i, j] * factor[j]


@njit(nogil=True, cache=True, error_model="numpy")
def forward(address, first, last, samples, x):  # type: ignore[no-untyped-def]
    """Fill the outputs of the links first to last, for inputs x [S, in] of the first link of all; count the samples."""
    blocks = counts(address, (last, SIZE))
    nothing = np.empty((0, 0), np.float32)
    for k in range(first, last):
        b = blocks[k]
        b[X] = x if k == 0 else blocks[k - 1, Y]
        seen = counts(b[SEEN], 1)
        b[FIRST] = seen[0]
        seen[0] += samples
        numbers, purposes = reals(b[NUMBERS], OF_PASS), counts(b[PURPOSES], (b[READS], 2)).view(np.uint64)
        key, ins, outs = counts(b[KEY], 1)[0], b[INS], b[OUTS]
        if b[LEARNED]:
            unit = np.ones(1, np.float32)
            forward_rows(b[X], b[W], unit.ctypes.data, 1, 0, b[RAW], samples, ins, outs, numbers, purposes, key, b[FIRST], nothing)
            _factors(b)
            bias = reals(b[BIAS], outs if b[BIAS] else 0)
            _outputs(reals(b[RAW], (samples, outs)), reals(b[FACTOR], outs), bias, reals(b[MADE], (samples, outs)))
        else:
            forward_rows(b[X], b[W], b[SCALE], b[SCALES], b[BIAS], b[MADE], samples, ins, outs, numbers, purposes, key, b[FIRST], nothing)
        activate(b[ACTIVATION], reals(b[MADE], samples * outs), b[BLOCK_OF])


@njit(nogil=True, cache=True, error_model="numpy")
def _learned_gradient(b, samples):  # type: ignore[no-untyped-def]
    """Fill the gradient of a learned scale: of f in y = b + s f (w x), times df / dg."""
    outs, given, scale = b[OUTS], reals(b[LEARNED], b[LEARNED_COUNT]), reals(b[SCALE], b[SCALES])
    g, raw, out = reals(b[GRAD], (samples, outs)), reals(b[RAW], (samples, outs)), reals(b[LEARNED_GRAD], b[LEARNED_COUNT])
    out[:] = np.float32(0)
    for j in range(outs):
        total = np.float32(0)
        for i in range(samples):
            total = total + g[i, j] * raw[i, j]
        at = j if len(given) > 1 else 0
        out[at] += total * scale[j if len(scale) > 1 else 0] * (np.float32(1) if b[LINEAR] else np.exp(given[at]))


@njit(nogil=True, cache=True, error_model="numpy")
def backward(address, first, last, samples, g):  # type: ignore[no-untyped-def]
    """Fill errors and gradients of the links from the last back to the first of some, the gradient of the last's outputs at g if not 0.

    With it that of the outputs of the link before them, unless the first reads exactly. Return whether all errors are finite.
    """
    blocks, finite = counts(address, (last, SIZE)), True
    for k in range(last - 1, first - 1, -1):
        b = blocks[k]
        ins, outs = b[INS], b[OUTS]
        gradient = reals(b[GRAD], samples * outs)
        if k == last - 1 and g != 0:
            given = reals(g, samples * outs)
            for i in range(len(given)):
                gradient[i] = given[i]
        derive(b[ACTIVATION], gradient, reals(b[Y], samples * outs))
        if b[BIAS]:
            sums(reals(b[GRAD], (samples, outs)), b[GROUP], reals(b[BIAS_GRAD], outs))
        factor, factors = b[SCALE], b[SCALES]
        if b[LEARNED]:
            _learned_gradient(b, samples)
            factor, factors = b[FACTOR], outs
        if k == 0 or b[BACK_NUMBERS] == 0:
            finite &= finite_errors(b[GRAD], factor, factors, b[D], samples, outs)
        else:
            purposes = counts(b[BACK_PURPOSES], 2).view(np.uint64)
            finite &= backward_rows(
                b[GRAD], reals(b[W], (outs, ins)), factor, factors, blocks[k - 1, GRAD], b[D], samples, ins, outs,
                reals(b[BACK_NUMBERS], OF_PASS), purposes, counts(b[KEY], 1)[0], b[FIRST],
            )  # fmt: skip
    return finite


# As torch's addition of a multiple, which rounds once where the processor can.
@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _descend(parameter, gradient, rate):  # type: ignore[no-untyped-def]
    """Make parameter [n] parameter - rate gradient, in place."""
    by = np.float32(-rate)
    for j in range(len(parameter)):
        parameter[j] = parameter[j] + by * gradient[j]


@njit(nogil=True, cache=True, error_model="numpy")
def learn(address, links):  # type: ignore[no-untyped-def]
    """Make the updates of every link's bias, scales and cells; return how many links were updated: all, unless errors are not finite."""
    blocks = counts(address, (links, SIZE))
    for k in range(links):
        b = blocks[k]
        given, rates = counts(b[LEARNING], learning.SIZE), doubles(b[RATES], 2)
        given[learning.X], given[learning.D] = b[X], b[D]
        doubles(given[learning.FACTOR], 1)[0] = 1.0
        if not learning.learned(b[LEARNING]):
            return k
        if b[BIAS]:
            _descend(reals(b[BIAS], b[OUTS]), reals(b[BIAS_GRAD], b[OUTS]), rates[0])
        if b[LEARNED]:
            _descend(reals(b[LEARNED], b[LEARNED_COUNT]), reals(b[LEARNED_GRAD], b[LEARNED_COUNT]), rates[1])
        if b[STEPS]:
            counts(b[STEPS], 1)[0] += 1
    return links
