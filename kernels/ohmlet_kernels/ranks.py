"""The processes that train one model together, each on its part of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gathered", "rank_and_world"]


def rank_and_world() -> tuple[int, int]:
    """Return this process's number and how many there are; (0, 1) without `torch.distributed`."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def gathered(values: Tensor) -> Tensor:
    """Return the values [n] of every process as [world, n], in the order of their ranks; every process must call it."""
    world = rank_and_world()[1]
    if world == 1:
        return values[None]
    out = values.new_empty(world * len(values))
    torch.distributed.all_gather_into_tensor(out, values.contiguous())
    return out.view(world, -1)
