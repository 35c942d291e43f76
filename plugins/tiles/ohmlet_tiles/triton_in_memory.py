"""Tile `triton_in_memory`: training in memory on a GPU, on Triton kernels or not at all."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ohmlet_tiles.in_memory import InMemory

__all__ = ["TritonInMemory"]


@frozen(kw_only=True)
class TritonInMemory(InMemory):
    """Tile `in_memory` whose engine is `triton`: where that cannot run, building a layer raises ConfigError with the reason.

    Tile `in_memory` with `engine: auto` takes the same kernels for tensors on a GPU, and others elsewhere.
    """

    engine: ClassVar[str | None] = "triton"
