"""A network's links one after the other from inputs to outputs, compiled."""

from __future__ import annotations

import numpy as np
from numba import njit

from ohmlet_kernels.addresses import counts, reals
from ohmlet_kernels.analog_mvm.numba_managed import managed
from ohmlet_kernels.analog_mvm.numba_product import turned
from ohmlet_kernels.analog_mvm.numba_rows import drive, forward_rows, scaled, sense
from ohmlet_kernels.network_step import fields as f
from ohmlet_kernels.network_step.numba_activations import activate

__all__ = ["begin_forward", "end_forward", "forward"]


@njit(nogil=True, cache=True, error_model="numpy")
def _factors(b):  # type: ignore[no-untyped-def]
    """Fill scale times learned factor [out] of a link, and the factor itself where it is not torch's exponential."""
    given, factor = reals(b[f.LEARNED], b[f.LEARNED_COUNT]), reals(b[f.LEARNED_FACTOR], b[f.LEARNED_COUNT])
    if b[f.LINEAR]:
        for j in range(len(given)):
            factor[j] = np.float32(1) + given[j]
    scale, out = reals(b[f.SCALE], b[f.SCALES]), reals(b[f.FACTOR], b[f.OUTS])
    for j in range(len(out)):
        out[j] = scale[j if len(scale) > 1 else 0] * factor[j if len(factor) > 1 else 0]


@njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract"})
def _outputs(raw, factor, bias, y):  # type: ignore[no-untyped-def]
    """Fill y [S, out] with bias + factor raw."""
    for i in range(len(raw)):
        for j in range(raw.shape[1]):
            y[i, j] = bias[j] + raw[i, j] * factor[j] if len(bias) else raw[i, j] * factor[j]


@njit(nogil=True, cache=True, error_model="numpy")
def _begin(blocks, k, samples, x):  # type: ignore[no-untyped-def]
    """Give a link its inputs, those of the first at x, and its samples their ordinals."""
    b = blocks[k]
    b[f.X] = x if k == 0 else blocks[k - 1, f.Y]
    seen = counts(b[f.SEEN], 1)
    b[f.FIRST] = seen[0]
    seen[0] += samples


@njit(nogil=True, cache=True, error_model="numpy")
def _end(b, samples):  # type: ignore[no-untyped-def]
    """Make outputs of w x where a scale is learned, and apply the activation."""
    outs = b[f.OUTS]
    if b[f.LEARNED]:
        _factors(b)
        bias = reals(b[f.BIAS], outs if b[f.BIAS] else 0)
        _outputs(reals(b[f.RAW], (samples, outs)), reals(b[f.FACTOR], outs), bias, reals(b[f.MADE], (samples, outs)))
    activate(b[f.ACTIVATION], reals(b[f.MADE], samples * outs), b[f.BLOCK_OF])


@njit(nogil=True, cache=True, error_model="numpy")
def forward(address, first, last, samples, x):  # type: ignore[no-untyped-def]
    """Fill the outputs of the links first to last, for inputs x [S, in] of the first link of all; count the samples."""
    blocks = counts(address, (last, f.SIZE))
    nothing, unit = np.empty((0, 0), np.float32), np.ones(1, np.float32)
    for k in range(first, last):
        _begin(blocks, k, samples, x)
        b = blocks[k]
        numbers, purposes = reals(b[f.NUMBERS], f.OF_PASS), counts(b[f.PURPOSES], (b[f.READS], 2)).view(np.uint64)
        scale, scales, bias, out = b[f.SCALE], b[f.SCALES], b[f.BIAS], b[f.MADE]
        if b[f.LEARNED]:
            scale, scales, bias, out = np.int64(unit.ctypes.data), 1, 0, b[f.RAW]
        key = counts(b[f.KEY], 1)[0]
        forward_rows(b[f.X], b[f.W], scale, scales, bias, out, samples, b[f.INS], b[f.OUTS], numbers, purposes, key, b[f.FIRST], nothing)
        _end(b, samples)
    # Until here it must not be given back: compiled code sees its address only.
    unit[0] = np.float32(1)


@njit(nogil=True, cache=True, error_model="numpy")
def begin_forward(address, k, samples, x):  # type: ignore[no-untyped-def]
    """Fill what drives a link, whose product is torch's."""
    blocks = counts(address, (k + 1, f.SIZE))
    _begin(blocks, k, samples, x)
    b = blocks[k]
    v = reals(b[f.DRIVE], (samples, b[f.INS]))
    drive(reals(b[f.X], (samples, b[f.INS])), reals(b[f.NUMBERS], f.OF_PASS), reals(b[f.INPUT_SCALE], samples), v)


@njit(nogil=True, cache=True, error_model="numpy")
def end_forward(address, k, samples, product):  # type: ignore[no-untyped-def]
    """Fill a link's outputs, from the currents [S, out] at `product`, which change."""
    b = counts(address, (k + 1, f.SIZE))[k]
    ins, outs = b[f.INS], b[f.OUTS]
    numbers, purposes = reals(b[f.NUMBERS], f.OF_PASS), counts(b[f.PURPOSES], (b[f.READS], 2)).view(np.uint64)
    made, scale, key = reals(product, (samples, outs)), reals(b[f.INPUT_SCALE], samples), counts(b[f.KEY], 1)[0]
    if b[f.READS] > 1:
        across = np.empty((ins, outs), np.float32)
        turned(reals(b[f.W], (outs, ins)), across)
        managed(reals(b[f.X], (samples, ins)), across, made, scale, key, b[f.FIRST], purposes, numbers)
    else:
        sense(made, scale, key, b[f.FIRST], purposes[0], numbers[3:])
    if not b[f.LEARNED]:
        scaled(made, reals(b[f.SCALE], (b[f.SCALES], 1)), reals(b[f.BIAS], outs if b[f.BIAS] else 0))
    out = reals(b[f.RAW] if b[f.LEARNED] else b[f.MADE], samples * outs)
    given = reals(product, samples * outs)
    for i in range(len(out)):
        out[i] = given[i]
    _end(b, samples)
