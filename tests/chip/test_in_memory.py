"""A chip of layers that learned in memory: the same cells, nothing is programmed, drift goes on from where training ended."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.chip import WriteVerify
from ohmlet.errors import ConfigError
from ohmlet.optim import AnalogSGD

TILE = {
    "type": "in_memory",
    "update_algorithm": {"type": "sgd", "device": {"type": "soft_bounds", "dw_min": 0.002}},
    "noise_model": {"type": "pcm", "read_noise_scale": 0.0},
    "drift_compensation": "global",
}
X = torch.randn(30, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def model() -> Any:
    torch.manual_seed(0)
    made: Any = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    ohmlet.convert(made, {"tile": TILE, "seed": 7})
    optimizer = AnalogSGD(made.parameters(), lr=0.2)
    for _ in range(20):
        optimizer.zero_grad()
        (made(X) - 0.5).square().mean().backward()
        optimizer.step()
    return made.eval()


def test_the_first_read_sees_what_training_left(model: Any) -> None:
    chip = ohmlet.program(model, instances=3, seed=1)
    digital = ohmlet.to_digital(copy.deepcopy(model))
    with torch.no_grad():
        torch.testing.assert_close(chip.at("0 s", compensated=False)(X), digital(X).expand(3, -1, -1), atol=1e-5, rtol=1e-4)


def test_cells_drift_by_the_noise_model(model: Any) -> None:
    chip = ohmlet.program(model, instances=2, seed=1)
    conductances = [chip.layers["0"].conductances(0, t) for t in (0.0, 3.0e7)]
    programmed = conductances[0] > 0.5
    assert bool((conductances[1] < conductances[0])[programmed].float().mean() > 0.95)
    # g_g ~ (t / t_0)^-nu with nu of some hundredths: a year takes a good part.
    ratio = float((conductances[1] / conductances[0])[programmed].mean())
    assert 0.2 < ratio < 0.8


def test_training_can_go_on_after_a_chip_was_made(model: Any) -> None:
    before = model[0].weight.clone()
    ohmlet.program(model, instances=2, seed=1).at("1 year")(X)
    assert torch.equal(before, model[0].weight)


def test_cells_are_not_written_again(model: Any) -> None:
    with pytest.raises(ConfigError, match="its cells hold their conductances already"):
        ohmlet.program(model, instances=2, seed=1, write=WriteVerify())
