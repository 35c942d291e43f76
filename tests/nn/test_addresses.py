"""Which numbers a layer draws: by sample, by optimizer step, by rank and by seed, never by the order of calls."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.nn import AnalogConv2d, AnalogLinear

NOISY = {"type": "inference", "forward": {"input_range": "none", "out_noise": 0.1, "dac": {"bits": 6, "rounding": "stochastic"}}}
MODIFIED = {"type": "inference", "forward": {"input_range": "none"}, "training": {"modifier": {"type": "add_normal", "std": 0.1}}}


def linear(tile: Any = NOISY, seed: int | None = 3, **more: Any) -> AnalogLinear:
    torch.manual_seed(0)
    return AnalogLinear(6, 4, config={"tile": tile, "mapping": {"max_in": 4}}, seed=seed, name="layer", **more)


def convolution() -> AnalogConv2d:
    torch.manual_seed(0)
    return AnalogConv2d(2, 4, 3, groups=2, config={"tile": NOISY}, seed=3, name="layer")


X = torch.linspace(-1, 1, 12 * 6).view(12, 6)
IMAGES = torch.linspace(-1, 1, 12 * 2 * 25).view(12, 2, 5, 5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("sizes", [[12], [6, 6], [1] * 12, [5, 7], [12, 0], [0, 1, 11]], ids=str)
@pytest.mark.parametrize(("make", "x"), [(linear, X), (convolution, IMAGES)], ids=["linear", "conv"])
def test_micro_batches_draw_the_numbers_of_the_whole_batch(
    make: Callable[[], nn.Module], x: Tensor, sizes: list[int], training: bool
) -> None:
    whole, split = make().train(training), make().train(training)
    together = whole(x)
    # Products of other sizes are summed in another order.
    assert torch.allclose(together, torch.cat([split(part) for part in x.split(sizes)]), atol=1e-5)


def test_every_sample_draws_anew() -> None:
    layer = linear()
    assert not torch.equal(layer(X), layer(X))
    y = layer(X[:1].expand(5, 6))
    assert len(y.detach()[:, 0].unique()) == 5


def test_training_and_evaluation_count_on_their_own_and_draw_different_numbers() -> None:
    layer = linear()
    trained = layer(X)
    layer.eval()
    evaluated = layer(X)
    layer(X[:5])
    assert int(layer.array.trained_samples) == 12
    assert int(layer.array.evaluated_samples) == 17
    assert not torch.equal(trained, evaluated)
    layer.train()
    again = linear()
    again(X)
    assert torch.equal(layer(X), again(X))


def test_positions_of_a_sample_draw_their_own_numbers_and_do_not_count() -> None:
    layer = linear()
    y = layer(X[:1, None, :].expand(1, 5, 6)).detach()
    assert len(y[0, :, 0].unique()) == 5
    assert int(layer.array.trained_samples) == 1


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda p: torch.optim.SGD(p, lr=0.0),
        lambda p: torch.optim.AdamW(p, lr=0.0, weight_decay=0.0),
        lambda p: torch.optim.Adagrad(p, lr=0.0),
        lambda p: torch.optim.SGD([{"params": list(p)}], lr=0.0, momentum=0.9),
    ],
    ids=["sgd", "adamw", "adagrad", "groups"],
)
def test_weight_noise_stays_within_an_optimizer_step_and_changes_with_it(optimizer: Any) -> None:
    layer = linear(MODIFIED)
    stepper = optimizer(layer.parameters())
    first = layer(X)
    assert torch.equal(first, layer(X))
    first.sum().backward()
    stepper.step()
    second = layer(X)
    assert int(layer.array.steps) == 1
    assert not torch.equal(first, second)
    assert torch.equal(second, layer(X))


def test_another_layers_optimizer_does_not_change_a_layers_weight_noise() -> None:
    layer, other = linear(MODIFIED), linear(MODIFIED)
    stepper = torch.optim.SGD(other.parameters(), lr=0.1)
    other(X).sum().backward()
    stepper.step()
    assert int(layer.array.steps) == 0
    assert int(other.array.steps) == 1


def test_layers_whose_weight_is_tied_step_together() -> None:
    layer, other = linear(MODIFIED), linear(MODIFIED)
    other.weight = layer.weight
    torch.optim.SGD([layer.weight], lr=0.1).step()
    assert (int(layer.array.steps), int(other.array.steps)) == (1, 1)


def test_evaluation_uses_clean_weights() -> None:
    layer = linear(MODIFIED).eval()
    assert torch.allclose(layer(X), nn.functional.linear(X, layer.weight, layer.bias), atol=1e-5)


def test_copies_count_their_own_steps() -> None:

    layer = linear(MODIFIED)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.optim.SGD(twin.parameters(), lr=0.1).step()
        assert int(twin.array.steps) == 1
        assert int(layer.array.steps) == 0


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_draw_what_one_process_draws_for_their_part_of_the_batch(world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = linear()
    expected = [whole(X), whole(-X)]
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: world)
    for rank in range(world):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        layer, mine = linear(), slice(rank * 12 // world, (rank + 1) * 12 // world)
        for step, x in enumerate((X, -X)):
            assert torch.allclose(layer(x[mine]), expected[step][mine], atol=1e-5)
        assert int(layer.array.trained_samples) == 24


def test_weight_noise_is_the_same_on_every_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = linear(MODIFIED)(X)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    assert torch.equal(linear(MODIFIED)(X), expected)


def converted(config: dict[str, Any], torch_seed: int) -> Any:
    torch.manual_seed(torch_seed)
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4))
    return ohmlet.convert(model, config).model


def test_torchs_seed_alone_makes_two_runs_identical() -> None:
    config = {"tile": NOISY}
    assert torch.equal(converted(config, 4)(X), converted(config, 4)(X))
    assert not torch.equal(converted(config, 4)[0].array.keys, converted(config, 5)[0].array.keys)


def test_a_seed_in_the_config_holds_whatever_torchs_seed() -> None:
    config = {"tile": NOISY, "seed": 9}
    first, second = converted(config, 4), converted(config, 5)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(X), second(X))
    assert torch.equal(converted(config, 4)[2].array.keys, converted(config, 5)[2].array.keys)


def test_layers_of_one_model_draw_different_numbers() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    ohmlet.convert(model, {"tile": NOISY, "seed": 9})
    for module in model:
        module.weight.data.zero_()
    assert not torch.equal(model[0](torch.zeros(3, 4)), model[1](torch.zeros(3, 4)))


def test_evaluating_leaves_torchs_generator_alone() -> None:
    layer = linear()
    before = torch.get_rng_state()
    layer(X)
    assert torch.equal(before, torch.get_rng_state())
