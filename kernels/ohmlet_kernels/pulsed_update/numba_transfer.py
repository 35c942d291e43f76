"""Transfers between two arrays compiled: chopped signs, the digital buffer and its threshold, for vectors that are few and short."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from ohmlet_kernels.noise import constants as c
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.noise.numba import philox, uniform
from ohmlet_kernels.pulsed_update.numba_vectors import Rows, Views, alike
from ohmlet_kernels.pulsed_update.transfer import Rule, Sweep

__all__ = ["Buffered"]

MASK, S32 = np.uint64(0xFFFFFFFF), np.uint64(32)
COLUMN_BITS = np.uint64(c.COLUMN_BITS)
ZERO = np.float32(0)
NO_REALS, NO_MARKS = np.zeros((0, 0), np.float32), np.zeros(0, np.bool_)


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
def _rule(rule: Rule) -> tuple[Any, ...]:
    """Return a rule's numbers as `settled` takes them."""
    f = np.float32
    return (
        f(rule.gain), f(rule.threshold), f(rule.most), f(rule.momentum), f(1 - rule.momentum), rule.forget, rule.keep, rule.period,
        f(rule.beta), f(1 - rule.beta), f(rule.cap),
    )  # fmt: skip


@functools.lru_cache(256)
def _chopper(path: str) -> np.uint64:
    return np.uint64(purpose_word(f"{path}/transfer/uniform in chopper"))


@functools.lru_cache(256)
def _paths(path: str) -> tuple[str, str]:
    return f"{path}/fast", f"{path}/slow"


class Buffered:
    """The update of two arrays with a buffer between them, on NumPy's views of its state; these serve as long as they stay in place.

    State: counters `vectors` and `current` int64 [1]; `buffer` [out, in] or [1, out, in] if there is one; for chopped signs `sweeps`
    int64 [1], `in_signs` [slices] and `out_signs` [width]; where there are references, `mean` and `reference` [out, in] and `flipped`
    bool [slices].
    """

    def __init__(self, state: dict[str, Tensor], slices: int, width: int) -> None:
        self.places = [each.data_ptr() for each in state.values()]
        self.room: tuple[Any, ...] | None = None
        self.usable = all(
            type(each) is Tensor and each.is_cpu and each.is_contiguous() and not (each.is_floating_point() and each.dtype != torch.float32)
            for each in state.values()
        )
        if not self.usable:
            return
        own: dict[str, Any] = {name: (each[0] if each.ndim == 3 else each).numpy() for name, each in state.items()}
        self.signs = own.get("in_signs", np.ones(slices, np.float32)), own.get("out_signs", np.ones(width, np.float32))
        self.counters = own["vectors"], own["current"], own.get("sweeps", np.zeros(1, np.int64))
        self.held = *(own.get(name, NO_REALS) for name in ("buffer", "mean", "reference")), own.get("flipped", NO_MARKS)

    def __reduce__(self) -> Any:
        """Pickle and copy as nothing: a copy has its memory elsewhere."""
        return type(None), ()

    def update(
        self, fast: Views, slow: Views, given: Rows, rate: float, granularity: float, pulses: Any, sweep: Sweep, rule: Rule,
        size: float, step: float, writes: Any,
    ) -> bool:  # fmt: skip
        """Pulse the fast array for given vectors, transfer what is due, and return whether it was done: all of it or nothing.

        `granularity` and `pulses` code the gradients; writes are of n x `size` with the step `step` of the slow array, coded in `writes`.
        """
        x, d, ordinals, key, path = given
        samples = len(x)
        if not self.usable or not fast.takes(pulses, samples, rate, granularity) or not slow.takes(writes, samples, size, step):
            return False
        in_signs, out_signs = self.signs
        signed_x, signed_d, after, at, times, numbered, sign, flips, seen, lines, counts = self._room(samples, x.shape[1], d.shape[1])
        reads = swept(
            x, d, sweep.every, sweep.columns, sweep.random, sweep.regular, sweep.at, *self.counters, in_signs, out_signs, ordinals,
            key, _chopper(path), signed_x, signed_d, after, at, sign, times, flips, numbered,
        )  # fmt: skip
        for_fast, for_slow = _paths(path)
        if reads < samples:
            after, at, seen, lines, counts, numbered = (each[:reads] for each in (after, at, seen, lines, counts, numbered))
        looks = after, at, sweep.columns, seen
        fast.pulse_rows(Rows(signed_x, signed_d, ordinals, key, for_fast), alike(samples, rate), granularity, looks)
        state = (*self.held, *_rule(rule))
        if reads and settled(seen, at, sign, times, flips, sweep.columns, out_signs, *state, lines, counts):  # type: ignore[call-arg]
            lines, counts = (lines, counts) if sweep.columns else (counts, lines)
            slow.pulse_rows(Rows(lines, counts, numbered, key, for_slow), alike(reads, size), step)
        return True

    def _room(self, samples: int, ins: int, outs: int) -> tuple[Any, ...]:
        """Return arrays for what is made on the way, kept until there are other numbers of samples: all of it is filled each time."""
        if self.room is None or len(self.room[0]) != samples:
            slices, width = (len(signs) for signs in self.signs)
            whole, real = functools.partial(np.empty, dtype=np.int64), functools.partial(np.empty, dtype=np.float32)
            self.room = (
                real((samples, ins)), real((samples, outs)), whole(samples), whole(samples), whole(samples), whole(samples), real(samples),
                np.empty(samples, np.bool_), real((samples, width)), real((samples, slices)), real((samples, width)),
            )  # fmt: skip
        return self.room
