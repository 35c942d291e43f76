"""A layer that learns in one step of autograd is bound to its memory once: whatever moves that must show in the next call."""

from __future__ import annotations

import copy
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ohmlet
from ohmlet.nn import AnalogLinear
from ohmlet.nn.array import AnalogArray
from ohmlet.optim import AnalogSGD
from ohmlet_kernels.analog_mvm import Variation

pytest.importorskip("numba")
IO: dict[str, Any] = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.06, "input_range": {"type": "abs_max"}}
DEVICE = {"type": "soft_bounds", "dw_min": 0.01}
RULES: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "device": DEVICE},
    # Whose weights are another tensor at each call.
    "tiki_taka": {"type": "tiki_taka", "fast": DEVICE, "slow": DEVICE, "gamma": 0.3, "transfer_every": 1},
}


def config(rule: str = "sgd", **tile: Any) -> dict[str, Any]:
    """Return the config of a layer that learns in memory."""
    learning = {"type": "in_memory", "update_algorithm": RULES[rule], "forward": IO, "backward": IO, **tile}
    return {"tile": learning, "mapping": {"scales": "columnwise", "omega": 0.5}, "seed": 3}


def model(rule: str = "sgd", seed: int = 1) -> Any:
    """Return a network of one layer."""
    torch.manual_seed(seed)
    made: Any = nn.Sequential(nn.Linear(7, 5))
    ohmlet.convert(made, config(rule))
    return made


def x_of(step: int, samples: int = 4) -> Tensor:
    """Return inputs that need a gradient."""
    return torch.randn(samples, 7, generator=torch.Generator().manual_seed(step)).requires_grad_()


def trained(made: Any, steps: range) -> list[Tensor]:
    """Return outputs, gradients and state of some steps, of batches of several sizes."""
    optimizer, seen = AnalogSGD(made.parameters(), lr=0.2), []
    for step in steps:
        optimizer.zero_grad()
        x = x_of(step, 4 + step % 3)
        y = made(x)
        (y - 1).square().sum().backward()
        assert x.grad is not None
        seen += [y.detach().clone(), x.grad.clone(), *(p.grad.clone() for p in made.parameters() if p.grad is not None)]
        optimizer.step()
    return [*seen, *(value.clone() for value in made.state_dict().values())]


def moved_bias(made: Any) -> Any:
    """Give the bias other memory under the same name and object."""
    made[0].bias.data = made[0].bias.data.clone() + 0.25
    return made


def other_bias(made: Any) -> Any:
    made[0].bias = nn.Parameter(made[0].bias.detach() - 0.5)
    return made


def strided_bias(made: Any) -> Any:
    made[0].bias = nn.Parameter(torch.arange(10.0)[::2])
    return made


def scaled(made: Any) -> Any:
    """Change the scales in place, and show what they make of the cells."""
    made[0].array.in_situ.scale_0.mul_(1.5)
    ohmlet.nn.read_out.read_back(made[0])
    return made


def assigned(made: Any) -> Any:
    made.load_state_dict({name: value.clone() for name, value in model(seed=4).state_dict().items()}, assign=True)
    return made


def loaded(made: Any) -> Any:
    made.load_state_dict(trained_state())
    return made


def trained_state() -> dict[str, Tensor]:
    other = model(seed=5)
    trained(other, range(2))
    state: dict[str, Tensor] = other.state_dict()
    return state


def copied(made: Any) -> Any:
    other = copy.deepcopy(made)
    # What becomes of the original is nothing to the copy.
    trained(made, range(7, 9))
    return other


def pickled(made: Any) -> Any:
    return pickle.loads(pickle.dumps(made))


def retargeted(made: Any) -> Any:
    ohmlet.retarget(made, config(forward={**IO, "out_noise": 0.2}, backward={**IO, "dac": {"bits": 5}}))
    return made


def rewritten(made: Any) -> Any:
    made[0].set_weights(torch.linspace(-0.4, 0.4, 35).reshape(5, 7), torch.ones(5))
    return made


def evaluated(made: Any) -> Any:
    made.eval()
    with torch.no_grad():
        made(x_of(3))
    return made.train()


def double_and_back(made: Any) -> Any:
    made.double()
    made(x_of(3).double()).sum().backward()
    made.zero_grad()
    return made.float()


def hooked_and_unhooked(made: Any) -> Any:
    made[0].array.register_forward_hook(lambda *_: None)
    made(x_of(3))
    made[0].array._forward_hooks = OrderedDict()
    return made


EVENTS: list[Callable[[Any], Any]] = [
    moved_bias, other_bias, strided_bias, scaled, assigned, loaded, copied, pickled, retargeted, rewritten, evaluated, double_and_back,
    hooked_and_unhooked, lambda made: made.share_memory(), lambda made: made.requires_grad_(True),
]  # fmt: skip


