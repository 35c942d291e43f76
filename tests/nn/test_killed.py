"""A training run that is killed and resumed from its checkpoint ends as one that was not, bit for bit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

RUN = """
import os, sys, time
from pathlib import Path
import torch
from torch import nn
import ohmlet

folder, steps, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
config = {
    "tile": {
        "type": "inference",
        "forward": {
            "dac": {"bits": 7, "rounding": "stochastic"},
            "adc": {"bits": 8, "bound": 8.0},
            "input_range": {"type": "learned", "init_batches": 4},
            "out_noise": 0.05,
            "weight_noise": {"type": "pcm_read", "std": 0.02},
        },
        "training": {"modifier": {"type": "add_normal", "std": 0.08}, "drop_connect": 0.1},
    },
    "mapping": {"max_in": 7},
}
torch.manual_seed(0 if not (folder / "run.pt").exists() else 99)  # a resumed run takes nothing from its own seed
model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 3))
ohmlet.convert(model, config)
optimizer = torch.optim.AdamW(model.parameters(), 0.01)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
first = 0
if (folder / "run.pt").exists():
    state = torch.load(folder / "run.pt", weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    scheduler.load_state_dict(state["scheduler"])
    torch.set_rng_state(state["torch"])  # dropout is torch's
    first = state["step"]
for step in range(first, steps):
    x = torch.randn(10, 12, generator=torch.Generator().manual_seed(step))
    loss = nn.functional.cross_entropy(model(x), torch.arange(10) % 3)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    if step % 5 == 4:
        state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()}
        torch.save({**state, "torch": torch.get_rng_state(), "step": step + 1}, folder / "part")
        os.replace(folder / "part", folder / "run.pt")
    if step == kill_at:
        print("killme", flush=True)
        time.sleep(60)
torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "loss": loss.detach(), "first": first}, folder / "end.pt")
"""


def started(folder: Path, kill_at: int) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, str(folder), "20", str(kill_at)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_run_that_is_resumed_equals_an_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    whole, victim = started(tmp_path / "whole", -1), started(tmp_path / "killed", 12)
    try:
        assert victim.stdout is not None
        assert victim.stdout.readline() == "killme\n", victim.communicate(timeout=60)[1]
        victim.send_signal(signal.SIGKILL)
        victim.communicate(timeout=60)
        assert victim.returncode == -signal.SIGKILL
        assert not (tmp_path / "killed" / "end.pt").exists()
        resumed = started(tmp_path / "killed", -1)
        for process in (whole, resumed):
            said = process.communicate(timeout=120)[1]
            assert process.returncode == 0, said
    finally:
        whole.kill()
        victim.kill()
    expected, found = (torch.load(tmp_path / which / "end.pt", weights_only=True) for which in ("whole", "killed"))
    assert (expected["first"], found["first"]) == (0, 10)
    assert torch.equal(expected["loss"], found["loss"])
    assert expected["model"].keys() == found["model"].keys()
    for name, value in expected["model"].items():
        assert torch.equal(value, found["model"][name]), name
    for index, state in expected["optimizer"]["state"].items():
        assert all(torch.equal(value, found["optimizer"]["state"][index][key]) for key, value in state.items())
    assert int(found["model"]["0.array.trained_samples"]) == 200
    assert int(found["model"]["0.array.steps"]) == 20
