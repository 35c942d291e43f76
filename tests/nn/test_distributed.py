"""Two processes that train one model, each on half of every batch, against one process that trains on all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.nn.ranks import BATCH, STEPS, X, network, train

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this build of torch has no torch.distributed")
ROOT = Path(__file__).parents[2]
WORLD = 2


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Run all that is compared here in two processes, once; they take longest to start."""
    folder = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
    }
    command = [sys.executable, "-W", "ignore", "-m", "tests.nn.ranks"]
    processes = [
        subprocess.Popen([*command, str(rank), str(WORLD), str(folder)], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for rank in range(WORLD)
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * WORLD, "\n".join(said)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(WORLD)]


@pytest.fixture(scope="module")
def alone() -> tuple[list[Tensor], dict[str, Tensor]]:
    model = network()
    losses = train(model)
    return losses, model.state_dict()


HOW = ["ddp", "fsdp", "fsdp from meta"]


@pytest.mark.parametrize("how", HOW)
def test_two_processes_end_with_the_weights_ranges_and_counts_of_one(how: str, ranks: list[Any], alone: Any) -> None:
    for rank in ranks:
        state = rank[how]["state"]
        assert state.keys() == alone[1].keys()
        for name, expected in alone[1].items():
            close = torch.equal if expected.dtype == torch.int64 else lambda a, b: torch.allclose(a, b, atol=2e-6)
            assert close(state[name], expected), name
    assert int(state["0.array.steps"]) == STEPS
    assert int(state["0.array.trained_samples"]) == STEPS * BATCH


@pytest.mark.parametrize("how", HOW)
def test_the_mean_of_the_losses_of_two_processes_is_the_loss_of_one(how: str, ranks: list[Any], alone: Any) -> None:
    means = torch.stack([torch.stack(rank[how]["losses"]) for rank in ranks]).mean(0)
    assert torch.allclose(means, torch.stack(alone[0]), atol=2e-6)


def test_noise_and_ranges_of_this_comparison_matter(ranks: list[Any]) -> None:
    state = ranks[0]["ddp"]["state"]
    shifts = [value for name, value in state.items() if name.endswith("shift")]
    assert len(shifts) == 5
    assert all(value.abs() > 1e-3 for value in shifts)
    other = network()
    other[0].array.trained_samples += 1
    train(other)
    assert not torch.allclose(other[0].weight, state["0.weight"], atol=1e-3)


def test_micro_batches_of_two_processes_are_those_of_one(ranks: list[Any]) -> None:
    single = network()
    train(single, parts=2)
    for rank in ranks:
        state = rank["ddp in micro-batches"]["state"]
        assert all(torch.allclose(state[name], value, atol=2e-6) for name, value in single.state_dict().items())
    assert int(state["2.array.steps"]) == STEPS


def test_a_forward_pass_leaves_sharded_parameters_alone(ranks: list[Any]) -> None:
    for rank in ranks:
        assert rank["fsdp"]["written"] == []
        assert sum(rank["fsdp"]["local"]) < sum(parameter.shape[0] for parameter in network().parameters())


def test_ranges_follow_all_inputs_whatever_the_sizes_of_the_parts(ranks: list[Any]) -> None:
    first = network()[0].array.blocks[0].last_in
    spreads = torch.stack([X[0][:8, :first].std(correction=0), X[1][:4, :first].std(correction=0)])
    for rank in ranks:
        found = rank["unequal"]["state"]
        assert torch.allclose(found["0.array.crossbars.0.forward_pass.range.start"], 1.5 * spreads.mean())
        assert int(found["0.array.crossbars.0.forward_pass.range.batches"]) == 2
