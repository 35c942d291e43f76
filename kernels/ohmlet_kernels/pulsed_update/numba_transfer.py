"""Transfers between two arrays compiled: chopped signs, the digital buffer and its threshold, for vectors that are few and short."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import cfunc, njit
from torch import Tensor

from ohmlet_kernels.addresses import called, counts, doubles, flags, reals
from ohmlet_kernels.analog_mvm.numba_loops import after as sense
from ohmlet_kernels.analog_mvm.numba_rows import word
from ohmlet_kernels.analog_mvm.settings import MVM
from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.noise.numba import philox, uniform
from ohmlet_kernels.pulsed_update import numba_blocks as at
from ohmlet_kernels.pulsed_update.numba_blocks import Plan
from ohmlet_kernels.pulsed_update.numba_blocks import at as address
from ohmlet_kernels.pulsed_update.numba_vectors import Views
from ohmlet_kernels.pulsed_update.transfer import Rule, Sweep

__all__ = ["transfer"]

MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
ZERO = np.float32(0)
(
    FAST_PLAN, FAST, SLOW_PLAN, SLOW, EVERY, BY_COLUMNS, RANDOM, REGULAR, REGULAR_AT, VECTORS, CURRENT, SWEEPS, IN_SIGNS, OUT_SIGNS,
    CHOPPER, SIGNED_X, SIGNED_D, AFTER, WHICH, SIGN, SWEEP, FLIPS, NUMBERED, SEEN, LINES, PULSES, BUFFER, MEAN, REFERENCE, FLIPPED,
    RULE, FORGET, KEEP, PERIOD, READ, PURPOSES, SCALES, AUTO, ALWAYS,
) = range(at.HEAD, at.HEAD + 39)  # fmt: skip
SIZE = at.HEAD + 39


@njit(nogil=True, cache=True, error_model="numpy")
def swept(  # type: ignore[no-untyped-def]
    x, d, every, columns, random, regular, regular_at, vectors, current, sweeps, in_signs, out_signs, ordinals, key, purpose,
    signed_x, signed_d, after, at, sign, sweep, flips, numbered,
):  # fmt: skip
    """Give the vectors x [S, in] and d [S, out] the signs of their lines, and flip those of slices that are read on the way.

    Fills for each read t the vectors before it `after`, the slice `at`, its `sign`, how many times all had been read before it `sweep`,
    whether it `flips`, and the last vector's ordinal `numbered`; returns how many reads there are. Counters [1] and `in_signs` [slices]
    move on.
    """
    reads, count = 0, len(in_signs)
    k0, k1 = key & MASK, key >> S32
    for_x, for_d = (in_signs, out_signs) if columns else (out_signs, in_signs)
    for i in range(len(x)):
        for j in range(x.shape[1]):
            signed_x[i, j] = x[i, j] * for_x[j]
        for j in range(d.shape[1]):
            signed_d[i, j] = d[i, j] * for_d[j]
        if every == 0 or (vectors[0] + i + 1) % every:
            continue
        which = (current[0] + reads) % count
        after[reads], at[reads], sign[reads], sweep[reads], numbered[reads] = i + 1, which, in_signs[which], sweeps[0], ordinals[i]
        flip = regular > 0 and sweeps[0] % regular == regular_at
        if random > 0:
            ordinal = np.uint64(ordinals[i])
            word = philox((ordinal >> S32) << COLUMN_BITS, np.uint64(0), ordinal & MASK, purpose, k0, k1)[0]
            flip = flip or np.float64(uniform(np.uint32(word))) < random
        flips[reads] = flip
        if flip:
            in_signs[which] = -in_signs[which]
        sweeps[0] += which == count - 1
        reads += 1
    current[0] = (current[0] + reads) % count
    vectors[0] += len(x)
    return reads


@njit(nogil=True, cache=True, error_model="numpy")
def settled(  # type: ignore[no-untyped-def]
    seen, at, sign, sweep, flips, columns, out_signs, buffer, mean, reference, flipped,
    gain, threshold, most, momentum, written, forget, keep, period, beta, rest, cap, lines, pulses,
):  # fmt: skip
    """Take read-outs `seen` [T, width] up into the buffer [out, in] and fill `pulses` with minus the numbers of pulses that leave it.

        h <- h + c gain (v - P)                  P = 0 without references; h = 0 before where the buffer is not kept
        n = trunc(h / threshold), at most `most`
        h <- momentum h where n is not 0, or h - (1 - momentum) n threshold; then at most `cap` in size
        M <- (1 - beta) M + beta v;  P <- M at the first read after a flip;  n = 0 up to sweep `period`

    c is the slice's sign times `out_signs`. Without a buffer n = v. `lines` [T, slices] is a one for each slice; returns whether
    anything is written.
    """
    anything = False
    for t in range(len(seen)):
        which = at[t]
        lines[t] = ZERO
        lines[t, which] = np.float32(1)
        for j in range(seen.shape[1]):
            row, column = (j, which) if columns else (which, j)
            v = seen[t, j]
            if buffer.size == 0:
                pulses[t, j] = -v
                anything |= v != ZERO
                continue
            zero = ZERO
            if mean.size:
                if flipped[which]:
                    reference[row, column] = mean[row, column]
                zero = reference[row, column]
                mean[row, column] = rest * mean[row, column] + beta * v
            h = sign[t] * out_signs[j] * (v - zero) * gain
            if keep:
                h = buffer[row, column] + h
            n = np.trunc(h / threshold)
            n = min(max(n, -most), most)
            if n != ZERO:
                h = momentum * h if forget else h - written * n * threshold
                if cap > ZERO:
                    h = min(max(h, -cap), cap)
            buffer[row, column] = h
            n = n if sweep[t] > period or period == 0 else ZERO
            pulses[t, j] = -n
            anything |= n != ZERO
        if mean.size:
            flipped[which] = flips[t]
    return anything


@functools.lru_cache(256)
def _chopper(path: str) -> int:
    return int(np.uint64(purpose_word(f"{path}/transfer/uniform in chopper")).view(np.int64))


@njit(nogil=True, cache=True, error_model="numpy")
def _rates(x, d, averages, tau, factor, rates):  # type: ignore[no-untyped-def]
    """Fill rates [S] with factor over the running averages [2] of the largest entries of x [S, in] and d [S, out], which move on."""
    now = averages.astype(np.float64)
    for i in range(len(rates)):
        product = 1.0
        for which in range(2):
            largest = np.float64(0)
            vector = x[i] if which == 0 else d[i]
            for j in range(len(vector)):
                largest = max(largest, np.float64(abs(vector[j])))
            if largest > 0:
                m = now[which]
                now[which] = largest if m == 0 else (1 - tau) * m + tau * largest
            product *= now[which]
        rates[i] = factor / max(product, 1e-300) if product > 0 else 0.0
    averages[:] = now


@njit(nogil=True, cache=True, error_model="numpy")
def _read_out(seen, ordinals, key, purposes, numbers):  # type: ignore[no-untyped-def]
    """Turn slices [T, width] into what reading them one by one returns, in place; numbers are the driven input, then those of `after`."""
    reads, width = seen.shape
    for t in range(reads):
        for j in range(width):
            seen[t, j] = numbers[0] * seen[t, j]
    keys, scale = np.empty(1, np.int64), np.ones(reads, np.float32)
    keys[0] = np.int64(key)
    none, other, bits = np.empty(0, np.float32), np.empty((1, 0, reads, width), np.float32), np.empty((0, 0), np.uint8)
    clipped = np.empty(0, np.int32)
    currents = seen.reshape(1, 1, reads, width)
    sense(0, reads, currents, other, none, scale, keys, ordinals, 1, purposes, numbers[1:], seen, bits, clipped)


@njit(nogil=True, cache=True, error_model="numpy")
def _transferred(address):  # type: ignore[no-untyped-def]
    """Pulse the fast array of a block, make the transfers that are due, and write them."""
    b = counts(address, SIZE)
    samples, ins, outs, columns, numbers = b[at.SAMPLES], b[at.COLUMNS], b[at.ROWS], b[BY_COLUMNS] != 0, reals(b[RULE], 8)
    slices, width = (ins, outs) if columns else (outs, ins)
    in_signs, out_signs = reals(b[IN_SIGNS], slices), reals(b[OUT_SIGNS], width)
    after, which = counts(b[AFTER], samples), counts(b[WHICH], samples)
    sign, sweep, flips = reals(b[SIGN], samples), counts(b[SWEEP], samples), flags(b[FLIPS], samples)
    fast, slow = counts(b[FAST], at.STATE), counts(b[SLOW], at.STATE)
    x, d = reals(b[at.X], (samples, ins)), reals(b[at.D], (samples, outs))
    if b[SCALES] != 0:
        auto = doubles(b[AUTO], 2)
        _rates(x, d, reals(b[SCALES], 2), auto[0], auto[1], doubles(fast[at.RATES], samples))
    reads = swept(
        x, d, b[EVERY], columns, doubles(b[RANDOM], 1)[0], b[REGULAR],
        b[REGULAR_AT], counts(b[VECTORS], 1), counts(b[CURRENT], 1), counts(b[SWEEPS], 1), in_signs, out_signs,
        counts(b[at.ORDINALS], samples), np.uint64(counts(b[at.KEY], 1)[0]), np.uint64(b[CHOPPER]), reals(b[SIGNED_X], (samples, ins)),
        reals(b[SIGNED_D], (samples, outs)), after, which, sign, sweep, flips, counts(b[NUMBERED], samples),
    )  # fmt: skip
    fast[at.ORDINALS], fast[at.KEY], fast[at.LOOKS] = b[at.ORDINALS], b[at.KEY], reads
    called(b[FAST_PLAN], b[FAST])
    if reads == 0:
        return np.int64(1)
    seen = reals(b[SEEN], (reads, width))
    if b[READ] != 0:
        key = np.uint64(counts(b[at.KEY], 1)[0])
        _read_out(seen, counts(b[NUMBERED], reads), key, counts(b[PURPOSES], 2).view(np.uint64), reals(b[READ], 8))
    shape, referred = (outs, ins) if b[BUFFER] else (0, 0), (outs, ins) if b[MEAN] else (0, 0)
    written = settled(
        seen, which, sign, sweep, flips, columns, out_signs, reals(b[BUFFER], shape), reals(b[MEAN], referred),
        reals(b[REFERENCE], referred), flags(b[FLIPPED], slices if b[MEAN] else 0), numbers[0], numbers[1], numbers[2], numbers[3],
        numbers[4], b[FORGET] != 0, b[KEEP] != 0, b[PERIOD], numbers[5], numbers[6], numbers[7], reals(b[LINES], (reads, slices)),
        reals(b[PULSES], (reads, width)),
    )  # fmt: skip
    if written or b[ALWAYS] != 0:
        slow[at.SAMPLES], slow[at.KEY] = reads, b[at.KEY]
        called(b[SLOW_PLAN], b[SLOW])
    return np.int64(1)


@functools.cache
def _compiled() -> Any:
    return cfunc("int64(int64)", cache=True)(_transferred.py_func)


def _rule(rule: Rule) -> Any:
    """Return a rule's real numbers as `settled` takes them."""
    r = rule
    return np.array((r.gain, r.threshold, r.most, r.momentum, 1 - r.momentum, r.beta, 1 - r.beta, r.cap), np.float32)


