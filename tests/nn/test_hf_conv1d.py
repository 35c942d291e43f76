"""The linear layer of Hugging Face's GPT-2: Ohmlet finds it when transformers is there and never asks for it otherwise."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.nn import AnalogHFConv1D
from tests.nn.agreement import IDEAL, MAPPINGS, agree, analog

utils: Any = pytest.importorskip("transformers.pytorch_utils", reason="needs transformers, which `pip install ohmlet[dev]` brings")


def conv1d(outs: int = 5, ins: int = 7) -> Any:
    layer = utils.Conv1D(outs, ins)
    layer.bias.data.normal_()
    return layer


@pytest.mark.parametrize("shape", [(7,), (4, 7), (2, 3, 7), (2, 3, 4, 7)], ids=str)
@pytest.mark.parametrize("mapping", MAPPINGS, ids=str)
def test_on_ideal_crossbars_it_equals_the_digital_layer(mapping: dict[str, Any], shape: tuple[int, ...]) -> None:
    digital = conv1d()
    agree(digital, analog(digital, **mapping), torch.randn(shape))


def test_its_weight_stays_inputs_by_outputs_and_its_crossbar_is_outputs_by_inputs() -> None:
    digital = conv1d()
    layer: Any = ohmlet.convert(nn.Sequential(digital), IDEAL).model[0]  # type: ignore[index]
    assert isinstance(layer, AnalogHFConv1D)
    assert layer.weight is digital.weight
    assert layer.weight.shape == (7, 5)
    assert (layer.array.out_features, layer.array.in_features) == (5, 7)


def test_back_to_digital_is_the_same_layer() -> None:
    digital = conv1d()
    model: Any = nn.Sequential(digital)
    x = torch.randn(3, 7)
    expected = digital(x)
    ohmlet.convert(model, "pcm_inference")
    ohmlet.to_digital(model)
    assert type(model[0]) is utils.Conv1D
    assert model[0].weight is digital.weight
    assert model[0].bias is digital.bias
    assert torch.equal(model[0](x), expected)


def test_it_is_built_like_the_digital_layer_and_can_be_copied() -> None:
    layer = AnalogHFConv1D(5, 7, config="pcm_inference", seed=1, name="layer")
    x = torch.randn(2, 3, 7)
    first, second = copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))
    assert torch.equal(first(x), second(x))
    with pytest.raises(ValueError, match=r"expected inputs \[..., 7\], got \(2, 5\)"):
        layer(torch.zeros(2, 5))


def test_a_chip_of_it() -> None:
    chip = ohmlet.program(ohmlet.convert(nn.Sequential(conv1d(), nn.ReLU(), conv1d(2, 5)), "pcm_inference").model, 3, seed=1)
    x = torch.randn(4, 6, 7)
    one_by_one = torch.stack([chip.at("1 h").instance(index)(x) for index in range(3)])
    assert torch.allclose(chip.at("1 h")(x), one_by_one, atol=1e-5)


def test_rules_know_it_by_its_type_and_a_subclass_stays_digital() -> None:
    class Mine(utils.Conv1D):  # type: ignore[misc]
        pass

    model = nn.ModuleDict({"a": conv1d(), "b": conv1d(), "c": Mine(5, 7)})
    report = ohmlet.convert(model, IDEAL, {"a": "digital", "type:Conv1D": {"mapping.max_in": 2}})
    rows = {row.name: row for row in report.rows}
    assert (rows["a"].kind, rows["b"].kind, rows["b"].crossbars) == ("digital", "analog", 4)
    assert rows["c"].kind == "missing"


def test_ohmlet_does_not_import_transformers() -> None:
    program = (
        "import sys, torch, ohmlet; ohmlet.convert(torch.nn.Sequential(torch.nn.Linear(2, 2)), {'tile': 'ideal'}); "
        "assert 'transformers' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
