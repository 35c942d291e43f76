"""The processes that train one model together, each on its part of a batch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["gathered", "rank_and_world", "tell_unequal"]


_AVAILABLE = torch.distributed.is_available()


def rank_and_world() -> tuple[int, int]:
    """Return this process's number and how many there are; (0, 1) without `torch.distributed`."""
    if _AVAILABLE and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


_told: set[str] = set()


def tell_unequal(sizes: Sequence[int]) -> None:
    """Warn once that processes have parts of a batch of unequal sizes, from the vectors of each."""
    if len(set(sizes)) > 1 and not _told:
        _told.add("unequal")
        warnings.warn(
            f"the processes of this step have {', '.join(map(str, sizes))} vectors: samples are numbered as if all had as many, so that "
            "some of different processes draw the same noise; give each the same number, for example with drop_last=True",
            stacklevel=2,
        )


def gathered(values: Tensor) -> Tensor:
    """Return the values [n] of every process as [world, n], in the order of their ranks; every process must call it."""
    world = rank_and_world()[1]
    if world == 1:
        return values[None]
    out = values.new_empty(world * len(values))
    torch.distributed.all_gather_into_tensor(out, values.contiguous())
    return out.view(world, -1)
