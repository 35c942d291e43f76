"""The addressed noise source that Ohmlet hands to its plugins; nothing in Ohmlet draws random numbers any other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ohmlet_kernels.noise.keys import purpose_word
from ohmlet_kernels.noise.op import philox_normal, philox_uniform

__all__ = ["STEP_BITS", "Stream"]

STEP_BITS = 40
"""Time steps are numbered in the bits of an ordinal above these: room for 2^40 samples of 2^23 steps."""


class Stream(NamedTuple):
    """Random numbers addressed by what they are for and where they are used, never by the order of calls.

    `key` int64 [*L]: one 64-bit key per crossbar (and per chip instance). `ordinals` int64 [S]: which samples. `event` int64 [1]: what
    all samples share, such as the optimizer step. `path` separates what different parts of one model draw.

    `noise.normal("programming", g)` returns standard normals for every element of g. Drawing again for the same purpose returns the
    same numbers, so each kind of noise has a purpose of its own; a part that draws several times takes `noise.child(name)` for each.
    """

    key: Tensor
    ordinals: Tensor | None = None
    event: Tensor | None = None
    path: str = ""

    def child(self, name: str) -> Stream:
        """Return a stream with the same addresses whose numbers are independent of this one's."""
        return self._replace(path=f"{self.path}/{name}")

    def at(self, ordinals: Tensor) -> Stream:
        """Return the stream of the samples with these ordinals, int64 [S]."""
        return self._replace(ordinals=ordinals)

    def shared(self) -> Stream:
        """Return the stream for what all samples of a mini-batch share: matrices addressed by `event`, the optimizer step."""
        return self._replace(ordinals=None)

    def each(self) -> Stream:
        """Return a stream with a crossbar for each sample: key [*L, S], so that `shared()` draws a matrix for each of them.

        Time steps of a sample share its key and are told apart by the one ordinal that is left. Numbers are independent of this
        stream's own. Needs at least one ordinal, all of them of one time step.
        """
        if self.ordinals is None or not len(self.ordinals):
            raise ValueError("a stream without ordinals has no samples that could have crossbars of their own")
        samples = self.ordinals & ((1 << STEP_BITS) - 1)
        return self._replace(key=_mixed(_mixed(samples + GOLDEN) + self.key[..., None]), ordinals=self.ordinals[:1] >> STEP_BITS)

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        """Return independent standard normals, in `like`'s dtype.

        Without ordinals `like` is [..., rows, columns] and the result [*L, rows, columns]; with ordinals `like` is
        [..., S, rows, columns] and the result [*L, S, rows, columns]. Only `like`'s last sizes and dtype matter.
        """
        return self._draw(philox_normal, purpose, like)

    def uniform(self, purpose: str, like: Tensor) -> Tensor:
        """Return independent uniforms in (0, 1), shaped as `normal`."""
        return self._draw(philox_uniform, f"uniform {purpose}", like)

    def word(self, purpose: str) -> int:
        """Return the 32-bit word that stands for this stream's path and a purpose in the address."""
        return purpose_word(f"{self.path}/{purpose}")

    def _draw(self, op: Callable[..., Tensor], purpose: str, like: Tensor) -> Tensor:
        word = self.word(purpose)
        rows, columns = like.shape[-2:]
        if self.ordinals is None:
            event = torch.zeros(1, dtype=torch.int64, device=self.key.device) if self.event is None else self.event
            drawn = op(self.key.reshape(-1), word, event, rows, columns)
            shape = (*self.key.shape, rows, columns)
        else:
            if like.ndim < 3 or like.shape[-3] != len(self.ordinals):
                raise ValueError(
                    f"noise for {len(self.ordinals)} samples asked with a tensor of shape {tuple(like.shape)}, not [..., S, rows, columns]"
                )
            drawn = op(self.key.reshape(-1), word, self.ordinals, rows, columns)
            shape = (*self.key.shape, *like.shape[-3:])
        return drawn.reshape(shape).to(like.dtype)


GOLDEN = 0x9E3779B97F4A7C15 - 2**64


def _mixed(x: Tensor) -> Tensor:
    """Return int64 words hashed one to one, the finaliser of SplitMix64 (Steele et al., OOPSLA 2014, doi:10.1145/2660193.2660195)."""
    # Products wrap around, and a right shift of a negative word fills in ones that the mask takes away.
    x = (x ^ ((x >> 30) & (2**34 - 1))) * (0xBF58476D1CE4E5B9 - 2**64)
    x = (x ^ ((x >> 27) & (2**37 - 1))) * (0x94D049BB133111EB - 2**64)
    return x ^ ((x >> 31) & (2**33 - 1))
