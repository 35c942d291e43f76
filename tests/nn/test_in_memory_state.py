"""What layers that learn in memory keep and hand over: other configs, digital models, names of weights."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConversionError
from ohmlet.optim import AnalogSGD

DEVICE: dict[str, Any] = {"type": "soft_bounds", "dw_min": 0.002}
CONFIG: dict[str, Any] = {"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": DEVICE}}, "seed": 3}
X = torch.randn(20, 6, generator=torch.Generator().manual_seed(1))


def network(config: Any = CONFIG) -> Any:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    ohmlet.convert(model, config)
    return model


def trained(model: Any, steps: int = 3) -> Any:
    optimizer = AnalogSGD(model.parameters(), lr=0.2)
    for _ in range(steps):
        optimizer.zero_grad()
        (model(X) - 0.5).square().mean().backward()
        optimizer.step()
    return model


def test_a_digital_model_takes_the_weights_and_trains_again() -> None:
    model = trained(network())
    weight = model[0].weight.detach().clone()
    digital: Any = ohmlet.to_digital(model)
    assert torch.equal(digital[0].weight, weight)
    assert all(parameter.requires_grad for parameter in digital.parameters())


def test_another_periphery_keeps_the_cells() -> None:
    model = trained(network())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    config = ohmlet.AnalogConfig.parse({key: value for key, value in CONFIG.items() if key != "seed"})
    ohmlet.retarget(model, config.override({"tile.forward.out_noise": 0.1}))
    after = model.state_dict()
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_other_devices_take_the_weights_over() -> None:
    model = trained(network())
    weight = model[0].weight.detach().clone()
    wider = {"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": {**DEVICE, "w_max": 2.0, "w_min": -2.0}}}}
    ohmlet.retarget(model, wider)
    array = model[0].array.crossbars[0].algorithms[0].arrays["device"]
    assert float(array.cell_w_max.mean()) > 1.5
    torch.testing.assert_close(model[0].weight, weight)


def test_training_in_memory_can_follow_hardware_aware_training_and_lead_to_inference() -> None:
    model = network("pcm_inference")
    trained(model)
    ohmlet.retarget(model, CONFIG)
    assert not model[0].weight.requires_grad
    trained(model)
    ohmlet.retarget(model, "pcm_inference")
    assert model[0].weight.requires_grad
    trained(model)


def test_weights_are_set_by_their_names() -> None:
    model: Any = nn.Sequential(nn.LSTM(6, 4))
    ohmlet.convert(model, CONFIG)
    model[0].set_weights(weight_ih_l0=torch.full((16, 6), 0.1))
    torch.testing.assert_close(model[0].weight_ih_l0, torch.full((16, 6), 0.1))
    with pytest.raises(ConversionError, match=r"has no weight \[16, 6\]; it has weight_ih_l0 \[16, 6\]"):
        model[0].set_weights(torch.zeros(16, 6))


def test_weights_on_the_meta_device_are_refused() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(6, 5))
    with pytest.raises(ConversionError, match="load them first"):
        ohmlet.convert(model, CONFIG)


def test_a_conversion_that_fails_leaves_weights_as_they_were() -> None:
    """Cells take what they can hold of the first layer's weights before the second layer is refused."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 3))
    with torch.no_grad():
        model[0].weight.mul_(9)
        model[1].weight[0, 0] = float("nan")
    before = model[0].weight.detach().clone()
    with pytest.warns(UserWarning, match="layer '0' hold"), pytest.raises(ConversionError, match="not finite"):
        ohmlet.convert(model, CONFIG)
    assert torch.equal(model[0].weight, before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_weight_in_two_crossbars_is_refused() -> None:
    model: Any = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    model[1].weight = model[0].weight
    with pytest.raises(ConversionError, match="layers '0' and '1' share a weight, and cells that learn in memory cannot be in two"):
        ohmlet.convert(model, CONFIG)
    ohmlet.convert(model, CONFIG, {"1": "digital"})
    assert model[1].weight is model[0].weight


@pytest.mark.parametrize("kind", ["learned", "fixed"])
def test_input_ranges_are_calibrated(kind: str) -> None:
    tile = CONFIG["tile"] | {"forward": {"input_range": kind}}
    model = network({"tile": tile, "seed": 3})
    assert ohmlet.calibrate(model, [X], quantile=1.0, exact=True).rows[0].after == float(X.abs().max())
    assert float(model[0].array.crossbars[0].full_scale()) == pytest.approx(float(X.abs().max()))
    trained(model)


def test_seeds_make_devices() -> None:
    first, again, other = network(), network(), network(CONFIG | {"seed": 4})
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    name = "0.array.crossbars.0.algorithms.0.arrays.device.cell_w_max"
    assert not torch.equal(first.state_dict()[name], other.state_dict()[name])
    assert not torch.equal(copy.deepcopy(first)[0].array.keys, other[0].array.keys)
