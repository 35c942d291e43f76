"""A crossbar that learns and computes its layer in one step of autograd, against the same layer taken through every step of the way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import OrderError
from ohmlet.nn import AnalogLinear
from ohmlet.optim import AnalogSGD

pytest.importorskip("numba")
IO: dict[str, Any] = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.06, "input_range": {"type": "abs_max"}}
DEVICE = {"type": "soft_bounds", "dw_min": 0.01}


def layer(
    forward: dict[str, Any] = IO,
    backward: dict[str, Any] | None = IO,
    bias: bool = True,
    scales: str = "columnwise",
    learned: str = "none",
    form: str = "exponential",
) -> AnalogLinear:
    """Return a layer that learns in memory."""
    torch.manual_seed(1)
    tile = {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": DEVICE}, "forward": forward}
    config = {
        "tile": tile | ({"backward": backward} if backward else {}),
        "mapping": {"scales": scales, "learned_scales": learned, "learned_form": form} | ({"omega": 0.5} if scales != "none" else {}),
        "seed": 3,
    }
    return AnalogLinear(7, 5, bias=bias, config=config, name="one")


def trained(made: AnalogLinear, at_once: bool, monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Return outputs, gradients and the state of some steps of training."""
    taken = []
    whole = type(made.array).at_once

    def counted(array: Any, x: Tensor, bias: Tensor | None) -> Tensor | None:
        y = whole(array, x, bias) if at_once else None
        taken.append(y is not None)
        return y

    monkeypatch.setattr(type(made.array), "at_once", counted)
    optimizer, seen = AnalogSGD(made.parameters(), lr=0.2), []
    for step in range(6):
        optimizer.zero_grad()
        x = torch.randn(4, 7, generator=torch.Generator().manual_seed(step)).requires_grad_()
        with torch.no_grad():
            x[1] = 0
        y = made(x)
        (y - 1).square().sum().backward()
        assert x.grad is not None
        seen += [y.detach().clone(), x.grad.clone(), *(p.grad.clone() for p in made.parameters() if p.grad is not None)]
        optimizer.step()
    monkeypatch.undo()
    assert all(taken) == at_once
    return [*seen, *(value.clone() for value in made.state_dict().values())]


@pytest.mark.parametrize("limit", [None, 0.8])
@pytest.mark.parametrize("backward", [IO, None])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scales", ["columnwise", "none"])
def test_same_numbers(
    limit: float | None, backward: dict[str, Any] | None, bias: bool, scales: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = IO if limit is None else {**IO, "input_range": {"type": "abs_max", "limit": limit}}
    once, steps = (trained(layer(forward, backward, bias, scales), way, monkeypatch) for way in (True, False))
    for one, other in zip(once, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("bound", [0.05, 0.4])
@pytest.mark.parametrize("reduction", [1000.0, 3.0, 1.0])
@pytest.mark.parametrize("dac", [{"bits": 7}, None])
def test_same_numbers_where_outputs_pass_the_bound(
    bound: float, reduction: float, dac: dict[str, Any] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    management = {"type": "iterative", "max_reduction": reduction}
    forward = {**IO, "dac": dac, "adc": {"bits": 9, "bound": bound}, "out_noise": 0.2 * bound, "bound_management": management}
    once, steps = (trained(layer(forward), way, monkeypatch) for way in (True, False))
    for one, other in zip(once, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    unmanaged = trained(layer(forward | {"bound_management": None}), True, monkeypatch)
    assert not torch.equal(once[0], unmanaged[0])


@pytest.mark.parametrize("form", ["exponential", "linear"])
@pytest.mark.parametrize("learned", ["tilewise", "columnwise"])
@pytest.mark.parametrize("bias", [True, False])
def test_same_numbers_with_learned_scales(form: str, learned: str, bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    once, steps = (trained(layer(bias=bias, learned=learned, form=form), way, monkeypatch) for way in (True, False))
    for one, other in zip(once, steps, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        lambda made, x: (made.eval(), x)[1],
        lambda made, x: (made.array.register_forward_hook(lambda *_: None), x)[1],
        lambda made, x: x.double(),
        lambda made, x: x[:0],
    ],
    ids=["evaluation", "hooks", "float64", "no samples"],
)
def test_left_to_the_long_way(change: Any) -> None:
    made = layer()
    x = change(made, torch.randn(4, 7))
    assert not len(x) or made.array.at_once(x, made.bias) is None


@pytest.mark.parametrize(
    "setting",
    [
        {"weight_noise": "additive_constant"},
        {"in_noise": 0.1},
        {"bound_management": "iterative_worst_case"},
        {"bound_management": {"type": "iterative", "test_negative": False}},
        {"input_range": "learned"},
    ],
)
def test_settings_of_the_long_way(setting: dict[str, Any]) -> None:
    made = layer({**IO, **setting})
    assert made.array.at_once(torch.randn(4, 7), made.bias) is None


def test_errors_that_are_not_finite_are_refused() -> None:
    made = layer()
    optimizer = AnalogSGD(made.parameters(), lr=0.1)
    before = made.weight.clone()
    y = made(torch.randn(4, 7, requires_grad=True))
    y.backward(torch.full_like(y, torch.inf))
    with pytest.raises(OrderError, match="not finite"):
        optimizer.step()
    assert torch.equal(made.weight, before)


def test_a_crossbar_made_anew_is_found_by_its_optimizer() -> None:
    model: Any = nn.Sequential(nn.Linear(7, 5))
    config: dict[str, Any] = {
        "tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": DEVICE}, "forward": IO},
        "seed": 3,
    }
    ohmlet.convert(model, config)
    optimizer = AnalogSGD(model.parameters(), lr=1.0)

    def learns(step: int) -> bool:
        before = model[0].weight.clone()
        optimizer.zero_grad()
        model(torch.randn(8, 7, generator=torch.Generator().manual_seed(step))).sum().backward()
        optimizer.step()
        return not torch.equal(model[0].weight, before)

    assert learns(0)
    assert learns(1)
    optimizer.param_groups[0]["lr"] = 0.0
    assert not learns(2)
    optimizer.load_state_dict({**optimizer.state_dict(), "param_groups": [{**optimizer.state_dict()["param_groups"][0], "lr": 1.0}]})
    assert learns(3)
    ohmlet.retarget(model, {**config, "tile": {**config["tile"], "backward": IO}})
    optimizer = AnalogSGD(model.parameters(), lr=1.0)
    assert learns(4)
