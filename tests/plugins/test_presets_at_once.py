"""Every preset of a device trains in the engine's few calls, with the numbers of the way that takes every step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.config import structure
from ohmlet.errors import OhmletError
from ohmlet.interfaces.device import Device, UnitCell
from ohmlet.optim import AnalogSGD, TrainingStep
from ohmlet.registry import registry

pytest.importorskip("numba")
from ohmlet_kernels.network_step.numba import Network
from ohmlet_kernels.pulsed_update.numba_vectors import Views


def pulsed(name: str) -> bool:
    try:
        cell: Any = structure(name, UnitCell)
    except OhmletError:
        return False
    return isinstance(cell, Device)


DEVICES = [name for name, entries in registry("preset").entries().items() if entries[0].dist == "ohmlet" and pulsed(name)]
AGES = {"capacitor"}
"""Cells that decay between mini-batches, which is a step of its own."""
X = torch.rand(20, 9, generator=torch.Generator().manual_seed(1))
Y = torch.randint(4, (20,), generator=torch.Generator().manual_seed(2))


def trained(device: str, algorithm: str, monkeypatch: pytest.MonkeyPatch, at_once: bool) -> tuple[int, dict[str, Tensor]]:
    """Return how many steps the engine made, and the state afterwards."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 7), nn.Sigmoid(), nn.Linear(7, 4))
    ohmlet.convert(model, ohmlet.build(algorithm=algorithm, device=device).override({"seed": 3}))
    times, learn = [0], Network.learn

    def counted(network: Any) -> int:
        times[0] += 1
        return learn(network)

    monkeypatch.setattr(Network, "learn", counted)
    if not at_once:
        monkeypatch.setattr(Views, "takes", lambda *_: False)
    step = TrainingStep(model, nn.functional.cross_entropy, AnalogSGD(model.parameters(), lr=0.1))
    for first in range(0, 20, 5):
        step(X[first : first + 5], Y[first : first + 5])
    monkeypatch.undo()
    return times[0], model.state_dict()


def test_there_are_presets() -> None:
    assert len(DEVICES) > 25
    assert set(DEVICES) >= AGES


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:the devices of layer")
@pytest.mark.parametrize("algorithm", ["sgd", "agad"])
@pytest.mark.parametrize("device", DEVICES)
def test_same_numbers(device: str, algorithm: str, monkeypatch: pytest.MonkeyPatch) -> None:
    times, once = trained(device, algorithm, monkeypatch, True)
    assert times == (0 if device in AGES else 4)
    none, steps = trained(device, algorithm, monkeypatch, False)
    assert none == 0
    for name, value in once.items():
        assert torch.equal(value, steps[name]), name
