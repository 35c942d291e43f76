"""What algorithms that read one array and write another share: when to transfer which slice, one-hot read-outs and writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ohmlet.cells import CellArray, DeviceArray, PulsedArray
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.pulsed_update import Trains
from ohmlet_kernels.pulsed_update.cells import Probe
from ohmlet_kernels.pulsed_update.trains import trains

__all__ = ["Pulser", "Reads", "Slices", "due", "period", "rows_of", "run", "snapshots"]


def rows_of(module: Any, x: Tensor, d: Tensor, noise: Stream) -> Any:
    """Return vectors as the engine's `at_once` takes them, or None where it has none for them."""
    if not x.is_cpu:
        return None
    made = getattr(module.slices.site.kernel("pulsed_update", "cpu"), "rows", None)
    return None if made is None else made.of(x, d, noise)


def period(transfer_every: float, units_in_mbatch: bool, samples: int) -> int:
    """Return how many vectors lie between transfers, of a mini-batch of `samples`; 0 for never."""
    if units_in_mbatch:
        return -int(-transfer_every * samples // 1)
    return round(transfer_every)


def due(before: int, samples: int, every: int) -> list[int]:
    """Return after how many vectors of a mini-batch a transfer is due, `before` vectors having been counted already."""
    return list(range(every - before % every, samples + 1, every)) if every > 0 else []


def run(places: list[int]) -> Any:
    """Return places to index with: a slice where they follow one another, which a tensor finds much sooner than a list."""
    follow = len(places) > 0 and places == list(range(places[0], places[0] + len(places)))
    return slice(places[0], places[-1] + 1) if follow else places


class Reads(NamedTuple):
    """The slices that one mini-batch reads, in order."""

    after: list[int]
    """Vectors of the mini-batch that are pulsed before each read."""
    slices: list[int]
    ordinals: Tensor
    """int64 [T], which address the noise of reads and writes."""


class Slices(NamedTuple):
    """A crossbar [out, in] as a set of slices, its columns or its rows, each of them read and written with one line driven."""

    site: ArraySite
    columns: bool

    @property
    def number(self) -> int:
        """How many slices there are."""
        return self.site.columns if self.columns else self.site.rows

    @property
    def width(self) -> int:
        """How many cells a slice has."""
        return self.site.rows if self.columns else self.site.columns

    def of(self, w: Tensor) -> Tensor:
        """Return a matrix [out, in] as [number, width], the same memory."""
        return w.mT if self.columns else w

    def one_hot(self, slices: list[int], like: Tensor) -> Tensor:
        """Return inputs [T, number] that drive one line each."""
        driven = like.new_zeros((len(slices), self.number))
        if isinstance(run(slices), slice):
            driven.diagonal(slices[0]).fill_(1)
        else:
            driven[torch.arange(len(slices)), slices] = 1
        return driven

    def read(self, w: Tensor, snapshots: Tensor, reads: Reads, noise: Stream) -> Tensor:
        """Return what the tile's read-out makes of slices [T, width] that were taken as `reads` says, from an array that is now w."""
        if self.site.exact:
            return snapshots
        out = []
        for chunk in rounds(reads.slices):
            # Lines that are not driven add nothing, so slices taken at different times are read from one matrix.
            seen = self.of(w).clone()
            slices = reads.slices[chunk]
            seen[run(slices)] = snapshots[chunk]
            x = self.one_hot(slices, w)
            out.append(self.site.read(seen.mT, x, noise.at(reads.ordinals[chunk])))
        return torch.cat(out)

    def writer(self, array: CellArray, reads: Reads, values: Tensor, lr: float, pulses: PulsedUpdate, noise: Stream) -> Pulser:
        """Return the writes of lr x values [T, width] onto the slices, subtracted as every update is."""
        lines = self.one_hot(reads.slices, values)
        x, d = (lines, values) if self.columns else (values, lines)
        return Pulser(array, x, d, lr, pulses, noise.at(reads.ordinals))


def rounds(slices: list[int]) -> Iterator[slice]:
    """Yield the parts of a list of slices within which no slice occurs twice."""
    start, seen = 0, set[int]()
    for at, which in enumerate(slices):
        if which in seen:
            yield slice(start, at)
            start, seen = at, set()
        seen.add(which)
    if start < len(slices):
        yield slice(start, len(slices))


class Pulser:
    """Pulses an array with the vectors x [S, in] and d [S, out] that it was made for, all at once or part by part."""

    def __init__(
        self,
        array: CellArray,
        x: Tensor,
        d: Tensor,
        lr: float | Tensor,
        pulses: PulsedUpdate,
        noise: Stream,
        granularity: float | None = None,
    ) -> None:
        self.array, self.x, self.d, self.lr, self.pulses, self.noise = array, x, d, lr, pulses, noise
        self.granularity = array.granularity if granularity is None else granularity
        self.vectors = len(x)
        self.made: Trains | None = None

    def __call__(self, first: int, last: int) -> None:
        """Pulse the vectors first to last - 1."""
        array, pulses, ordinals = self.array, self.pulses, self.noise.ordinals
        assert ordinals is not None
        plain = isinstance(array, PulsedArray) and not pulses.pulse_type.startswith("none")
        if last <= first or (plain and last - first == self.vectors and self.at_once()):
            return
        part = slice(first, last)
        if plain and isinstance(array, PulsedArray):
            array.pulse_trains(self.trains(array).part(first, last), self.noise.at(ordinals[part]))
            return
        d, rate = (self.d * self.lr[:, None].to(self.d.dtype), 1.0) if isinstance(self.lr, Tensor) else (self.d, self.lr)
        if isinstance(array, PulsedArray):
            array.add(self.x[part], d[part], rate, bounded=pulses.pulse_type == "none_with_device", noise=self.noise.at(ordinals[part]))
        else:
            array.pulse(self.x[part], d[part], rate, pulses, self.noise.at(ordinals[part]), self.granularity)

    def at_once(self, probe: Probe | None = None) -> bool:
        """Pulse all vectors in one call, where the engine has one for them; return whether it was done."""
        array = self.array
        return isinstance(array, PulsedArray) and array.at_once(self.x, self.d, self.lr, self.pulses, self.noise, self.granularity, probe)

    def trains(self, array: PulsedArray) -> Trains:
        """Return the trains of all vectors, made when they are first asked for."""
        if self.made is None:
            bits = array.kernel("pulse_bits", self.x.device.type)
            self.made = trains(self.x, self.d, self.lr, self.granularity, self.pulses.numbers(), self.noise, bits)
        return self.made

    def looked(self, after: list[int], slices: list[int], columns: bool) -> Tensor | None:
        """Pulse all vectors and return the slices [T, width] as they are after so many of them, or None where it takes single calls."""
        array = self.array
        if self.pulses.pulse_type.startswith("none") or not isinstance(array, DeviceArray) or array.device.write_noise > 0:
            return None
        width = array.w.shape[0] if columns else array.w.shape[1]
        when, which = (torch.tensor(each, device=array.w.device) for each in (after, slices))
        probe = Probe(when, which, columns, array.w.new_empty((len(after), width)))
        if not self.at_once(probe):
            array.pulse_trains(self.trains(array), self.noise, probe)
        return probe.seen


def snapshots(pulse: Pulser, counts: list[int], reads: Reads, slices: Slices, read: Callable[[int], None] | None = None) -> Tensor:
    """Return slices [T, width] of an array, each as it is after `counts` of its vectors were pulsed; pulses all of them.

    `read(t)` is called after slice t was taken.
    """
    taken, done, array = [], 0, pulse.array
    if read is None and counts:
        seen = pulse.looked(counts, reads.slices, slices.columns)
        if seen is not None:
            return seen
    for t, (count, which) in enumerate(zip(counts, reads.slices, strict=True)):
        pulse(done, count)
        done = count
        taken.append(slices.of(array.weights())[which].clone())
        if read is not None:
            read(t)
    pulse(done, pulse.vectors)
    return torch.stack(taken) if taken else array.weights().new_zeros((0, slices.width))