def _reading(s: MVM | None) -> Any:
    """Return what drives a line at full scale, and the numbers of `after`."""
    if s is None:
        return np.zeros(8, np.float32)
    one, step = np.float32(1), np.float32(s.in_step)
    driven = np.clip(np.rint(one / step) * step if step > 0 else one, -np.float32(s.in_bound), np.float32(s.in_bound))
    return np.array([driven, 0.0, s.out_noise, s.out_step, s.out_bound, s.out_scale, 0.0, 0.0], np.float32)


def transfer(
    state: dict[str, Tensor], fast: Views, slow: Views, samples: int, rate: float, granularity: float, pulses: Any, sweep: Sweep,
    rule: Rule, size: float, step: float, writes: Any, path: str, reading: MVM | None = None, read_path: str = "",
    auto: tuple[float, float] | None = None,
) -> Plan | None:  # fmt: skip
    """Return the update of two arrays with a buffer between them by so many vectors; None where it takes more.

    `granularity` and `pulses` code the gradients, at a `rate`; writes are of n x `size` with the step `step` of the slow array, coded in
    `writes`. State: counters `vectors` and `current` int64 [1]; `buffer` [out, in] or [1, out, in] if there is one; for chopped signs
    `sweeps` int64 [1], `in_signs` [slices] and `out_signs` [width]; where there are references, `mean` and `reference` [out, in] and
    `flipped` bool [slices]; `scales` float32 [2], running averages of the largest inputs and errors, over whose product the rate then is
    auto[1], their newest value weighing auto[0]. Slices are read as `reading` has it, with noise of a path, or exactly without.
    """
    plain = all(each.is_cpu and each.is_contiguous() and each.dtype in (torch.float32, torch.int64, torch.bool) for each in state.values())
    outs, ins = fast.rows, fast.columns
    slices, width = (ins, outs) if sweep.columns else (outs, ins)
    whole, real = functools.partial(np.empty, dtype=np.int64), functools.partial(np.empty, dtype=np.float32)
    after, which, seen = np.zeros(samples, np.int64), np.zeros(samples, np.int64), real((samples, width))
    looks = after, which, sweep.columns, seen
    pulse = fast.plan(pulses, samples, rate, granularity, f"{path}/fast", looks) if plain else None
    write = slow.plan(writes, samples, size, step, f"{path}/slow")
    if pulse is None or write is None:
        return None
    signed_x, signed_d, numbered, times = real((samples, ins)), real((samples, outs)), whole(samples), whole(samples)
    sign, flips, lines, numbers = real(samples), np.empty(samples, np.bool_), real((samples, slices)), real((samples, width))
    signs = np.ones(slices, np.float32), np.ones(width, np.float32), np.zeros(1, np.int64)
    random, reals_of = np.array([sweep.random]), _rule(rule)
    own = {name: each.data_ptr() for name, each in state.items()}
    read, purposes = _reading(reading), np.array([word(read_path, "weight"), word(read_path, "output")])
    scaled = np.array(auto or (0.0, 0.0))
    block: Any = np.zeros(SIZE, np.int64)
    block[:3] = outs, ins, samples
    pulse.block[at.X], pulse.block[at.D] = address(signed_x), address(signed_d)
    first, second = (lines, numbers) if sweep.columns else (numbers, lines)
    write.block[at.X], write.block[at.D], write.block[at.ORDINALS] = address(first), address(second), address(numbered)
    block[at.HEAD :] = (
        pulse.function, pulse.address, write.function, write.address, sweep.every, sweep.columns, address(random), sweep.regular, sweep.at,
        own["vectors"], own["current"], own.get("sweeps", address(signs[2])), own.get("in_signs", address(signs[0])),
        own.get("out_signs", address(signs[1])), _chopper(path), *map(address, (signed_x, signed_d, after, which, sign, times,
        flips, numbered, seen, lines, numbers)), own.get("buffer", 0), own.get("mean", 0), own.get("reference", 0), own.get("flipped", 0),
        address(reals_of), rule.forget, rule.keep, rule.period, 0 if reading is None else address(read), address(purposes),
        own.get("scales", 0), address(scaled), slow.noise is not None,
    )  # fmt: skip

    def pace(rate: float, rule: Rule, size: float, auto: tuple[float, float] | None) -> bool:
        reals_of[:], scaled[:] = _rule(rule), auto or (0.0, 0.0)
        return pulse.pace(rate) and write.pace(size)

    room = read, purposes, scaled, signed_x, signed_d, numbered, times, sign, flips, lines, numbers, signs, random, reals_of
    return Plan(_compiled(), block, pace, pulse, write, list(state.values()), room)
