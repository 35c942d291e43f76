"""One of several processes that train a model together, for test_distributed: `python -m tests.nn.ranks RANK WORLD FOLDER`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ohmlet

CONFIG: dict[str, Any] = {
    "tile": {
        "type": "inference",
        "forward": {
            "dac": {"bits": 6, "rounding": "stochastic"},
            "adc": {"bits": 9, "bound": 6.0},
            # A decay that some steps apply and some do not, so that ranks which decided on their own would differ.
            "input_range": {"type": "learned", "init_batches": 2, "init_std": 1.5, "decay": 0.1, "min_unclipped": 0.86},
            "out_noise": 0.05,
            "weight_noise": {"type": "additive_constant", "std": 0.02},
        },
        "training": {"modifier": {"type": "add_normal", "std": 0.05}},
    },
    "mapping": {"max_in": 5},
}
STEPS, BATCH = 6, 16
X = torch.randn(STEPS, BATCH, 8, generator=torch.Generator().manual_seed(1)) * torch.linspace(0.1, 3, BATCH)[:, None]
Y = torch.arange(STEPS * BATCH).view(STEPS, BATCH) % 3


def network(device: str = "cpu") -> Any:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 12), nn.Tanh(), nn.Linear(12, 3))
    if device == "meta":
        model.to("meta")
    return ohmlet.convert(model, CONFIG).model


def train(model: nn.Module, rank: int = 0, world: int = 1, parts: int = 1, after: Callable[[], None] | None = None) -> list[Tensor]:
    """Train on the samples of a rank, consecutive parts of each of so many micro-batches a step."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    losses = []
    for xs, ys in zip(X, Y, strict=True):
        optimizer.zero_grad()
        pieces = [(x.chunk(world)[rank], y.chunk(world)[rank]) for x, y in zip(xs.chunk(parts), ys.chunk(parts), strict=True)]
        for i, (x, y) in enumerate(pieces):
            silent = hasattr(model, "no_sync") and i < len(pieces) - 1
            with model.no_sync() if silent else nullcontext():  # type: ignore[operator]
                loss = nn.functional.cross_entropy(model(x), y)
                (loss / parts).backward()
            losses.append(loss.detach())
        if after is not None:
            after()
        optimizer.step()
    return losses


def whole(state: dict[str, Any]) -> dict[str, Tensor]:
    return {name: getattr(value, "full_tensor", lambda value=value: value)().clone() for name, value in state.items()}


def ddp(rank: int, world: int, parts: int) -> dict[str, Any]:
    model = network()
    losses = train(nn.parallel.DistributedDataParallel(model), rank, world, parts)
    return {"losses": losses, "state": whole(model.state_dict())}


def fsdp(rank: int, world: int, device: str) -> dict[str, Any]:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import distribute_tensor

    model, mesh = network(device), init_device_mesh("cpu", (world,))
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    if device == "meta":
        model.to_empty(device="cpu")
        with torch.no_grad():
            for name, value in network().named_parameters():
                if ".array." not in name:
                    own = model.get_parameter(name)
                    own.copy_(distribute_tensor(value.detach(), own.device_mesh, own.placements))
    shards = {name: parameter.to_local() for name, parameter in model.named_parameters()}
    before = {name: shard.clone() for name, shard in shards.items()}
    written: list[str] = []

    def compare() -> None:
        written.extend(name for name, shard in shards.items() if not torch.equal(shard, before[name]))
        before.clear()
        before.update({name: parameter.to_local().clone() for name, parameter in model.named_parameters()})

    model(X[0].chunk(world)[rank])
    compare()
    model.apply(lambda module: module.restart() if hasattr(module, "restart") else None)
    losses = train(model, rank, world)
    return {"losses": losses, "state": whole(model.state_dict()), "written": written, "local": [len(s) for s in shards.values()]}


def unequal(rank: int, world: int) -> dict[str, Any]:
    """Return what ranges make of batches of 5 and 3 samples, then of 4 and none."""
    model = network()
    for batch, sizes in ((X[0], (5, 3)), (X[1], (4, 0))):
        begin = sum(sizes[:rank])
        model(batch[begin : begin + sizes[rank]])
    return {"state": whole(model.state_dict())}


def main(rank: int, world: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=world, timeout=timedelta(seconds=60)
    )
    results = {
        "ddp": ddp(rank, world, 1),
        "ddp in micro-batches": ddp(rank, world, 2),
        "fsdp": fsdp(rank, world, "cpu"),
        "fsdp from meta": fsdp(rank, world, "meta"),
        "unequal": unequal(rank, world),
    }
    torch.save(results, folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()
    # gloo's threads may outlive the interpreter, which then aborts: with plain torch, too, in three of ten runs.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
