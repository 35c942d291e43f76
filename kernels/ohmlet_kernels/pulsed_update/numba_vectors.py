"""Vectors pulsed in one go: trains of one word and their coincidences, on views of an array's memory that are kept between calls."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.pulsed_update import numba_blocks as blocks
from ohmlet_kernels.pulsed_update.cells import SLOTS, Cells, Probe
from ohmlet_kernels.pulsed_update.numba_blocks import Plan, at
from ohmlet_kernels.pulsed_update.numba_cache import loops
from ohmlet_kernels.pulsed_update.numba_loops import TILE
from ohmlet_kernels.pulsed_update.numba_noisy import noisy
from ohmlet_kernels.threads import PARALLEL_FROM

__all__ = ["Rows", "Views"]

NO_REALS = np.zeros((0, 0), np.float32)
NO_PULSES = np.zeros((0, 0, 0), np.int64)
NO_LOOKS = np.zeros(0, np.int64)
NO_MARKS = np.zeros(0, np.bool_)
NOT_LOOKED = (NO_LOOKS, NO_LOOKS, False, NO_REALS)


@functools.lru_cache(1024)
def _words(path: str, pulse_type: str) -> tuple[np.uint64, np.uint64, np.uint64]:
    """Return the words of the trains of inputs and errors and of the devices' noise, which Python hashes slowly."""
    purposes = f"{pulse_type} x", f"{pulse_type} d", "pulse noise"
    return tuple(np.uint64(purpose_word(f"{path}/{each}")) for each in purposes)  # type: ignore[return-value]


@functools.lru_cache(1024)
def _unsigned(key: int) -> np.uint64:
    return np.uint64(key & (2**64 - 1))


def alike(count: int, value: float) -> Any:
    """Return so many float64 of one value; NumPy's own function for it takes thrice as long."""
    made = np.empty(count)
    made.fill(value)
    return made


class Rows(NamedTuple):
    """Vectors to be pulsed, as arrays in order: x float32 [S, in], d float32 [S, out], and what addresses their noise."""

    x: Any
    d: Any
    ordinals: Any
    """int64 [S]"""
    key: np.uint64
    path: str

    @classmethod
    def of(cls, x: Tensor, d: Tensor, noise: Stream) -> Rows | None:
        """Return vectors of tensors, or None where they are no float32 numbers on the CPU, or have no ordinals."""
        if noise.ordinals is None or not (x.dtype == d.dtype == torch.float32 and x.is_cpu and d.is_cpu):
            return None
        inputs, errors, ordinals = (each.detach().contiguous().numpy() for each in (x, d, noise.ordinals))
        return cls(inputs, errors, ordinals, _unsigned(int(noise.key.item())), noise.path)


