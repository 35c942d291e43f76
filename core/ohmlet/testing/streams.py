"""The streams and the numbers that kits feed to plugins: addressed themselves, so that a kit never touches a generator."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ohmlet.testing.expect import expect
from ohmlet_kernels.noise import Stream, key

__all__ = ["own_purposes", "recording", "silent", "spread", "stream"]


def stream(*shape: int, seed: int = 0, samples: int | None = None) -> Stream:
    """Return a stream with one key per crossbar [*shape], for samples 0 onward when their number is given, in optimizer step 3."""
    keys = torch.tensor([key("kit", seed, index) for index in range(math.prod(shape))], dtype=torch.int64).reshape(shape)
    ordinals = None if samples is None else torch.arange(samples)
    return Stream(keys, ordinals, torch.tensor([3]))


class _Silent(Stream):
    """A stream whose normals are all 0 and whose uniforms are all one half."""

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        return super().normal(purpose, like) * 0.0

    def uniform(self, purpose: str, like: Tensor) -> Tensor:
        return super().uniform(purpose, like) * 0.0 + 0.5


def silent(like: Stream) -> Stream:
    """Return a stream with the same addresses and no noise: what is not alike under it has drawn from somewhere else."""
    return _Silent(*like)


def recording(like: Stream) -> tuple[Stream, list[str]]:
    """Return a stream that draws the same numbers and a list that fills with the purpose of each draw."""
    purposes: list[str] = []

    class Recording(Stream):
        def normal(self, purpose: str, like: Tensor) -> Tensor:
            purposes.append(f"{self.path}/{purpose}")
            return super().normal(purpose, like)

        def uniform(self, purpose: str, like: Tensor) -> Tensor:
            purposes.append(f"{self.path}/{purpose}")
            return super().uniform(purpose, like)

    return Recording(*like), purposes


def own_purposes(purposes: list[str], words: str) -> None:
    """Raise AssertionError when a purpose was drawn twice, which gives the same numbers twice."""
    twice = sorted({purpose.lstrip("/") for purpose in purposes if purposes.count(purpose) > 1})
    expect(
        not twice,
        f"{words} drew for the purpose {', '.join(map(repr, twice))} more than once, which gives the same numbers again: "
        "name each draw differently, or draw from noise.child(name)",
    )


def spread(*shape: int, low: float = -1.0, high: float = 1.0, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Return numbers spread evenly over [low, high], the same at each call."""
    flat = torch.empty((1, math.prod(shape)), dtype=torch.float32)
    uniform = Stream(torch.tensor(key("kit numbers", seed))).uniform("numbers", flat)
    return (low + (high - low) * uniform).reshape(shape).to(dtype)
