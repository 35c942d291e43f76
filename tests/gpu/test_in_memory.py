"""Layers that learn in memory come out the same on Triton and on the reference."""

from __future__ import annotations

from tests.gpu.where import DEVICE, MARKS  # isort: skip - skips without Triton

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConfigError
from ohmlet.optim import AnalogSGD

pytestmark = MARKS

ALGORITHMS: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "device": {"type": "soft_bounds", "dw_min": 0.02}},
    "ttv2": {"type": "ttv2"},
    "lrtt": {"type": "lrtt", "rank": 2, "transfer_every": 1, "reinit_gain": 1.0},
}


def trained(tile: dict[str, Any], algorithm: str, **engine: str) -> dict[str, torch.Tensor]:
    """Return the state of a small network after two steps."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(7, 4))
    x, y = torch.randn(3, 7), torch.randn(3, 4)
    config = {
        "tile": {**tile, "update_algorithm": ALGORITHMS[algorithm], "forward": {"out_noise": 0.02}},
        "mapping": {"omega": 0.2, "scales": "columnwise"},
        "seed": 5,
        **engine,
    }
    ohmlet.convert(model, config)
    model.to(DEVICE).train()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (model(x.to(DEVICE)) - y.to(DEVICE)).square().mean().backward()
        optimizer.step()
    return {name: value.cpu() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_is_the_same_on_both_engines(algorithm: str) -> None:
    expected = trained({"type": "in_memory"}, algorithm, engine="reference")
    found = trained({"type": "triton_in_memory"}, algorithm)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_a_conflicting_engine_is_refused() -> None:
    with pytest.raises(ConfigError, match="engine 'reference' conflicts with the tile, which runs on 'triton'"):
        trained({"type": "triton_in_memory"}, "sgd", engine="reference")
