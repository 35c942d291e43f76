"""Tile `triton_inference`: tile `inference` on the kernels for GPUs, and on nothing else."""

from __future__ import annotations

from typing import ClassVar

from attrs import frozen

from ohmlet_tiles.inference import Inference

__all__ = ["TritonInference"]


@frozen(kw_only=True)
class TritonInference(Inference):
    """Tile `inference` with engine `triton` pinned: the same physics and the same random numbers, computed on a GPU.

    Where Triton or a GPU is absent, converting a model raises ConfigError with the reason, unless TRITON_INTERPRET=1 lets the kernels
    run on a CPU. Tile `inference` with engine `auto` takes the same kernels where they can run, and others elsewhere.

    References: Rasch et al., Nat. Commun. 14, 5282 (2023), doi:10.1038/s41467-023-40770-4.
    """

    engine: ClassVar[str | None] = "triton"
