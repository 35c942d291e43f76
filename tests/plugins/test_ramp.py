"""Noise that grows over the first optimizer steps, by the layer's own count of them."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.nn import AnalogLinear
from ohmlet_tiles.ramp import Ramp


def linear(training: dict[str, Any], **forward: Any) -> AnalogLinear:
    torch.manual_seed(0)
    tile = {"type": "inference", "forward": {"input_range": "none", **forward}, "training": training}
    config = {"tile": tile, "mapping": {"scales": "none"}, "seed": 4}
    return AnalogLinear(6, 4, bias=False, config=config, name="layer", dtype=torch.float64)


def after(layer: AnalogLinear, steps: int) -> AnalogLinear:
    layer.array.steps.fill_(steps)
    return layer


X = torch.eye(6, dtype=torch.float64)
"""Inputs that read the weights in use, as the columns of y."""


@pytest.mark.parametrize(
    ("ramp", "expected"),
    [
        (Ramp(steps=4), [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]),
        (Ramp(steps=4, start=0.2), [0.2, 0.4, 0.6, 0.8, 1.0, 1.0]),
        (Ramp(steps=4, shape="cosine"), [0.0, (1 - math.sqrt(0.5)) / 2, 0.5, (1 + math.sqrt(0.5)) / 2, 1.0, 1.0]),
        (Ramp(steps=1), [0.0, 1.0, 1.0]),
    ],
)
def test_strength_grows_as_stated_and_stays(ramp: Ramp, expected: list[float]) -> None:
    found = [ramp.strength(torch.tensor([step])) for step in range(len(expected))]
    assert [float(f) for f in found if f is not None] == pytest.approx(expected)
    assert ramp.strength(None) is None


@pytest.mark.parametrize("kind", ["add_normal", "mult_normal", "poly"])
def test_for_additive_noise_the_strength_multiplies_std(kind: str) -> None:
    ramped = linear({"modifier": {"type": kind, "std": 0.4}, "ramp": {"steps": 8}})
    for step in (0, 2, 6, 8, 50):
        weaker = linear({"modifier": {"type": kind, "std": max(0.4 * min(step / 8, 1), 1e-14)}})
        assert torch.allclose(after(ramped, step)(X), after(weaker, step)(X), atol=1e-12)


@pytest.mark.parametrize("kind", ["discretize", "dorefa", "prog_noise", "pcm_noise"])
def test_other_modifiers_are_blended_in_and_are_themselves_at_the_end(kind: str) -> None:
    ramped, plain = linear({"modifier": kind, "ramp": {"steps": 8}}), linear({"modifier": kind})
    clean = X @ ramped.weight.T
    assert torch.allclose(after(ramped, 0)(X), clean)
    for step in (2, 7):
        expected = clean + step / 8 * (after(plain, step)(X) - clean)
        assert torch.allclose(after(ramped, step)(X), expected, atol=1e-12)
    assert torch.equal(after(ramped, 8)(X), after(plain, 8)(X))


def test_weights_are_dropped_with_a_growing_probability() -> None:
    torch.manual_seed(0)
    config = {"tile": {"type": "inference", "forward": {"input_range": "none"}, "training": {"drop_connect": 0.5, "ramp": {"steps": 10}}}}
    layer = AnalogLinear(100, 100, bias=False, config=config, seed=1)
    for step in (0, 4, 10):
        layer.array.steps.fill_(step)
        dropped = float((layer(torch.eye(100)) == 0).double().mean())
        p = 0.05 * step
        assert dropped == pytest.approx(p, abs=5 * math.sqrt(p * (1 - p) / 1e4))


def test_output_noise_grows_in_training_only() -> None:
    training = {"ramp": {"steps": 8, "out_noise": True}}
    ramped, plain = linear(training, out_noise=0.4, out_noise_spread=0.3), linear({}, out_noise=0.4, out_noise_spread=0.3)
    clean = X @ ramped.weight.T

    def noise(layer: AnalogLinear, step: int) -> Tensor:
        layer.array.trained_samples.zero_()
        noisy: Tensor = after(layer, step)(X)
        return noisy - clean

    for step in (0, 2, 8, 9):
        assert torch.allclose(noise(ramped, step), min(step / 8, 1) * noise(plain, step), atol=1e-7)
    assert torch.allclose(after(ramped, 0).eval()(X), after(plain, 0).eval()(X), atol=1e-7)


def test_the_optimizer_drives_it_and_a_resumed_run_goes_on() -> None:
    def train(layer: AnalogLinear, steps: int) -> list[float]:
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = layer(X).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    whole = linear({"modifier": "add_normal", "ramp": {"steps": 10}})
    first, second = copy.deepcopy(whole), copy.deepcopy(whole)
    expected = train(whole, 12)
    before = train(first, 5)
    second.load_state_dict(first.state_dict())
    assert before + train(second, 7) == expected
    assert int(second.array.steps) == 12


@pytest.mark.parametrize(
    ("training", "words"),
    [
        ({"ramp": {}}, "ramp has no effect without a modifier, drop_connect or out_noise"),
        ({"ramp": {"out_noise": True}}, r"training\.ramp\.out_noise has no effect"),
        ({"modifier": "add_normal", "ramp": {"steps": 0}}, "steps"),
        ({"modifier": "add_normal", "ramp": {"start": 1.0}}, "start"),
    ],
)
def test_a_ramp_without_effect_is_refused(training: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        linear(training)
