"""What belongs to the digital layer and what belongs to the optimizer: hooks move along, forgotten parameters are named."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import prune

import ohmlet
from ohmlet.errors import OrderError, UntrainedWarning

LEARNED: dict[str, Any] = {"tile": {"type": "inference", "forward": {"input_range": {"type": "learned", "init_batches": 1}}}}
X = torch.linspace(-1, 1, 24).view(4, 6)


def test_hooks_of_the_passes_move_to_the_analog_layer_and_back() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
    seen: list[str] = []

    def hook(what: str) -> Any:
        return lambda module, *_: seen.append(f"{what} {type(module).__name__}")

    handles = [
        model[0].register_forward_pre_hook(hook("before")),
        model[0].register_forward_hook(hook("after")),
        model[0].register_full_backward_hook(hook("backward")),
    ]
    ohmlet.convert(model, LEARNED)
    model(X.clone().requires_grad_()).sum().backward()
    assert seen == ["before AnalogLinear", "after AnalogLinear", "backward AnalogLinear"]
    ohmlet.to_digital(model)
    handles[0].remove()
    seen.clear()
    model(X.clone().requires_grad_()).sum().backward()
    assert seen == ["after Linear", "backward Linear"]


def test_a_hook_can_still_change_the_output_and_takes_keywords() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4))
    model[0].register_forward_hook(lambda module, args, kwargs, y: y * 0 + 7, with_kwargs=True)
    assert torch.equal(ohmlet.convert(model, LEARNED).model(X), torch.full((4, 4), 7.0))


def test_hooks_on_the_state_dict_are_reported_as_left_behind() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    model[0].register_state_dict_post_hook(lambda *_: None)
    first, second = ohmlet.convert(model, LEARNED).of("analog")
    assert "its hooks on the state_dict are left behind" in first.reason
    assert "left behind" not in second.reason


def test_a_layer_that_would_lose_its_own_forward_stays_digital_and_is_reported() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    model[0].forward = lambda x: x[:, :4] * 2
    (row,) = ohmlet.convert(model, LEARNED).of("missing")
    assert (row.name, row.reason) == ("0", "its forward was replaced on the object itself")
    assert type(model[0]) is nn.Linear


def test_a_layer_with_a_pruned_bias_stays_digital_and_is_reported() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2))
    prune.l1_unstructured(model[0], "bias", amount=2)
    (row,) = ohmlet.convert(model, LEARNED).of("missing")
    assert "computed from others by a hook; make it a parameter first" in row.reason
    prune.remove(model[0], "bias")
    model = nn.Sequential(model[0])
    assert ohmlet.convert(model, LEARNED).of("analog")
    assert int((model[0].bias == 0).sum()) == 2


def steps(model: Any, count: int, *optimizers: torch.optim.Optimizer) -> None:
    for _ in range(count):
        model(X).square().sum().backward()
        for optimizer in optimizers:
            optimizer.step()
        model.zero_grad()


def test_an_optimizer_made_before_conversion_is_reported_when_learned_ranges_go_without_one() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4))
    before = torch.optim.SGD(model.parameters(), lr=0.01)
    ohmlet.convert(model, LEARNED)
    with pytest.warns(UntrainedWarning, match=r"layer '0' has learned parameters .* make the optimizer after ohmlet\.convert") as caught:
        steps(model, 5, before)
    assert len(caught) == 1
    assert int(model[0].array.steps) == 5


@pytest.mark.parametrize("how", ["after", "group", "two optimizers", "frozen"])
def test_whoever_updates_or_freezes_learned_ranges_is_not_bothered(how: str) -> None:
    model: Any = nn.Sequential(nn.Linear(6, 4))
    weights = list(model.parameters())
    optimizers = [torch.optim.SGD(weights, lr=0.01)]
    ohmlet.convert(model, LEARNED)
    ranges = [parameter for name, parameter in model.named_parameters() if "range" in name]
    assert len(ranges) == 1
    if how == "after":
        optimizers = [torch.optim.SGD(model.parameters(), lr=0.01)]
    elif how == "group":
        optimizers[0].add_param_group({"params": ranges, "lr": 0.001})
    elif how == "two optimizers":
        optimizers.append(torch.optim.SGD(ranges, lr=0.01))
    else:
        ranges[0].requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steps(model, 5, *optimizers)
    assert (ranges[0].item() != 0.0) == (how != "frozen")


def test_the_flat_parameters_of_the_older_fsdp_are_refused() -> None:
    flat = nn.Parameter(torch.ones(3))
    flat._is_flat_param = True  # type: ignore[attr-defined]
    with pytest.raises(OrderError, match=r"use torch\.distributed\.fsdp\.fully_shard"):
        torch.optim.SGD([flat], lr=0.1).step()


def test_retargeting_a_loaded_model_keeps_the_noise_that_was_loaded() -> None:
    config = {"tile": {"type": "inference", "forward": {"out_noise": 0.1}}}
    saved: Any = ohmlet.convert(nn.Sequential(nn.Linear(6, 4)), {**config, "seed": 1}).model
    model: Any = ohmlet.convert(nn.Sequential(nn.Linear(6, 4)), config).model
    model.load_state_dict(saved.state_dict())
    for each in (saved, model):
        ohmlet.retarget(each, {"tile.forward.adc": {"bits": 8, "bound": 20.0}})
    assert torch.equal(model(X), saved(X))
    ohmlet.retarget(model, {**config, "seed": 2})
    assert not torch.equal(model[0].array.keys, saved[0].array.keys)
