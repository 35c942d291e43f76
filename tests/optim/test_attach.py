"""Optimizers and layers that learn in memory: who updates what and when, and what is refused."""

from __future__ import annotations

import copy
import io
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import ohmlet
from ohmlet.errors import ConfigError, OrderError, UntrainedWarning
from ohmlet.optim import AnalogSGD, attach

TILE = {
    "type": "in_memory",
    "update_algorithm": {"type": "sgd", "device": {"type": "soft_bounds", "dw_min": 0.002}},
    "forward": {"out_noise": 0.02},
    "backward": {"out_noise": 0.02},
}
X = torch.randn(24, 6, generator=torch.Generator().manual_seed(1))


def network(**tile: Any) -> Any:
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    ohmlet.convert(model, {"tile": TILE | tile, "mapping": {"scales": "none"}, "seed": 7})
    return model


def loss_of(model: nn.Module, x: Tensor = X) -> Tensor:
    loss: Tensor = (model(x) - 0.5).square().mean()
    return loss


def cells(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items() if name.endswith((".w", "weight"))}


def moved(before: dict[str, Tensor], model: nn.Module) -> bool:
    after = cells(model)
    changes = {name: not torch.equal(value, after[name]) for name, value in before.items()}
    assert len(set(changes.values())) == 1, changes
    return next(iter(changes.values()))


def test_training_lowers_the_loss() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.2)
    first = float(loss_of(model).detach())
    for _ in range(60):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    assert float(loss_of(model).detach()) < first / 3


def test_a_layer_without_an_optimizer_is_told_at_its_next_training_forward() -> None:
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    loss_of(model).backward()
    optimizer.step()
    with pytest.raises(OrderError, match=r"layer '0' learns in memory and no optimizer updates it.*AnalogSGD"):
        model(X)
    model.eval()
    model(X)


@pytest.mark.parametrize(
    "make", [lambda p: torch.optim.Adam(p, 0.05), lambda p: torch.optim.RMSprop(p, 0.05), lambda p: torch.optim.SGD(p, 0.05)]
)
def test_cells_get_the_same_pulses_from_any_attached_optimizer(make: Any) -> None:
    plain, model = network(), network()
    reference, optimizer = AnalogSGD(plain.parameters(), lr=0.05), attach(make(model.parameters()), model)
    for net, step in ((plain, reference), (model, optimizer)):
        loss_of(net).backward()
        step.step()
    for name, value in cells(plain).items():
        assert torch.equal(value, cells(model)[name]), name


def test_attach_adds_the_anchors_that_an_optimizer_lacks() -> None:
    model = network()
    optimizer = attach(torch.optim.SGD([model[0].bias], lr=0.1), model)
    before = cells(model)
    loss_of(model).backward()
    optimizer.step()
    assert moved(before, model)
    assert attach(optimizer, model) is optimizer


def test_training_in_evaluation_mode_is_told_once() -> None:
    model = network().eval()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    before = cells(model)
    loss_of(model).backward()
    with pytest.warns(UntrainedWarning, match=r"layer '[02]' is in evaluation mode.*model.train\(\)"):
        optimizer.step()
    assert not moved(before, model)
    loss_of(model).backward()
    optimizer.step()


def test_attaching_twice_updates_once() -> None:
    once, twice = network(), network()
    first = attach(torch.optim.SGD(once.parameters(), lr=0.1), once)
    second = attach(attach(torch.optim.SGD(twice.parameters(), lr=0.1), twice), twice)
    for net, optimizer in ((once, first), (twice, second)):
        loss_of(net).backward()
        optimizer.step()
    assert all(torch.equal(value, cells(twice)[name]) for name, value in cells(once).items())


def test_lbfgs_with_several_evaluations_a_step_is_refused() -> None:
    model = network()
    with pytest.raises(ConfigError, match=r"LBFGS with max_iter 20 evaluates.*set max_iter to 1"):
        attach(torch.optim.LBFGS(model.parameters()), model)


