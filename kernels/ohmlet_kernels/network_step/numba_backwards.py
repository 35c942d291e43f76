"""A network's links one after the other from the gradient of the outputs to errors, and what is learned from them, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.addresses import counts, doubles, reals
from ohmlet_kernels.analog_mvm.numba_rows import backward_rows, drive, errors_of, finite_errors, sense
from ohmlet_kernels.network_step import fields as f
from ohmlet_kernels.network_step.numba_activations import derive
from ohmlet_kernels.network_step.numba_sums import sums, total
from ohmlet_kernels.pulsed_update import numba_learning as learning

__all__ = ["backward", "begin_backward", "end_backward", "learn"]


@njit(nogil=True, cache=True, error_model="numpy")
def _learned_gradient(b, samples):  # type: ignore[no-untyped-def]
    """Fill the gradient of a learned scale: that of f in y = b + s f (w x), times df / dg, in the order in which autograd adds."""
    outs, count = b[f.OUTS], b[f.LEARNED_COUNT]
    factor, scale = reals(b[f.LEARNED_FACTOR], count), reals(b[f.SCALE], b[f.SCALES])
    g, raw = reals(b[f.GRAD], samples * outs), reals(b[f.RAW], samples * outs)
    product, out = reals(b[f.DRIVE], samples * outs), reals(b[f.LEARNED_GRAD], outs)
    for i in range(len(g)):
        product[i] = g[i] * raw[i]
    if count == 1 and len(scale) == 1:
        out[0] = total(product, b[f.LANES_OF_ALL]) * scale[0]
    else:
        sums(product.reshape(samples, outs), b[f.GROUP], b[f.LANES], out)
        for j in range(outs):
            out[j] = out[j] * scale[j if len(scale) > 1 else 0]
        if count == 1:
            out[0] = total(out, b[f.LANES_OF_ALL])
    if not b[f.LINEAR]:
        for j in range(count):
            out[j] = out[j] * factor[j]


@njit(nogil=True, cache=True, error_model="numpy")
def _digital(b, samples, g):  # type: ignore[no-untyped-def]
    """Take a link's gradient, that at g if not 0, back through its activation, bias and learned scale; return scale and its length."""
    outs = b[f.OUTS]
    gradient = reals(b[f.GRAD], samples * outs)
    if g != 0:
        given = reals(g, samples * outs)
        for i in range(len(given)):
            gradient[i] = given[i]
    derive(b[f.ACTIVATION], gradient, reals(b[f.Y], samples * outs))
    if b[f.BIAS]:
        sums(reals(b[f.GRAD], (samples, outs)), b[f.GROUP], b[f.LANES], reals(b[f.BIAS_GRAD], outs))
    if b[f.LEARNED]:
        _learned_gradient(b, samples)
        return b[f.FACTOR], outs
    return b[f.SCALE], b[f.SCALES]


@njit(nogil=True, cache=True, error_model="numpy")
def backward(address, first, last, samples, g):  # type: ignore[no-untyped-def]
    """Fill errors and gradients of the links from the last back to the first of some, the gradient of the last's outputs at g if not 0.

    With it that of the outputs of the link before them, unless the first reads exactly. Return whether all errors are finite.
    """
    blocks, finite = counts(address, (last, f.SIZE)), True
    for k in range(last - 1, first - 1, -1):
        b = blocks[k]
        ins, outs = b[f.INS], b[f.OUTS]
        factor, factors = _digital(b, samples, g if k == last - 1 else 0)
        if k == 0 or b[f.BACK_NUMBERS] == 0:
            finite &= finite_errors(b[f.GRAD], factor, factors, b[f.D], samples, outs)
        else:
            purposes = counts(b[f.BACK_PURPOSES], 2).view(np.uint64)
            finite &= backward_rows(
                b[f.GRAD], reals(b[f.W], (outs, ins)), factor, factors, blocks[k - 1, f.GRAD], b[f.D], samples, ins, outs,
                reals(b[f.BACK_NUMBERS], f.OF_PASS), purposes, counts(b[f.KEY], 1)[0], b[f.FIRST],
            )  # fmt: skip
    return finite


@njit(nogil=True, cache=True, error_model="numpy")
def begin_backward(address, k, samples, g):  # type: ignore[no-untyped-def]
    """Fill a link's errors and what drives it backwards, where the product is torch's; return whether all errors are finite."""
    b = counts(address, (k + 1, f.SIZE))[k]
    outs = b[f.OUTS]
    factor, factors = _digital(b, samples, g)
    errors = reals(b[f.D], (samples, outs))
    errors_of(reals(b[f.GRAD], (samples, outs)), reals(factor, (factors, 1)), errors)
    return drive(errors, reals(b[f.BACK_NUMBERS], f.OF_PASS), reals(b[f.INPUT_SCALE], samples), reals(b[f.DRIVE], (samples, outs)))


@njit(nogil=True, cache=True, error_model="numpy")
def end_backward(address, k, samples, product):  # type: ignore[no-untyped-def]
    """Fill the gradient of the link before, from the currents [S, in] at `product`, which change."""
    blocks = counts(address, (k + 1, f.SIZE))
    b = blocks[k]
    made, purposes = reals(product, (samples, b[f.INS])), counts(b[f.BACK_PURPOSES], 2).view(np.uint64)
    sense(made, reals(b[f.INPUT_SCALE], samples), counts(b[f.KEY], 1)[0], b[f.FIRST], purposes, reals(b[f.BACK_NUMBERS], f.OF_PASS)[3:])
    out, given = reals(blocks[k - 1, f.GRAD], samples * b[f.INS]), reals(product, samples * b[f.INS])
    for i in range(len(out)):
        out[i] = given[i]


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
    blocks = counts(address, (links, f.SIZE))
    for k in range(links):
        b = blocks[k]
        given, rates = counts(b[f.LEARNING], learning.SIZE), doubles(b[f.RATES], 2)
        given[learning.X], given[learning.D] = b[f.X], b[f.D]
        doubles(given[learning.FACTOR], 1)[0] = 1.0
        if not learning.learned(b[f.LEARNING]):
            return k
        if b[f.BIAS]:
            _descend(reals(b[f.BIAS], b[f.OUTS]), reals(b[f.BIAS_GRAD], b[f.OUTS]), rates[0])
        if b[f.LEARNED]:
            _descend(reals(b[f.LEARNED], b[f.LEARNED_COUNT]), reals(b[f.LEARNED_GRAD], b[f.LEARNED_COUNT]), rates[1])
        if b[f.STEPS]:
            counts(b[f.STEPS], 1)[0] += 1
    return links
