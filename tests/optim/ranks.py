"""One of two processes that train in memory together: `python -m tests.optim.ranks RANK WORLD FOLDER`."""

from __future__ import annotations

import os
import sys
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ohmlet
from ohmlet.optim import AnalogSGD

TILE: dict[str, Any] = {
    "type": "in_memory",
    "update_algorithm": {"type": "sgd", "device": {"type": "soft_bounds", "dw_min": 0.002, "dw_min_std": 0.3}},
    "forward": {"out_noise": 0.05},
    "backward": {"out_noise": 0.05},
}
STEPS, BATCH = 4, 12
X = torch.randn(STEPS, BATCH, 6, generator=torch.Generator().manual_seed(1))


def train(rank: int = 0, world: int = 1) -> dict[str, Any]:
    """Return the state after some steps on a rank's part of each batch, the first part for rank 0."""
    torch.manual_seed(0)
    model: nn.Module = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    ohmlet.convert(model, {"tile": TILE, "seed": 7})
    net = nn.parallel.DistributedDataParallel(model) if world > 1 else model
    optimizer = AnalogSGD(net.parameters(), lr=0.3)
    for xs in X:
        optimizer.zero_grad()
        (net(xs.chunk(world)[rank]) - 0.5).square().mean().backward()
        optimizer.step()
    return model.state_dict()


def unequal(rank: int) -> list[str]:
    """Return the warnings of two steps with 5 samples on one rank and 3 on the other."""
    model: nn.Module = nn.Sequential(nn.Linear(6, 5))
    ohmlet.convert(model, {"tile": TILE, "seed": 7})
    optimizer = AnalogSGD(model.parameters(), lr=0.3)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for xs in X[:2]:
            optimizer.zero_grad()
            model(xs[:5] if rank == 0 else xs[5:8]).square().mean().backward()
            optimizer.step()
    return [str(each.message) for each in told]


def main(rank: int, world: int, folder: Path) -> None:
    """Train as one rank and save the state."""
    store = f"file://{folder / 'meeting'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=world, timeout=timedelta(seconds=60))
    torch.save(train(rank, world), folder / f"{rank}.pt")
    (folder / f"{rank}.txt").write_text("\n".join(unequal(rank)), "utf-8")
    torch.distributed.destroy_process_group()
    # gloo's threads may outlive the interpreter, which then aborts: with plain torch, too, in three of ten runs.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
