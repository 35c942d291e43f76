"""How `lrtt` reads arrays line by line and writes matrices onto them: products of low rank, or row by row with verification."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from attrs import evolve
from torch import Tensor

from ohmlet.cells import CellArray
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream
from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.pulsed_update.trains import managed

__all__ = ["Lines", "lost_in_trains", "micro_steps", "orthogonal_rows", "write_product", "write_rows"]

MOST_STEPS = 4096
"""Micro-steps beyond which trains stay too short, which the account of transfers shows."""


class Lines(NamedTuple):
    """Reads of an array through the tile's `read`, or what the tile's `io` has in its place."""

    site: ArraySite

    def driven(self, name: str, w: Tensor, v: Tensor, noise: Stream) -> Tensor:
        """Return w v of vectors v [S, n], each of them driven at full scale; the array of each name has converters of its own."""
        largest = v.abs().amax(-1, keepdim=True)
        scale = torch.where(largest > 0, largest, 1.0)
        y: Tensor = scale * self.site.read_of(name)(w, v / scale, noise._replace(key=noise.key ^ purpose_word(name)))
        return y

    def columns(self, name: str, w: Tensor, noise: Stream) -> Tensor:
        """Return w [n, m] as its columns are read, driven one by one; one ordinal in `noise`."""
        one_hot = torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
        return self.driven(name, w, one_hot, numbered(noise, 0, w.shape[1], w.shape[1])).mT

    def rows(self, name: str, w: Tensor, noise: Stream) -> Tensor:
        """Return w [n, m] as its rows are read."""
        return self.columns(name, w.mT, noise).mT


def numbered(noise: Stream, first: int, last: int, each: int) -> Stream:
    """Return the stream of the vectors first to last - 1 of an event that has `each` of them; one ordinal in `noise`."""
    assert noise.ordinals is not None
    return noise.at(noise.ordinals * each + torch.arange(first, last, device=noise.ordinals.device))


def orthogonal_rows(drawn: Tensor) -> Tensor:
    """Return orthonormal rows that span those of a matrix [..., r, n], r <= n, the same on every device."""
    wide = drawn.to(torch.float64).cpu().mT
    q, upper = torch.linalg.qr(wide)
    signs = torch.where(upper.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0)
    rows: Tensor = (q * signs.unsqueeze(-2)).mT.to(drawn)
    return rows


def micro_steps(up: Tensor, down: Tensor, eta: float, granularity: float, pulses: PulsedUpdate, given: int | None) -> int:
    """Return in how many parts eta up down is written: as given, or so many that no pulse probability is above one."""
    if given is not None or pulses.pulse_type.startswith("none"):
        return given or 1
    managed = pulses.update_management or pulses.update_bl_management
    if not managed and not pulses.fixed_bl:
        return 1
    largest = torch.stack((up.abs().amax(0), down.abs().amax(1)))
    most = float((largest.prod(0) if managed else largest.amax(0).square()).max())
    return min(max(math.ceil(eta * most / (granularity * pulses.desired_bl)), 1), MOST_STEPS)


def lost_in_trains(up: Tensor, down: Tensor, eta: float, steps: int, granularity: float, pulses: PulsedUpdate) -> float:
    """Return which part of eta up down does not fit into trains: 1 - <expected, wanted> / |wanted|^2, probabilities ending at one."""
    if pulses.pulse_type.startswith("none"):
        return 0.0
    x, d = down.to(torch.float64), up.mT.to(torch.float64)
    lengths, for_x, for_d = managed(x, d, eta / steps, granularity, pulses.numbers())
    fired_x, fired_d = ((v * factor[:, None]).clamp(-1, 1) for v, factor in ((x, for_x), (d, for_d)))
    expected = steps * granularity * (fired_d * lengths[:, None]).mT @ fired_x
    wanted = eta * d.mT @ x
    return 1 - float((expected * wanted).sum() / wanted.square().sum())


def write_product(
    array: CellArray, up: Tensor, down: Tensor, eta: float, steps: int, chunk: int, pulses: PulsedUpdate, noise: Stream
) -> None:
    """Add eta up down to an array in `steps` equal parts, each as one rank-one update per column of up; one ordinal in `noise`."""
    d, x, rank = -up.mT.contiguous(), down.clone(), len(down)
    for step in range(steps):
        told = noise.child(f"micro-step {step}")
        for first in range(0, rank, chunk):
            last = min(first + chunk, rank)
            array.pulse(x[first:last], d[first:last], eta / steps, pulses, numbered(told, first, last, rank))


def write_rows(
    array: CellArray, target: Tensor, rounds: int, pulses: PulsedUpdate, noise: Stream, look: Callable[[Tensor, Stream], Tensor] | None
) -> None:
    """Bring an array to a target in pulses, row by row; each round corrects what is seen to differ by more than half a step.

    `look(w, noise)` reads the rows, exactly unless given. One ordinal in `noise`.
    """
    balanced = pulses if pulses.pulse_type.startswith("none") else evolve(pulses, update_management=True, update_bl_management=True)
    rows = len(target)
    driven = torch.eye(rows, dtype=target.dtype, device=target.device)
    for count in range(rounds):
        told, w = noise.child(f"round {count}"), array.weights()
        error = (w if look is None else look(w, told.child("verify"))) - target
        error = torch.where(error.abs() > array.granularity / 2, error, 0.0)
        if not bool(error.any()):
            return
        array.pulse(error, driven, 1.0, balanced, numbered(told, 0, rows, rows))
