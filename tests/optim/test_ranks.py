"""Data parallelism in memory: two processes with half of each batch end with the cells of one process with all of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.optim.ranks import BATCH, STEPS, train

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not torch.distributed.is_available(), reason="this build of torch has no torch.distributed")
def test_two_processes_update_the_cells_as_one(tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-W", "ignore", "-m", "tests.optim.ranks"]
    processes = [
        subprocess.Popen(
            [*command, str(rank), "2", str(tmp_path)],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [process.communicate(timeout=120)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(said)
    alone = train()
    assert int(alone["0.array.in_situ.vectors"]) == STEPS * BATCH
    for rank in range(2):
        (told,) = (tmp_path / f"{rank}.txt").read_text("utf-8").splitlines()
        assert told.startswith("the processes of this step have 5, 3 vectors")
        state = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert state.keys() == alone.keys()
        for name, value in alone.items():
            torch.testing.assert_close(state[name], value, atol=1e-6, rtol=0)