@pytest.mark.parametrize("named", [False, True])
def test_a_closure_is_called_once_a_step(named: bool) -> None:
    model, plain = network(), network()
    optimizer = attach(torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=1), model)
    reference = AnalogSGD(plain.parameters(), lr=0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = loss_of(model)
        loss.backward()
        return loss.item()

    _ = optimizer.step(closure=closure) if named else optimizer.step(closure)
    loss_of(plain).backward()
    reference.step()
    for name, value in cells(plain).items():
        assert torch.equal(value, cells(model)[name]), name


def test_a_second_call_of_a_closure_within_a_step_is_refused() -> None:
    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            closure()
            return closure()

    model = network()
    optimizer = attach(Twice(model.parameters(), lr=0.1), model)
    before = cells(model)
    with pytest.raises(OrderError, match=r"Twice calls its closure again within a step.*AnalogSGD or Adam"):
        optimizer.step(lambda: loss_of(model).backward())
    assert not moved(before, model)


def test_attach_refuses_models_that_do_not_learn_in_memory() -> None:
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(ConfigError, match="no layer of this model learns in memory"):
        attach(torch.optim.SGD(model.parameters(), 0.1), model)


def test_zero_grad_drops_updates_that_wait_and_a_learning_rate_of_zero_changes_nothing() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    before = cells(model)
    loss_of(model).backward()
    optimizer.zero_grad()
    optimizer.step()
    assert not moved(before, model)
    optimizer.param_groups[0]["lr"] = 0.0
    loss_of(model).backward()
    optimizer.step()
    assert not moved(before, model)


def test_each_group_has_its_learning_rate() -> None:
    model = network()
    optimizer = AnalogSGD([{"params": model[0].parameters(), "lr": 0.0}, {"params": model[2].parameters(), "lr": 0.1}])
    before = cells(model)
    loss_of(model).backward()
    optimizer.step()
    after = cells(model)
    assert torch.equal(before["0.weight"], after["0.weight"])
    assert not torch.equal(before["2.weight"], after["2.weight"])


def test_scaled_gradients_are_unscaled() -> None:
    plain, scaled = network(), network()
    optimizers = [AnalogSGD(net.parameters(), lr=0.2) for net in (plain, scaled)]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**14)
    for _ in range(3):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss_of(plain).backward()
        optimizers[0].step()
        scaler.scale(loss_of(scaled)).backward()
        scaler.unscale_(optimizers[1])
        scaler.step(optimizers[1])
        scaler.update()
    for name, value in cells(plain).items():
        assert torch.equal(value, cells(scaled)[name]), name


def test_a_scaler_skips_the_step_when_only_errors_of_cells_overflow() -> None:
    model = network()
    for layer in (model[0], model[2]):
        layer.bias.requires_grad_(False)
    optimizer = AnalogSGD(model.parameters(), lr=0.2)
    before = cells(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0)
    (scaler.scale(loss_of(model)) * 1e38 * 1e38).backward()
    scaler.step(optimizer)
    scaler.update()
    assert not moved(before, model)
    assert scaler.get_scale() == 1.0


def test_errors_that_are_not_finite_are_refused() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.2)
    before = cells(model)
    (loss_of(model) * float("inf")).backward()
    with pytest.raises(OrderError, match="not finite"):
        optimizer.step()
    assert torch.equal(before["2.weight"], cells(model)["2.weight"])


