"""Tile `circuit` gives the same numbers on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

LOOSE = {"type": "surrogate", "tolerance": 1.0}
PAIR = {"type": "single_pair", "g_min_uS": 10.0, "g_max_uS": 100.0}
OXIDE = {"device": "metal_oxide", "conductance_converter": PAIR}


@pytest.mark.parametrize(
    "settings",
    [
        {"layout": "rows"},
        {"read_bandwidth": 1e8, "layout": "columns", **OXIDE},
        {"solve": LOOSE, **OXIDE},
    ],
)
def test_outputs_and_gradients(settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    weight, x = torch.rand(12, 20) - 0.5, torch.rand(7, 20)
    found = []
    for device in ("cpu", "cuda"):
        layer = nn.Linear(20, 12)
        with torch.no_grad():
            layer.weight.copy_(weight)
            layer.bias.zero_()
        tile = {"type": "circuit", "wires": {"r_word": 20.0, "r_bit": 30.0, "r_sense": 10.0}, **settings}
        model = ohmlet.convert(nn.Sequential(layer), {"tile": tile, "seed": 0}).model.to(device).eval()
        y = model(x.to(device))
        (gradient,) = torch.autograd.grad(y.square().sum(), layer.weight)
        found.append((y.detach().cpu(), gradient.cpu()))
    for gpu, cpu in zip(*reversed(found), strict=True):
        torch.testing.assert_close(gpu, cpu, rtol=1e-4, atol=1e-5)
