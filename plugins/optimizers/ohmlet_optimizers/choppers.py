"""Signs that flip on the lines of a fast array, and the running scales of gradients: what `c_ttv2` and `agad` do before pulsing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet_kernels.noise import Stream
from ohmlet_optimizers.transfers import run

__all__ = ["Chopping", "Scales", "chop"]


class Scales(NamedTuple):
    """Running averages of max|x| and max|d|, float64 [S], as each vector of a mini-batch sees them."""

    x: Tensor
    d: Tensor

    @classmethod
    def of(cls, x: Tensor, d: Tensor, state: Tensor, momentum: float) -> Scales:
        """Return the averages over the vectors x [S, in] and d [S, out] and keep the last ones in `state` [2].

        m <- (1 - tau) m + tau max|v|, tau = (1 - momentum) / S; zeros are passed over, and the first other value starts the average.
        """
        tau, kept, out = (1 - momentum) / len(x), state.tolist(), []
        for which, vectors in enumerate((x, d)):
            m, seen = kept[which], []
            for largest in vectors.abs().amax(-1).tolist():
                if largest > 0:
                    m = largest if m == 0 else (1 - tau) * m + tau * largest
                seen.append(m)
            out.append(torch.tensor(seen, dtype=torch.float64, device=x.device))
            state[which] = m
        return cls(*out)


class Chopping(NamedTuple):
    """The signs during one mini-batch: as each of its vectors is pulsed with, and as each of its reads finds them."""

    lines: Tensor
    """[S, count] of the slices, vector by vector."""
    across: Tensor
    """[S, width] along a slice."""
    read_line: Tensor
    """[T, 1] of the slice that is read."""
    read_across: Tensor
    """[T, width]"""
    flipped: Tensor
    """bool [T], whether the sign of the slice flipped after the read."""
    sweep: list[int]
    """How many times all slices had been read before each read."""


def chop(
    in_signs: Tensor,
    out_signs: Tensor,
    sweeps: int,
    vectors: int,
    after: list[int],
    slices: list[int],
    flips: list[bool],
    regular: int,
    at: int,
    noise: Stream | None,
    probability: float,
) -> tuple[Chopping, int]:
    """Return the signs of a mini-batch and the count of sweeps after it; changes `in_signs` [count] and `out_signs` [width].

    Slice s flips after its read t where flips[t], and in every `regular`-th sweep, at its number `at` (regular 0: never). After the last
    slice each of `out_signs` flips with `probability`, drawn from `noise`, whose ordinals are those of the reads.
    """
    count, last = len(in_signs), 0
    if not probability and len(slices) <= count:
        return _unchanged_across(in_signs, out_signs, sweeps, vectors, after, slices, flips, regular, at)
    lines, across = in_signs.new_empty((vectors, count)), out_signs.new_empty((vectors, len(out_signs)))
    read_line, read_across, sweep = in_signs.new_empty((len(slices), 1)), out_signs.new_empty((len(slices), len(out_signs))), []
    flipped: list[bool] = []
    for t, (end, which) in enumerate(zip(after, slices, strict=True)):
        lines[last:end], across[last:end] = in_signs, out_signs
        read_line[t, 0], read_across[t] = in_signs[which], out_signs
        sweep.append(sweeps)
        last = end
        flipped.append(flips[t] or (regular > 0 and sweeps % regular == at))
        if flipped[-1]:
            in_signs[which] = -in_signs[which]
        if which == count - 1:
            sweeps += 1
            if probability > 0:
                assert noise is not None
                assert noise.ordinals is not None
                drawn = noise.at(noise.ordinals[t : t + 1]).uniform("out chopper", out_signs[None, None])
                out_signs.copy_(torch.where(drawn.flatten() < probability, -out_signs, out_signs))
    lines[last:], across[last:] = in_signs, out_signs
    return Chopping(lines, across, read_line, read_across, torch.tensor(flipped, dtype=torch.bool, device=in_signs.device), sweep), sweeps


def _unchanged_across(
    in_signs: Tensor,
    out_signs: Tensor,
    sweeps: int,
    vectors: int,
    after: list[int],
    slices: list[int],
    flips: list[bool],
    regular: int,
    at: int,
) -> tuple[Chopping, int]:
    """Return what `chop` does where no slice is read twice and no sign flips along the slices: only flips cost something."""
    count, sweep, flipped = len(in_signs), [], []
    for t, which in enumerate(slices):
        sweep.append(sweeps)
        flipped.append(flips[t] or (regular > 0 and sweeps % regular == at))
        sweeps += which == count - 1
    read_line, lines = in_signs[run(slices)].reshape(-1, 1).clone(), in_signs.expand(vectors, count)
    if any(flipped):
        lines = lines.clone()
        for t in [t for t, flip in enumerate(flipped) if flip]:
            lines[after[t] :, slices[t]].neg_()
            in_signs[slices[t]].neg_()
    # A copy, for these signs are state that a later mini-batch may flip.
    own = out_signs.clone()
    told = torch.tensor(flipped, dtype=torch.bool, device=in_signs.device)
    return Chopping(lines, own.expand(vectors, -1), read_line, own.expand(len(slices), -1), told, sweep), sweeps
