"""Activation checkpointing runs forward passes again inside backward: the same noise, nothing counted twice."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ohmlet

CONFIG = {"tile.training.modifier": "add_normal", "tile.forward.weight_noise": "additive_constant"}


def trained(changes: dict[str, Any], uses: int, reentrant: bool | None) -> tuple[list[Tensor], dict[str, Tensor]]:
    """Return the input gradients and the state after four steps, checkpointed unless `reentrant` is None."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
    ohmlet.convert(model, ohmlet.AnalogConfig.parse("pcm_inference").override({**CONFIG, **changes}))
    optimizer = torch.optim.SGD(model.parameters(), 0.001)
    gradients = []
    for step in range(4):
        x = torch.randn(6, 8, generator=torch.Generator().manual_seed(step)).requires_grad_()
        total = torch.zeros(())
        for use in range(1, uses + 1):
            y = model(use * x) if reentrant is None else checkpoint(model, use * x, use_reentrant=reentrant)
            total = total + y.square().sum()
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        assert x.grad is not None
        gradients.append(x.grad)
    return gradients, {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize(
    ("changes", "uses"),
    [({}, 1), ({}, 3), ({"tile.forward.input_range": {"type": "learned", "init_batches": 2}}, 1)],
    ids=["once", "three times", "learned range"],
)
def test_checkpointed_training_equals_ordinary_training_bit_for_bit(changes: dict[str, Any], uses: int, reentrant: bool) -> None:
    gradients, state = trained(changes, uses, None)
    again, state_again = trained(changes, uses, reentrant)
    for one, other in zip(gradients, again, strict=True):
        assert torch.equal(one, other)
    for name, value in state.items():
        assert torch.equal(value, state_again[name]), name
