"""An analog layer as an ordinary citizen: copies, pickles, states of plain tensors, and runs that resume."""

from __future__ import annotations

import copy
import io
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError

CONFIG: dict[str, Any] = {
    "tile": {
        "type": "inference",
        "forward": {
            "dac": {"bits": 6, "rounding": "stochastic"},
            "adc": {"bits": 8, "bound": 5.0},
            "input_range": {"type": "learned", "init_batches": 2},
            "out_noise": 0.05,
            "weight_noise": {"type": "additive_constant", "std": 0.02},
        },
        "training": {"modifier": {"type": "add_normal", "std": 0.1}, "clip": {"type": "layer_gaussian", "sigma": 2.0}},
    },
    "mapping": {"max_in": 5, "bias": "analog"},
}
X, Y = torch.linspace(-2, 2, 8 * 2 * 16).view(8, 2, 4, 4), torch.arange(8) % 3


def network(seed: int = 0) -> Any:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    return ohmlet.convert(model, CONFIG).model


def trained(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> list[Tensor]:
    losses = []
    for _ in range(steps):
        for x, y in zip(X.split(4), Y.split(4), strict=True):
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            losses.append(loss.detach())
        optimizer.step()
        optimizer.zero_grad()
    return losses


def equal_states(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(
    "made", [lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9), lambda p: torch.optim.AdamW(p, lr=0.01)], ids=["sgd", "adamw"]
)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(made: Any, tmp_path: Path) -> None:
    whole = network()
    expected = trained(whole, made(whole.parameters()), 6)

    first = network()
    optimizer = made(first.parameters())
    losses = trained(first, optimizer, 3)
    ohmlet.save(first, tmp_path / "model.pt")
    torch.save(optimizer.state_dict(), tmp_path / "optimizer.pt")

    resumed = network(seed=99)
    ohmlet.load(resumed, tmp_path / "model.pt")
    optimizer = made(resumed.parameters())
    optimizer.load_state_dict(torch.load(tmp_path / "optimizer.pt", weights_only=True))
    losses += trained(resumed, optimizer, 3)

    assert torch.equal(torch.stack(losses), torch.stack(expected))
    assert equal_states(resumed, whole)
    assert torch.equal(resumed.eval()(X), whole.eval()(X))


def test_the_state_is_plain_tensors_that_load_with_weights_only() -> None:
    model = network()
    trained(model, torch.optim.SGD(model.parameters(), lr=0.1), 2)
    state = model.state_dict()
    assert all(type(value) is Tensor for value in state.values())
    assert {"0.weight", "0.bias", "3.weight", "3.bias", "3.array.keys", "3.array.steps", "3.array.trained_samples"} <= set(state)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    other = network(seed=5)
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(model(X), other(X))


def test_a_digital_state_loads_its_weights() -> None:
    torch.manual_seed(7)
    digital: Any = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    model = network()
    missing, unexpected = model.load_state_dict(digital.state_dict(), strict=False)
    assert not unexpected
    assert all(".array." in name for name in missing)
    assert torch.equal(model[3].weight, digital[3].weight)


@pytest.mark.parametrize("twin", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
def test_a_copy_computes_the_same_and_lives_its_own_life(twin: Any) -> None:
    model = network()
    trained(model, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    other = twin(model)
    assert equal_states(model, other)
    assert torch.equal(model(X), other(X))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trained(other, torch.optim.SGD(other.parameters(), lr=0.1), 1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert int(other[3].array.steps) == 2


def test_a_pickled_model_keeps_its_config() -> None:
    model = network()
    other = pickle.loads(pickle.dumps(model))
    assert other[3].config == model[3].config


def test_the_model_moves_to_another_type() -> None:
    model = network().double()
    y = model(X.double())
    assert y.dtype == torch.float64
    assert model[3].array.steps.dtype == torch.int64


def test_the_config_is_saved_beside_the_state_as_json(tmp_path: Path) -> None:
    model = network()
    ohmlet.save(model, tmp_path / "model.pt")
    saved = json.loads((tmp_path / "model.json").read_text())
    assert saved["schema"] == 1
    assert set(saved["layers"]) == {"0", "3"}
    assert saved["layers"]["3"]["tile"]["forward"]["adc"]["bits"] == 8
    assert ohmlet.AnalogConfig.parse(saved["layers"]["3"]) == model[3].config


def test_loading_under_other_hardware_is_refused_and_names_the_difference(tmp_path: Path) -> None:
    model = network()
    ohmlet.save(model, tmp_path / "model.pt")
    ohmlet.retarget(model, {"tile.forward.adc.bits": 6, "tile.forward.out_noise": 0.1})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    words = r"layer '0' was saved under other hardware: tile.forward.adc.bits was 8 and is 6; tile.forward.out_noise was 0.05 and is 0.1"
    with pytest.raises(ConfigError, match=words):
        ohmlet.load(model, tmp_path / "model.pt")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    ohmlet.retarget(model, {"tile.forward.adc.bits": 8, "tile.forward.out_noise": 0.05})
    ohmlet.load(model, tmp_path / "model.pt")


def test_loading_never_changes_the_config(tmp_path: Path) -> None:
    model = network()
    ohmlet.save(model, tmp_path / "model.pt")
    ohmlet.retarget(model, {"tile.forward.adc.bits": 6})
    with pytest.raises(ConfigError, match=r"tile\.forward\.adc\.bits was 8 and is 6"):
        ohmlet.load(model, tmp_path / "model.pt")
    assert model[3].config.tile.forward.adc.bits == 6


def test_a_state_without_its_config_is_not_loaded_blindly(tmp_path: Path) -> None:
    model = network()
    ohmlet.save(model, tmp_path / "model.pt")
    (tmp_path / "model.json").write_text("[")
    with pytest.raises(ConfigError, match="not a saved config"):
        ohmlet.load(model, tmp_path / "model.pt")
    (tmp_path / "model.json").unlink()
    with pytest.raises(ConfigError, match="nothing says what hardware the state is of"):
        ohmlet.load(model, tmp_path / "model.pt")


def test_a_seed_is_no_difference_in_hardware(tmp_path: Path) -> None:
    model = network()
    ohmlet.save(model, tmp_path / "model.pt")
    torch.manual_seed(0)
    digital = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    other = ohmlet.convert(digital, {**CONFIG, "seed": 5}).model
    ohmlet.load(other, tmp_path / "model.pt")
    assert torch.equal(model(X), other(X))


@pytest.mark.parametrize(
    ("name", "words"),
    [("nowhere.pt", "nowhere.pt: no such file"), ("model.json", "choose another ending")],
)
def test_paths_that_make_no_sense_are_refused(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=words):
        (ohmlet.save if name.endswith("json") else ohmlet.load)(network(), tmp_path / name)


def test_a_state_of_other_layers_is_refused(tmp_path: Path) -> None:
    ohmlet.save(network(), tmp_path / "model.pt")
    other = ohmlet.convert(nn.Sequential(nn.Linear(3, 2)), CONFIG).model
    with pytest.raises(ConfigError, match="saved from analog layers 0, 3; this model has 0"):
        ohmlet.load(other, tmp_path / "model.pt")
