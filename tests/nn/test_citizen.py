"""What an ordinary torch layer would do: autocast, seeds of layers made by hand, rules that cover what is inside a module."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConfigError, ConversionError
from ohmlet.nn import AnalogLinear


@pytest.mark.parametrize("tile", ["ideal", "inference"])
def test_autocast_gives_the_lower_precision_forward_and_full_gradients(tile: str) -> None:
    model: Any = ohmlet.convert(nn.Linear(6, 4), {"tile": tile}).model
    x = torch.randn(3, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = model(x)
    assert y.dtype == torch.bfloat16
    # bfloat16 keeps eight bits.
    assert torch.allclose(y.float(), nn.functional.linear(x, model.weight, model.bias), atol=0.05)
    y.sum().backward()
    assert model.weight.grad.dtype == torch.float32


def test_unnamed_layers_with_one_seed_are_refused_because_they_would_share_their_noise() -> None:
    config = {"tile": "inference", "seed": 3}
    with pytest.raises(ConfigError, match=r"the config states seed 3, and layers without a name would all draw the same noise: pass name="):
        AnalogLinear(4, 2, config=config)
    first, second = (AnalogLinear(4, 2, config=config, name=name) for name in ("a", "b"))
    assert not torch.equal(first.array.keys, second.array.keys)
    assert torch.equal(first.array.keys, AnalogLinear(4, 2, config=config, name="a").array.keys)


def test_a_rule_on_a_module_covers_what_is_inside_it() -> None:
    model = nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), "encoders": nn.Linear(4, 2)})
    report = ohmlet.convert(model, {"tile": "ideal"}, {"encoder": "digital"})
    assert [row.name for row in report.of("analog")] == ["encoders"]


def test_a_rule_that_changes_nothing_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"rules\['0'\] changes nothing"):
        ohmlet.convert(nn.Sequential(nn.Linear(4, 4)), {"tile": "ideal"}, {"0": {}})
