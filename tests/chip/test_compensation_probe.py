"""Drift compensation reads with full-scale inputs, whatever number stands for full scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet


def factor(input_range: Any) -> float:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(48, 24))
    config = ohmlet.AnalogConfig.parse("pcm_inference").override({"tile.forward.input_range": input_range, "seed": 1})
    ohmlet.convert(model, config)
    state = ohmlet.program(model, 4).at("1 year").states["0"]
    assert state.factors[0] is not None
    return float(state.factors[0].mean())


@pytest.mark.parametrize(
    "input_range", [{"type": "fixed", "value": 20.0}, {"type": "learned", "init": 5.0}, {"type": "fixed", "value": 0.1}]
)
def test_the_factor_does_not_depend_on_the_input_range(input_range: Any) -> None:
    # A one-hot input of 1 against a range of 20 would drown in the ADC's steps and compensate a sixth of the drift.
    assert factor(input_range) == pytest.approx(factor("abs_max"), rel=0.02)
