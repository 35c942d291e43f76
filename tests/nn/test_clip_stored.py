"""Clipping in the forward pass beside clipping of the stored weights after each step: where they agree, and by what they part."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from ohmlet.nn import AnalogLinear
from tests.nn.test_every_layer import EVERY, digital, layers

FIXED = {"type": "fixed_value", "value": 0.5}
BOUND = 0.5


def converted(model: nn.Module, clip: dict[str, Any] | None, rules: Any = None, **mapping: Any) -> nn.Module:
    tile = {"type": "inference", "forward": {"input_range": "none"}, "training": {"clip": clip}}
    return ohmlet.convert(model, {"tile": tile, "mapping": {"scales": "none", **mapping}}, rules).model


def student(clip: dict[str, Any], weight: Tensor) -> AnalogLinear:
    digital_layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    digital_layer.weight.data.copy_(weight)
    layer = converted(digital_layer, clip)
    assert isinstance(layer, AnalogLinear)
    return layer


def trajectories(clip: dict[str, Any], start: Tensor, targets: list[Tensor], make: Any) -> tuple[Tensor, Tensor]:
    """Return the weights in use [steps, out, in] of a layer that clips in the forward pass and of one that is clipped after each step.

    Both learn, from the same inputs, the target weights of each step.
    """
    found = []
    for stored in (False, True):
        layer = student(clip, start)
        optimizer, used = make(layer.parameters()), []
        if stored:
            ohmlet.clip_stored(layer)
            optimizer.register_step_post_hook(lambda *_, layer=layer: ohmlet.clip_stored(layer))
        x = torch.eye(start.shape[1], dtype=torch.float64)
        for target in targets:
            optimizer.zero_grad()
            (0.5 * (layer(x) - x @ target.T).square()).sum().backward()
            optimizer.step()
            used.append(layer.array.crossbars[0].constrain(layer.weight).detach())  # type: ignore[operator]
        found.append(torch.stack(used))
    return found[0], found[1]


def sgd(parameters: Any, **settings: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.1, **settings)


def clipped_normal_std(c: float) -> float:
    """Return the standard deviation of min(max(xi, -c), c) for a standard normal xi."""
    tail, density = 0.5 * math.erfc(c / math.sqrt(2)), math.exp(-c * c / 2) / math.sqrt(2 * math.pi)
    return math.sqrt(1 - 2 * tail - 2 * c * density + 2 * c * c * tail)


START = torch.randn(6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.2
OUTSIDE = torch.randn(6, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2


def test_they_are_equal_while_no_weight_that_has_passed_the_bound_is_pulled_back() -> None:
    inside, stored = trajectories(FIXED, START, [OUTSIDE] * 100, sgd)
    assert int((OUTSIDE.abs() > BOUND).sum()) > 15
    assert torch.equal(inside, stored)
    assert torch.allclose(inside[-1], OUTSIDE.clamp(-BOUND, BOUND), atol=1e-4)


def test_a_weight_that_is_pulled_back_is_late_by_how_far_the_last_step_went_beyond() -> None:
    start, out, back = (torch.full((1, 1), value, dtype=torch.float64) for value in (0.45, 2.0, -0.3))
    inside, stored = trajectories(FIXED, start, [out] * 50 + [back] * 50, sgd)
    assert torch.equal(inside[:50], stored[:50])
    # The one step that crosses the bound: 0.45 + 0.1 (2 - 0.45); then steps of 0.1 (w - back) with w = 0.5 where the weight is clipped.
    beyond = 0.45 + 0.1 * (2.0 - 0.45) - BOUND
    step = 0.1 * (BOUND - -0.3)
    assert float(stored[50]) == pytest.approx(BOUND - step)
    assert float(inside[50]) == pytest.approx(min(BOUND, BOUND + beyond - step))
    # Two steps on the raw weight is inside; from then on both follow one linear recursion, and their distance shrinks by 0.9 a step.
    assert float(inside[51]) == pytest.approx(BOUND + beyond - 2 * step)
    for later in range(52, 100):
        gap = [float(inside[at] - stored[at]) for at in (later - 1, later)]
        assert gap[1] == pytest.approx(0.9 * gap[0], abs=1e-12)
        assert 0 < gap[1] <= beyond
    assert float(inside[99]) == pytest.approx(-0.3, abs=0.01)


@pytest.mark.parametrize("settings", [{"weight_decay": 0.5}, {"momentum": 0.9}], ids=str)
def test_weight_decay_and_momentum_make_them_differ(settings: dict[str, float]) -> None:
    generator = torch.Generator().manual_seed(2)
    targets = [torch.randn(6, 5, generator=generator, dtype=torch.float64) for _ in range(100)]
    inside, stored = trajectories(FIXED, START, targets, lambda parameters: sgd(parameters, **settings))
    assert float((inside - stored).abs().max()) > 0.01
    for used in (inside, stored):
        assert float(used.abs().max()) <= BOUND


def test_decay_takes_a_weight_off_the_bound_that_clipping_after_each_step_holds_there() -> None:
    start, out = torch.full((1, 1), 0.45, dtype=torch.float64), torch.full((1, 1), 1.0, dtype=torch.float64)
    inside, stored = trajectories(FIXED, start, [out] * 100, lambda parameters: sgd(parameters, weight_decay=0.5))
    # The pull outward, 1 - 0.5, beats the decay 0.5 * 0.5: the stored weight stays. In the forward pass alone the pull is masked and
    # the decay acts, until the weight is inside and is pushed out again.
    assert torch.equal(stored[10:], torch.full_like(stored[10:], BOUND))
    assert float(inside[10:].min()) < BOUND
    assert float(inside[10:].min()) > BOUND * (1 - 0.1 * 0.5) - 1e-12


def test_a_bound_that_follows_the_weights_shrinks_when_the_stored_ones_are_clipped_again_and_again() -> None:
    start = torch.randn(40, 50, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    clip = {"type": "layer_gaussian", "sigma": 1.5}
    inside, stored = trajectories(clip, start, [start] * 100, lambda parameters: torch.optim.SGD(parameters, lr=0.0))
    once = 1.5 * float(start.std())
    assert torch.equal(inside[0], inside[-1])
    assert float(inside[-1].abs().max()) == pytest.approx(once)
    # It ends where a normal that is clipped at c has the standard deviation c / 1.5.
    c = 1.5
    for _ in range(200):
        c = 1.5 * clipped_normal_std(c)
    assert float(stored[-1].abs().max()) == pytest.approx(c * float(start.std()), rel=0.03)
    assert c < 0.8 * 1.5


@EVERY
def test_every_kind_of_layer_is_clipped_where_its_crossbars_are(case: str) -> None:
    rules = {"type:Embedding": "analog"} if case == "embedding" else None
    mapping = {"max_in": 3, "max_out": 4, "bias": "digital" if "transpose" in case else "analog"}
    model = converted(digital(case), {"type": "layer_gaussian", "sigma": 0.8}, rules, **mapping)
    expected = {}
    for name, layer in enumerate(layers(model)):
        for which, array in layer.arrays().items():
            blocks = [mapped.w.detach() for mapped in array.mapped_blocks(*layer.matrices()[which])]
            expected[name, which] = blocks
    before = [parameter.detach().clone() for parameter in model.parameters()]
    ohmlet.clip_stored(model)
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    for name, layer in enumerate(layers(model)):
        for which, array in layer.arrays().items():
            held = array.matrix(*layer.matrices()[which]).detach()
            for block, part in zip(array.blocks, expected[name, which], strict=True):
                found = held[..., block.first_out : block.last_out, block.first_in : block.last_in]
                assert torch.allclose(found, part, atol=1e-7)
    assert all(parameter.requires_grad for layer in layers(model) for parameter in layer.parameters(recurse=False))


def test_frozen_parameters_stay_frozen_and_objects_stay_the_same() -> None:
    layer = student(FIXED, OUTSIDE)
    layer.weight.requires_grad_(False)
    weight = layer.weight
    ohmlet.clip_stored(layer)
    assert layer.weight is weight
    assert not weight.requires_grad
    assert torch.equal(weight, OUTSIDE.clamp(-BOUND, BOUND))


def test_without_a_clip_it_is_refused() -> None:
    with pytest.raises(ConfigError, match="clip_stored has no effect: no layer has a clip"):
        ohmlet.clip_stored(converted(nn.Linear(3, 2), None))
    with pytest.raises(ConfigError, match="clip_stored has no effect"):
        ohmlet.clip_stored(ohmlet.convert(nn.Linear(3, 2), {"tile": "ideal"}).model)
    with pytest.raises(OrderError, match="clip_stored needs a model with analog layers"):
        ohmlet.clip_stored(nn.Linear(3, 2))
