"""Back to digital, but for some layers."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConversionError


def model() -> nn.Module:
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3)), nn.Linear(3, 2))
    return ohmlet.convert(made, {"preset": "pcm_inference", "seed": 1}).model


@pytest.mark.parametrize(
    ("keep", "analog"),
    [((), set()), (["1"], {"1.0", "1.1"}), ("1.1", {"1.1"}), (["0", "2"], {"0", "2"}), (["*"], {"0", "1.0", "1.1", "2"})],
)
def test_kept_layers_stay_analog_and_all_keep_their_parameters(keep: list[str] | str, analog: set[str]) -> None:
    made = model()
    weights = {name: parameter.data_ptr() for name, parameter in made.named_parameters()}
    ohmlet.to_digital(made, keep)
    assert {name for name, module in made.named_modules() if isinstance(module, ohmlet.nn.AnalogLayer)} == analog
    assert {name: parameter.data_ptr() for name, parameter in made.named_parameters()} == weights


def test_a_kept_layer_computes_as_before() -> None:
    made, x = model(), torch.rand(5, 4)
    kept = ohmlet.to_digital(copy.deepcopy(made), ["0"])
    first, second = (ohmlet.program(each, 2, seed=1).at(0).instance(1) for each in (kept, made))
    assert torch.equal(first.get_submodule("0")(x), second.get_submodule("0")(x))
    assert not torch.equal(first(x), second(x))


def test_a_pattern_that_matches_no_analog_layer_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"keep='frist' matches no analog layer"):
        ohmlet.to_digital(model(), ["frist"])