@pytest.mark.parametrize("event", EVENTS, ids=[each.__name__.strip("<>") for each in EVENTS])
def test_what_happens_between_calls_shows_in_the_next(event: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    whole, taken, runs = AnalogArray.at_once, [], []

    def counted(array: AnalogArray, x: Tensor, bias: Tensor | None) -> Tensor | None:
        y = whole(array, x, bias)
        taken.append(y is not None)
        return y

    for way in (counted, lambda *_: None):
        monkeypatch.setattr(AnalogArray, "at_once", way)
        made = model()
        trained(made, range(2))
        made = event(made)
        taken.clear() if way is counted else None
        runs.append(trained(made, range(2, 5)))
    assert taken == [event is not strided_bias] * 3
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("rule", RULES)
def test_weights_that_move_at_every_call(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = [trained(model(rule), range(4))]
    monkeypatch.setattr(AnalogArray, "at_once", lambda *_: None)
    runs.append(trained(model(rule), range(4)))
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("backward", [IO, None])
@pytest.mark.parametrize("samples", [3, 40])
def test_same_numbers_where_libraries_compute(samples: int, backward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, learning = [], {"tile": {**config()["tile"], "backward": backward}}
    for way in (AnalogArray.at_once, lambda *_: None):
        monkeypatch.setattr(AnalogArray, "at_once", way)
        torch.manual_seed(1)
        made = AnalogLinear(120, 90, config=config() | learning, name="one")
        x = torch.randn(samples, 120, generator=torch.Generator().manual_seed(1)).requires_grad_()
        y = made(x)
        y.square().sum().backward()
        (left,) = made.array.crossbars[0].pending  # type: ignore[misc]
        assert x.grad is not None
        runs.append((y.detach(), x.grad, left.x.reshape(samples, 120), left.d.reshape(samples, 90)))
    for one, other in zip(*runs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_inputs_that_need_no_gradient_teach_the_same() -> None:
    states = []
    for needs in (True, False):
        made = model()
        optimizer = AnalogSGD(made.parameters(), lr=0.2)
        for step in range(3):
            optimizer.zero_grad()
            (made(x_of(step).detach().requires_grad_(needs)) - 1).square().sum().backward()
            optimizer.step()
        states.append(made.state_dict())
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0, atol=0)


def measured(made: AnalogLinear) -> None:
    """State the noise of each output, as for a crossbar that was measured."""
    made.array.crossbars[0].forward_pass.variation = Variation(out_noise=torch.ones(5))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        measured,
        lambda made: made.array.crossbars[0].eval(),
        lambda made: made.eval(),
        lambda made: made.double(),
        lambda made: made.array.crossbars[0].register_forward_hook(lambda *_: None),
        lambda made: setattr(made.bias, "data", made.bias.data.double()),
        lambda made: setattr(made, "bias", nn.Parameter(torch.ones(5, device="meta"))),
        lambda made: made.array.crossbars.double(),
        lambda made: setattr(made.array.in_situ, "scale_0", made.array.in_situ.scale_0.double()),
    ],
    ids=[
        "measured",
        "crossbar in evaluation",
        "evaluation",
        "float64",
        "hooks",
        "bias in float64",
        "bias elsewhere",
        "weights in float64",
        "scales in float64",
    ],
)
def test_what_the_engine_has_nothing_for_is_left_to_the_long_way(change: Callable[[Any], Any]) -> None:
    made = model()[0]
    x = x_of(0)
    assert made.array.at_once(x, made.bias) is not None
    change(made)
    assert made.array.at_once(x, made.bias) is None


def test_inputs_of_another_size_are_refused() -> None:
    made = model()[0]
    made(x_of(0))
    assert made.array.at_once(torch.randn(4, 6), made.bias) is None
    with pytest.raises(ValueError, match="expected inputs"):
        made(torch.randn(4, 6))


def test_scales_changed_between_forward_and_backward_are_refused() -> None:
    made = model()[0]
    y = made(x_of(0))
    made.set_weights(torch.full((5, 7), 0.1))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_a_frozen_layer_leaves_no_errors() -> None:
    made = model()[0].requires_grad_(False)
    x = x_of(0)
    made(x).sum().backward()
    assert x.grad is not None
    assert not made.array.crossbars[0].pending
    assert made.array.in_situ.anchor.grad is None
    made.requires_grad_(True)
    made.weight.requires_grad_(False)
    made(x).sum().backward()
    assert len(made.array.crossbars[0].pending) == 1


def uses(made: AnalogLinear) -> list[Tensor]:
    """Use a layer twice with strided inputs and gradients, with a step between the one's forward and backward pass; return what comes."""
    optimizer = AnalogSGD(made.parameters(), lr=0.2)
    first = torch.randn(7, 6, generator=torch.Generator().manual_seed(1)).requires_grad_()
    early, late = made(first.T), made(made(x_of(2)) @ torch.ones(5, 7))
    late.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    (early.T @ torch.linspace(0, 1, 6)).sum().backward()
    optimizer.step()
    assert first.grad is not None
    return [early.detach(), late.detach(), first.grad, *(value.clone() for value in made.state_dict().values())]


def test_several_uses_before_a_backward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    once = uses(model()[0])
    monkeypatch.setattr(AnalogArray, "at_once", lambda *_: None)
    for one, other in zip(once, uses(model()[0]), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_running_again_in_backward_draws_the_same_noise() -> None:
    seen = []
    for again in (False, True):
        made, x = model()[0], x_of(0)
        AnalogSGD(made.parameters(), lr=0.1)
        for _ in range(2):
            y: Any = checkpoint(made, x, use_reentrant=False) if again else made(x)
            y.square().sum().backward()
        assert int(made.array.trained_samples) == 8
        assert len(made.array.crossbars[0].pending) == 2
        seen.append((x.grad, made.bias.grad))
    for one, other in zip(*seen, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_layers_in_two_threads_are_what_they_are_in_one() -> None:
    alone, together = ([model(seed=seed) for seed in (1, 2)] for _ in range(2))
    wanted = [trained(made, range(6)) for made in alone]
    found: dict[int, list[Tensor]] = {}

    def train(k: int) -> None:
        found[k] = trained(together[k], range(6))

    threads = [threading.Thread(target=train, args=(k,)) for k in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    for k, run in enumerate(wanted):
        for one, other in zip(run, found[k], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