def test_clipping_of_gradients_warns_and_scales_the_errors() -> None:
    model, slower = network(), network()
    optimizer, other = AnalogSGD(model.parameters(), lr=0.2), AnalogSGD(slower.parameters(), lr=0.2)
    loss_of(model).backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
    with pytest.warns(UserWarning, match="learns in memory and has no gradient"):
        optimizer.step()
    (loss_of(slower)).backward()
    for layer in (slower[0], slower[2]):
        layer.array.in_situ.anchor.grad *= 0.01 / (norm + 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        other.step()
    for name, value in cells(model).items():
        assert torch.equal(value, cells(slower)[name]), name
    # A norm that clips nothing leaves everything alone.
    unclipped = network()
    last = AnalogSGD(unclipped.parameters(), lr=0.2)
    loss_of(unclipped).backward()
    torch.nn.utils.clip_grad_norm_(unclipped.parameters(), 1e6)
    last.step()


def test_weights_written_from_outside_are_refused_at_the_next_forward() -> None:
    model = network()
    with torch.no_grad():
        model[0].weight.mul_(2)
    with pytest.raises(OrderError, match=r"weights of layer '0' were changed from outside.*set_weights"):
        model(X)
    model[0].set_weights(torch.full((5, 6), 0.1), torch.zeros(5))
    torch.testing.assert_close(model[0].weight, torch.full((5, 6), 0.1))
    model(X)


def trained(steps: int, model: nn.Module, optimizer: torch.optim.Optimizer) -> nn.Module:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        optimizer.step()
    return model


def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit() -> None:
    model = network()
    whole = trained(6, model, AnalogSGD(model.parameters(), lr=0.2)).state_dict()
    first = network()
    optimizer = AnalogSGD(first.parameters(), lr=0.2)
    file = io.BytesIO()
    trained(3, first, optimizer)
    torch.save({"model": first.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    torch.manual_seed(99)
    second = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    ohmlet.convert(second, {"tile": TILE, "mapping": {"scales": "none"}, "seed": 8})
    again = AnalogSGD(second.parameters(), lr=0.2)
    second.load_state_dict(state["model"])
    again.load_state_dict(state["optimizer"])
    for name, value in trained(3, second, again).state_dict().items():
        assert torch.equal(value, whole[name]), name


def test_weights_loaded_without_their_cells_are_refused() -> None:
    model = network()
    state = {name: value + 0.1 for name, value in model.state_dict().items() if name.endswith(("weight", "bias"))}
    model.load_state_dict(state, strict=False)
    with pytest.raises(OrderError, match="changed from outside"):
        model(X)


def test_a_copy_has_cells_of_its_own_and_no_optimizer() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.2)
    other = copy.deepcopy(model)
    before = cells(other)
    trained(1, model, optimizer)
    assert not moved(before, other)
    loss_of(other).backward()
    with pytest.raises(OrderError, match="no optimizer updates it"):
        other(X)


# torch looks at tensors between two graphs with warnings on.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")
def test_compiling_leaves_the_layer_outside_of_the_graph() -> None:
    model, eager = network(), network()
    compiled = torch.compile(model, backend="aot_eager")
    for net, call in ((model, compiled), (eager, eager)):
        optimizer = AnalogSGD(net.parameters(), lr=0.2)
        for _ in range(2):
            optimizer.zero_grad()
            (call(X) - 0.5).square().mean().backward()
            optimizer.step()
    for name, value in cells(eager).items():
        torch.testing.assert_close(cells(model)[name], value, atol=1e-6, rtol=0)


def test_clearing_gradients_by_the_model_drops_updates_too() -> None:
    """`model.zero_grad()` after a backward pass: no update at the step, and none beside those of the next backward pass."""
    model, once = network(), network()
    optimizer, other = AnalogSGD(model.parameters(), lr=0.2), AnalogSGD(once.parameters(), lr=0.2)
    before = cells(model)
    loss_of(model).backward()
    model.zero_grad()
    optimizer.step()
    assert not moved(before, model)
    loss_of(model).backward()
    model.zero_grad()
    for net, step in ((model, optimizer), (once, other)):
        for part in net:
            if hasattr(part, "array"):  # the same noise for both
                part.array.trained_samples.zero_()
        loss_of(net).backward()
        step.step()
    assert all(torch.equal(value, cells(once)[name]) for name, value in cells(model).items())


def test_gradients_of_inputs_alone_leave_no_updates() -> None:
    model = network()
    optimizer, x, before = AnalogSGD(model.parameters(), lr=0.2), X.clone().requires_grad_(), cells(model)
    torch.autograd.grad(loss_of(model, x), x)
    optimizer.step()
    assert not moved(before, model)


@pytest.mark.parametrize("forward", [{"out_noise": 0.02}, {"out_noise": 0.02, "input_range": "abs_max"}])
def test_frozen_layers_keep_their_cells(forward: Any) -> None:
    model = network(forward=forward, backward=forward)
    model[2].requires_grad_(False)
    optimizer, first, last = AnalogSGD(model.parameters(), lr=0.2), cells(model[0]), cells(model[2])
    loss_of(model).backward()
    optimizer.step()
    assert moved(first, model[0])
    assert not moved(last, model[2])


def test_gradients_that_nobody_clears_do_not_scale_the_next_updates() -> None:
    model, cleared = network(), network()
    for net, clear in ((model, False), (cleared, True)):
        for each in net:
            if isinstance(getattr(each, "bias", None), nn.Parameter):
                each.bias.requires_grad_(False)  # it would gather gradients, as torch's do
        optimizer = AnalogSGD(net.parameters(), lr=0.2)
        for _ in range(3):
            if clear:
                optimizer.zero_grad()
            loss_of(net).backward()
            optimizer.step()
    assert all(torch.equal(value, cells(cleared)[name]) for name, value in cells(model).items())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_cells_of_other_types_move_as_far(dtype: torch.dtype) -> None:
    """As far on average, since single pulses go by rounded numbers; a warning about scaled gradients would be an error here."""
    changes = []
    for kind in (torch.float32, dtype):
        model = network().to(kind)
        before, optimizer = model[0].weight.detach().clone(), AnalogSGD(model.parameters(), lr=0.5)
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model, X.to(kind)).backward()
            optimizer.step()
        changes.append((model[0].weight - before).double())
    slope = (changes[0] * changes[1]).sum() / changes[0].square().sum()
    assert abs(float(slope) - 1.0) < 0.1


def test_cells_of_a_converted_model_have_its_type() -> None:
    model: Any = nn.Sequential(nn.Linear(6, 3)).double()
    ohmlet.convert(model, {"tile": TILE, "seed": 7})
    assert {value.dtype for value in cells(model).values()} == {torch.float64}
    optimizer, before = AnalogSGD(model.parameters(), lr=0.2), cells(model)
    loss_of(model, X.double()).backward()
    optimizer.step()
    assert moved(before, model)


def test_attach_refuses_an_optimizer_of_another_model() -> None:
    model, other = network(), network()
    with pytest.raises(ConfigError, match=r"this Adam holds no parameter of this model: make it from model\.parameters\(\)"):
        attach(torch.optim.Adam(other.parameters()), model)
    with pytest.raises(ConfigError, match="attach takes an optimizer and a model, in this order, got Sequential, Adam"):
        attach(model, torch.optim.Adam(model.parameters()))  # type: ignore[arg-type]


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("passes", [{"out_noise": 0.02}, {"out_noise": 0.02, "input_range": "abs_max"}])
def test_checkpointing_changes_no_number(passes: Any, reentrant: bool) -> None:
    results = []
    for again in (False, True):
        model = network(forward=passes, backward=passes)
        optimizer, x = AnalogSGD(model.parameters(), lr=0.2), X.clone().requires_grad_()
        for _ in range(2):
            optimizer.zero_grad()
            y = checkpoint(model, x, use_reentrant=reentrant) if again else model(x)
            (y - 0.5).square().mean().backward()
            optimizer.step()
        results.append(model.state_dict())
    assert all(torch.equal(value, results[1][name]) for name, value in results[0].items())


PASSES = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(1))