class Views:
    """NumPy's views of the tensors of one array's cells; they serve for as long as these stay in their places.

    `noise` are what reads see, the spread of their write noise and its counter, of cells that have any: only plans know of it.
    """

    def __init__(self, places: list[int], cells: Cells, key: Tensor, noise: tuple[Tensor, float, Tensor] | None = None) -> None:
        self.places, self.noise = places, noise
        self.pulses: Any = None
        self.coding: tuple[Any, ...] = ()
        real = (cells.w, *cells.cell, *cells.hidden)
        self.usable = 0 < cells.w.numel() <= len(cells.w) * TILE and all(
            type(each) is Tensor and each.dtype == torch.float32 and each.is_cpu and each.is_contiguous() for each in real
        )
        if not self.usable:
            return
        self.rows, self.columns = cells.w.shape
        self.loops = loops(cells.step)
        self.state = (
            *(each.numpy() for each in real), np.array(cells.params, np.float32), *(np.array(each, np.float32) for each in cells.tables)
        )  # fmt: skip
        self.arrays = len(real)
        self.counted = NO_PULSES if cells.pulses is None else cells.pulses.numpy()
        # A view too, for a loaded state writes another key in its place.
        self.key = key.reshape(1).numpy().view(np.uint64)

    def __reduce__(self) -> Any:
        """Pickle and copy as nothing: a copied array has its memory elsewhere."""
        return type(None), ()

    def coded(self, pulses: Any) -> tuple[Any, ...]:
        """Return the numbers that trains are made with: type, desired_bl, fixed_bl, both managements and their scale."""
        if self.pulses is not pulses:
            self.pulses, n = pulses, pulses.numbers()
            known = n.pulse_type.startswith("stochastic") and not n.resolution and n.desired_bl <= SLOTS
            managed = (n.desired_bl, n.fixed_bl, n.update_management, n.update_bl_management, float(n.um_grad_scale))
            self.coding = (n.pulse_type, managed) if known else ()
        return self.coding

    def takes(self, pulses: Any, samples: int, rate: float, granularity: float) -> bool:
        """Whether `pulse_rows` takes so many vectors at this rate: trains of one word, and no more than one thread is worth.

        `pulses` is a PulsedUpdate; those with a resolution have trains of another kind.
        """
        if not self.usable or not samples or not self.coded(pulses):
            return False
        desired, fixed, _, managed, _ = self.coding[1]
        longest = desired if fixed or managed or granularity * desired >= abs(rate) else math.ceil(abs(rate) / granularity)
        return longest <= SLOTS and max(samples * self.rows * self.columns, samples * (self.rows + self.columns) * SLOTS) < PARALLEL_FROM

    def pulse_rows(self, given: Rows, rates: Any, granularity: float, looks: Any = NOT_LOOKED) -> bool:
        """Pulse vectors that `takes` takes at rates float64 [S]; return whether it was done: not where trains are too long."""
        x, d, ordinals, key, path = given
        kind, managed = self.coding
        for_x, for_d, for_cells = _words(path, kind)
        done: bool = self.loops.pulse(
            *self.state, self.counted, x, d, rates, granularity, *managed, ordinals, key, for_x, for_d, self.key, for_cells, *looks,
            NO_MARKS,
        )  # fmt: skip
        return done

    def pulse(
        self, x: Tensor, d: Tensor, lr: float | Tensor, granularity: float, pulses: Any, noise: Stream, probe: Probe | None = None
    ) -> bool:
        """Do what `trains` and `pulsed_update` do for x [S, in], d [S, out], or nothing for what needs more; return whether it was done."""
        given = Rows.of(x, d, noise)
        if given is None or not self.takes(pulses, len(x), 0.0 if isinstance(lr, Tensor) else lr, granularity):
            return False
        rates = lr.to(torch.float64).contiguous().numpy() if isinstance(lr, Tensor) else alike(len(x), lr)
        looks = NOT_LOOKED if probe is None else (probe.after.numpy(), probe.at.numpy(), probe.columns, probe.seen.numpy())
        return self.pulse_rows(given, rates, granularity, looks)

    def plan(self, pulses: Any, samples: int, rate: float, granularity: float, path: str, looks: Any = NOT_LOOKED) -> Plan | None:
        """Return what pulses so many vectors at one rate, with noise of a path, and looks; None for what needs more."""
        if not self.takes(pulses, samples, rate, granularity):
            return None
        state, tables = self.state[: self.arrays], self.state[self.arrays + 1 :]
        block = np.zeros(blocks.STATE + len(state) + 2 * len(tables), np.int64)
        kind, (desired, fixed, managed, lengths, scale) = self.coding
        for_x, for_d, for_cells = (int(np.int64(each)) for each in np.array(_words(path, kind)).view(np.int64))
        after, which, columns, seen = looks
        rates, numbers = alike(samples, rate), np.array([granularity, scale])
        block[:3] = self.rows, self.columns, samples
        block[blocks.RATES : blocks.LOOKS] = (
            at(rates), for_x, for_d, at(self.key), for_cells, desired, fixed, managed, lengths, at(numbers),
            at(self.counted) if self.counted.size else 0,
        )  # fmt: skip
        params = at(self.state[self.arrays])
        block[blocks.LOOKS : blocks.STATE] = len(after), at(after), at(which), columns, at(seen), seen.shape[1], params, 0
        block[blocks.STATE :] = [*map(at, state), *(each for table in tables for each in (at(table), len(table)))]

        def pace(rate: float) -> bool:
            rates.fill(rate)
            return self.takes(pulses, samples, rate, granularity)

        plan = Plan(self.loops.plan(), block, pace, self, rates, numbers, looks)
        return plan if self.noise is None else noisy(plan, *self.noise, path)
