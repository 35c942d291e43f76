"""Programming: what a chip holds, what it refuses, and that the trained model never notices."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ohmlet
from ohmlet.errors import ConfigError, ConversionError, OrderError, UnprogrammedWarning
from ohmlet.nn import AnalogLinear
from ohmlet_kernels.noise import Stream, key
from tests.oracle import pcm as oracle

PCM: dict[str, Any] = {
    "tile": {"type": "inference", "forward": {"out_noise": 0.02}, "noise_model": "pcm", "drift_compensation": "global"},
    "mapping": {"max_in": 10},
}
X = torch.linspace(-1, 1, 6 * 2 * 16).view(6, 2, 4, 4)


def network(config: Any = PCM, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    return ohmlet.convert(model, config).model


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def unchanged(model: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    after = model.state_dict()
    return after.keys() == before.keys() and all(torch.equal(value, before[name]) for name, value in after.items())


def test_a_programmed_device_is_the_oracles_given_the_same_normals() -> None:
    torch.manual_seed(0)
    layer = AnalogLinear(5, 3, config={**PCM, "mapping": {}}, name="fc", dtype=torch.float64)
    chip = ohmlet.program(nn.ModuleDict({"fc": layer}), 2, seed=7)
    crossbar = chip.layers["fc"].crossbars[0]
    scale = layer.weight.detach().abs().amax(1, keepdim=True)
    w = (layer.weight / scale).detach()
    assert torch.allclose(crossbar.scale, scale)
    assert crossbar.g.shape == (2, 2, 3, 5)
    at = chip.layers["fc"].conductances(0, 60.0)
    for instance in range(2):
        stream = torch.tensor(key(7, "fc", 0, 0, instance))
        for device, sign in enumerate((1, -1)):
            event = torch.tensor([device])
            programming, exponent = (Stream(stream, None, event, "program").normal(what, w) for what in ("programming", "drift exponent"))
            reading = Stream(stream, None, event, f"read {(60.0).hex()}").normal("read", w)
            for i in range(3):
                for j in range(5):
                    target = 25.0 * max(sign * float(w[i, j]), 0.0)
                    g = oracle.programmed(target, 25.0, float(programming[i, j]))
                    nu = oracle.exponent(target, 25.0, float(exponent[i, j]))
                    assert float(crossbar.target[device, i, j]) == pytest.approx(target, rel=1e-12, abs=1e-12)
                    assert float(crossbar.g[device, instance, i, j]) == pytest.approx(g, rel=1e-12, abs=1e-12)
                    read = oracle.read(oracle.drifted(g, nu, 60.0), g, 25.0, 60.0, float(reading[i, j]))
                    assert float(at[device, instance, i, j]) == pytest.approx(read, rel=1e-12, abs=1e-12)


def test_programming_and_looking_leave_the_trained_model_untouched() -> None:
    model = network()
    model(X).sum().backward()
    before, gradient = state_of(model), model[3].weight.grad.clone()
    generator = torch.get_rng_state()
    chip = ohmlet.program(model, 3, seed=1)
    chip.at("1 h")(X)
    chip.at(0).instance(1)(X)
    chip.at("1 day").accuracy([(X, torch.arange(6) % 3)])
    assert unchanged(model, before)
    assert torch.equal(model[3].weight.grad, gradient)
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)


def test_training_on_leaves_the_chip_as_it_was_programmed() -> None:
    model = network()
    chip = ohmlet.program(model, 2, seed=1)
    expected = chip.at("1 h")(X)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(X).square().sum().backward()
    optimizer.step()
    ohmlet.retarget(model, {"tile": "ideal"})
    assert torch.equal(chip.at("1 h")(X), expected)


def test_programming_the_same_model_twice_with_one_seed_makes_the_same_chip() -> None:
    model = network()
    first, second, other = (ohmlet.program(model, 2, seed=seed).at("1 h")(X) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_the_seed_of_a_chip_is_given_or_the_configs_or_torchs() -> None:
    seeded, drawn = network({**PCM, "seed": 8}), network()
    assert ohmlet.program(seeded, seed=5).seed == 5
    assert ohmlet.program(seeded).seed == 8
    torch.manual_seed(3)
    first = ohmlet.program(drawn).seed
    second = ohmlet.program(drawn).seed
    assert first != second
    torch.manual_seed(3)
    assert ohmlet.program(drawn).seed == first


@pytest.mark.parametrize("seed", ["1", 1.5, True], ids=str)
def test_a_seed_that_makes_no_sense_is_refused(seed: Any) -> None:
    with pytest.raises(ConfigError, match="seed must be a whole number, got"):
        ohmlet.program(network(), seed=seed)


def test_numpys_integers_are_seeds_like_pythons() -> None:
    model = network()
    seed: Any = np.int64(3)
    assert torch.equal(ohmlet.program(model, seed=seed).at(1)(X), ohmlet.program(model, seed=3).at(1)(X))


def test_an_instance_is_the_same_however_many_there_are() -> None:
    model = network()
    few, many = ohmlet.program(model, 2, seed=1).at("1 h")(X), ohmlet.program(model, 5, seed=1).at("1 h")(X)
    # Products of other sizes are summed in another order.
    assert torch.allclose(few, many[:2], atol=1e-5)


def test_instances_differ_in_every_device() -> None:
    chip = ohmlet.program(network(), 4, seed=1)
    for layer in chip.layers.values():
        for crossbar in layer.crossbars:
            programmed = crossbar.g[:, :, crossbar.target[0] > 1.0] if crossbar.target.ndim == 3 else crossbar.g
            assert all(not torch.equal(programmed[:, i], programmed[:, j]) for i in range(4) for j in range(i))
            assert crossbar.coefficients is not None
            assert len(crossbar.coefficients.flatten().unique()) > 0.99 * crossbar.coefficients.numel()


def test_every_crossbar_of_a_model_has_errors_of_its_own() -> None:
    model: Any = nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False))
    model[1].weight = model[0].weight
    ohmlet.convert(model, {**PCM, "mapping": {"max_in": 4, "max_out": 4, "scales": "tilewise"}})
    model[0].weight.data.fill_(1.0)
    chip = ohmlet.program(model, 1, seed=1)
    held = [crossbar.g[0, 0] for layer in chip.layers.values() for crossbar in layer.crossbars]
    assert len(held) == 8
    assert all(not torch.equal(held[i], held[j]) for i in range(8) for j in range(i))


def test_a_chip_survives_pickling() -> None:
    chip = ohmlet.program(network(), 2, seed=1)
    again = pickle.loads(pickle.dumps(chip))
    assert repr(again) == repr(chip) == "<2 chip instances of 2 layers on 4 crossbars>"
    assert torch.equal(again.at("1 day")(X), chip.at("1 day")(X))
    assert torch.equal(copy.deepcopy(chip).at(5)(X), chip.at(5)(X))
    view = chip.at(7)
    assert torch.equal(pickle.loads(pickle.dumps(view))(X), view(X))


@pytest.mark.parametrize("instances", [0, -1, True, 1.5, "3", None, float("nan")], ids=str)
def test_a_number_of_instances_that_makes_no_sense_is_refused(instances: Any) -> None:
    with pytest.raises(ConfigError, match="instances must be a whole number of at least 1, got"):
        ohmlet.program(network(), instances)


def test_a_digital_model_cannot_be_programmed() -> None:
    with pytest.raises(OrderError, match=r"program needs a model with analog layers; ohmlet.convert\(model, config\) makes them"):
        ohmlet.program(nn.Sequential(nn.Linear(3, 2)))


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (lambda chip: chip, "this is a chip already; program takes the model that was trained"),
        (lambda chip: chip.at(1), "this is a chip already"),
        (lambda chip: chip.at(1).instance(0), "takes the model that was trained, not a chip made from it"),
        (lambda chip: chip.at(1).model, "takes the model that was trained, not a chip made from it"),
    ],
    ids=["chip", "view", "instance", "view's model"],
)
@pytest.mark.parametrize(
    "order",
    [
        ohmlet.program,
        lambda model: ohmlet.program(model, seed=1),
        lambda model: ohmlet.retarget(model, PCM),
        ohmlet.to_digital,
        lambda model: ohmlet.save(model, "x.pt"),
    ],
    ids=["program", "program with seed", "retarget", "to_digital", "save"],
)
def test_a_chip_is_not_a_model_that_was_trained(order: Any, part: Any, words: str) -> None:
    chip = ohmlet.program(network(), seed=1)
    expected = chip.at(1)(X)
    with pytest.raises(OrderError, match=f"({words}|takes the model that was trained, a torch.nn.Module)"):
        order(part(chip))
    assert torch.equal(chip.at(1)(X), expected)


@pytest.mark.parametrize(
    "config", [{"tile": "ideal"}, {"tile": "inference"}, {"tile": {"type": "inference", "noise_model": None}}], ids=str
)
def test_a_tile_without_a_noise_model_cannot_be_programmed(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"layer '0' cannot be programmed: its tile has no noise_model; retarget the model"):
        ohmlet.program(network(config))


def test_one_layer_without_a_noise_model_is_named() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    ohmlet.convert(model, PCM, {"1": {"tile": "ideal"}})
    with pytest.raises(ConfigError, match="layer '1' cannot be programmed"):
        ohmlet.program(model)


def test_weights_beyond_a_crossbars_range_are_refused() -> None:
    model = network({**PCM, "mapping": {"scales": "none"}})
    model[3].weight.data[0, 0] = 1.7
    with pytest.raises(ConfigError, match=r"layer '3': weights reach 1.7, a crossbar's range is 1; set mapping.scales"):
        ohmlet.program(model)


@pytest.mark.parametrize("which", ["weight", "bias"])
def test_a_model_that_diverged_is_not_programmed(which: str) -> None:
    model = network()
    getattr(model[3], which).data.view(-1)[0] = float("nan")
    with pytest.raises(ConversionError, match=f"layer '3' cannot be programmed: its {which} holds 1 values that are not finite"):
        ohmlet.program(model)


def test_evaluating_before_programming_warns_once() -> None:
    model = network().eval()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            model(X)
    assert [warning.category for warning in caught] == [UnprogrammedWarning]
    assert "optimistic; ohmlet.program(model) makes chips" in str(caught[0].message)


@pytest.mark.filterwarnings("error")
def test_only_evaluating_before_programming_warns() -> None:
    model = network()
    model(X)
    chip = ohmlet.program(model, 2, seed=1)
    chip.at(1)(X)
    chip.at(1).instance(0)(X)
    for config in ({"tile": "ideal"}, {"tile": "inference"}):
        network(config).eval()(X)
    with pytest.warns(UnprogrammedWarning):
        model.eval()(X)


def test_analog_bias_is_programmed_too() -> None:
    model = network({**PCM, "mapping": {"bias": "analog"}})
    chip = ohmlet.program(model, 1, seed=1)
    assert chip.layers["3"].crossbars[0].target.shape == (2, 3, 17)
    assert chip.layers["0"].crossbars[0].target.shape == (2, 2, 2, 10)


def test_clipped_weights_are_what_is_programmed() -> None:
    config = {"tile": {**PCM["tile"], "training": {"clip": {"type": "fixed_value", "value": 0.1}}}, "mapping": {"scales": "tilewise"}}
    chip = ohmlet.program(network(config), 1, seed=1)
    assert float(chip.layers["3"].crossbars[0].scale) == pytest.approx(0.1)