def made(kind: str, model: nn.Module) -> Any:
    """Return an optimizer that updates cells."""
    return AnalogSGD(model.parameters(), lr=0.3) if kind == "own" else attach(torch.optim.Adam(model.parameters(), lr=0.3), model)


@pytest.mark.parametrize("kind", ["own", "attached"])
def test_passes_before_a_closure_and_in_it_are_one_step(kind: str) -> None:
    def trained_by(in_closure: int) -> dict[str, Tensor]:
        model = network()
        optimizer = made(kind, model)

        def backward(x: Tensor) -> Tensor:
            loss = loss_of(model, x)
            loss.backward()
            return loss

        for _ in range(3):
            optimizer.zero_grad()
            for x in PASSES[: 2 - in_closure]:
                backward(x)
            rest = PASSES[2 - in_closure :]
            optimizer.step(*([lambda rest=rest: sum(backward(x) for x in rest)] if in_closure else []))
        return cells(model)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before, *others = (trained_by(count) for count in (0, 1, 2))
    for other in others:
        for name, value in before.items():
            assert torch.equal(value, other[name]), name


@pytest.mark.parametrize("kind", ["own", "attached"])
@pytest.mark.parametrize("clears", [True, False])
def test_what_waits_after_a_failed_step_is_forgotten_by_whoever_clears_gradients(kind: str, clears: bool) -> None:
    model = network()
    optimizer = made(kind, model)
    y = model[0](X)
    y.backward(torch.full_like(y, torch.inf))
    z = model[2](torch.ones(4, 5))
    z.backward(torch.ones_like(z))
    before = cells(model)
    with pytest.raises(OrderError, match="not finite"):
        optimizer.step()
    assert not moved(before, model)
    if clears:
        model.zero_grad()
    optimizer.step()
    after = cells(model)
    assert torch.equal(before["0.weight"], after["0.weight"])
    # The second layer had not had its turn: its update is made now, unless it was given up.
    assert torch.equal(before["2.weight"], after["2.weight"]) == clears


@pytest.mark.parametrize("kind", ["own", "attached"])
def test_a_closure_that_fails_loses_nothing(kind: str) -> None:
    def trained_by(fails: bool) -> dict[str, Tensor]:
        model = network()
        optimizer = made(kind, model)
        loss_of(model, PASSES[0]).backward()

        def failing() -> Tensor:
            raise KeyError("a batch")

        if fails:
            with pytest.raises(KeyError):
                optimizer.step(failing)
        loss_of(model, PASSES[1]).backward()
        optimizer.step()
        return cells(model)

    plain, failed = trained_by(False), trained_by(True)
    for name, value in plain.items():
        assert torch.equal(value, failed[name]), name


def test_parameters_that_are_replaced_need_another_optimizer_and_then_learn() -> None:
    def trained(model: Any, optimizer: Any) -> bool:
        before = cells(model)
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            optimizer.step()
        return moved(before, model)

    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.2)
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    with pytest.raises(OrderError, match="no optimizer updates it"):
        trained(model, optimizer)
    assert trained(model, AnalogSGD(model.parameters(), lr=0.2))
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        model.double().float()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    assert trained(model, AnalogSGD(model.parameters(), lr=0.2))
