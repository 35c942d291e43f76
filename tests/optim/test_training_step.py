"""TrainingStep against the four lines that it stands for: the same numbers, whoever computes them, and what is left to the lines."""

from __future__ import annotations

import copy
import types
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from ohmlet.optim import AnalogSGD, TrainingStep, attach

numba = pytest.importorskip("ohmlet_kernels.network_step.numba", exc_type=ImportError)

IO: dict[str, Any] = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.06, "input_range": {"type": "abs_max"}}
DEVICE = {"type": "soft_bounds_reference", "dw_min": 0.02, "count_pulses": True}
PAIR = {"fast": DEVICE, "slow": DEVICE}
X = torch.randn(40, 6, generator=torch.Generator().manual_seed(1))
Y = torch.randint(3, (40,), generator=torch.Generator().manual_seed(2))


def network(
    activation: type[nn.Module] = nn.Sigmoid, rule: dict[str, Any] | None = None, bias: bool = True, **mapping: Any
) -> nn.Sequential:
    """Return a network of three layers that learn in memory."""
    torch.manual_seed(0)
    layers = [
        nn.Flatten(),
        nn.Linear(6, 9, bias),
        activation(),
        nn.Linear(9, 5, bias),
        activation(),
        nn.Linear(5, 3, bias),
        nn.LogSoftmax(-1),
    ]
    model = nn.Sequential(*layers)
    tile = {"type": "in_memory", "update_algorithm": rule or {"type": "sgd", "device": DEVICE}, "forward": IO, "backward": IO}
    ohmlet.convert(model, {"tile": tile, "mapping": {"scales": "columnwise", "omega": 0.6} | mapping, "seed": 7})
    return model


class Trained:
    """A model with its optimizer, trained by TrainingStep or by the lines; `times` is how often the engine made the step."""

    def __init__(self, at_once: bool, monkeypatch: pytest.MonkeyPatch, model: nn.Module | None = None, **optimizer: Any) -> None:
        self.at_once, self.monkeypatch, self.times = at_once, monkeypatch, 0
        self.model: Any = network() if model is None else model
        self.optimizer: torch.optim.Optimizer = AnalogSGD(self.model.parameters(), **{"lr": 0.3} | optimizer)
        self.remake()

    def remake(self) -> None:
        """Make the step of the model and the optimizer as they are."""
        self.step = TrainingStep(self.model, nn.functional.nll_loss, self.optimizer)

    def train(self, first: int, last: int, size: int = 5) -> list[float]:
        """Train with some samples and return the losses."""
        learn = numba.Network.learn

        def counted(network: Any) -> int:
            self.times += 1
            done: int = learn(network)
            return done

        self.monkeypatch.setattr(numba.Network, "learn", counted)
        losses = []
        for start in range(first, last, size):
            x, y = X[start : min(start + size, last)], Y[start : min(start + size, last)]
            if self.at_once:
                losses.append(float(self.step(x, y)))
                continue
            self.optimizer.zero_grad()
            loss = nn.functional.nll_loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(float(loss.detach()))
        self.monkeypatch.undo()
        return losses


def check(make: Callable[[bool], Trained], train: Callable[[Trained], Any], times: int | None = None) -> None:
    """Compare a training by TrainingStep with that by the lines, and how many of its steps the engine made."""
    fast, slow = make(True), make(False)
    assert train(fast) == train(slow)
    for (name, one), other in zip(fast.model.state_dict().items(), slow.model.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    assert slow.times == 0
    assert times is None or fast.times == times


RULES: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd", "device": DEVICE},
    "gokmen_vlasov": {"type": "sgd", "device": "gokmen_vlasov"},
    "tiki_taka": {"type": "tiki_taka", **PAIR},
    "ttv2": {"type": "ttv2", **PAIR},
    "c_ttv2": {"type": "c_ttv2", **PAIR},
    "agad": {"type": "agad", **PAIR, "auto_scale": True},
    "mixed_precision": {"type": "mixed_precision", "device": DEVICE},
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.ReLU, nn.Tanh])
def test_same_numbers(rule: str, activation: type[nn.Module], monkeypatch: pytest.MonkeyPatch) -> None:
    check(
        lambda fast: Trained(fast, monkeypatch, network(activation, RULES[rule])),
        # The last mini-batch has two samples.
        lambda trained: trained.train(0, 37) + trained.train(0, 20),
        times=12,
    )


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("scales", ["none", "tilewise"])
def test_same_numbers_of_other_mappings(bias: bool, scales: str, monkeypatch: pytest.MonkeyPatch) -> None:
    mapping = {"scales": scales} | ({} if scales == "none" else {"omega": 0.5})

    def make(fast: bool) -> Trained:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4, bias), nn.Sigmoid(), nn.Linear(4, 3, bias), nn.LogSoftmax(-1))
        tile = {"type": "in_memory", "update_algorithm": RULES["sgd"], "forward": IO, "backward": IO}
        ohmlet.convert(model, {"tile": tile, "mapping": mapping, "seed": 7})
        return Trained(fast, monkeypatch, model)

    check(make, lambda trained: trained.train(0, 40), times=8)


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize(
    "activation", [nn.Identity, nn.Sigmoid, nn.Tanh, nn.GELU, lambda: nn.GELU("tanh")], ids=["none", "sigmoid", "tanh", "gelu", "gelu tanh"]
)
@pytest.mark.parametrize("backward", [IO, None], ids=["read", "exact"])
def test_same_numbers_of_other_networks(activation: Any, last: bool, backward: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        torch.manual_seed(0)
        between = [] if activation is nn.Identity else [activation()]
        layers = [nn.Linear(6, 8), *between, nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 5), nn.Linear(5, 3)]
        model = nn.Sequential(*layers, *(between if last else []), nn.LogSoftmax(-1))
        tile = {"type": "in_memory", "update_algorithm": RULES["sgd"], "forward": IO} | ({"backward": backward} if backward else {})
        ohmlet.convert(model, {"tile": tile, "seed": 7})
        return Trained(fast, monkeypatch, model)

    check(make, lambda trained: trained.train(0, 40), times=8)


@pytest.mark.parametrize(
    ("activation", "change"),
    [
        (nn.Sigmoid, {}),
        (nn.Tanh, {}),
        (nn.ReLU, {"backward": None}),
        (nn.ReLU, {"forward": IO | {"adc": {"bits": 9, "bound": 1.0}, "bound_management": "iterative"}}),
    ],
    ids=["sigmoid", "tanh", "exact", "managed"],
)
def test_same_numbers_where_products_are_large(activation: Any, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 200), activation(), nn.Linear(200, 40), activation(), nn.Linear(40, 3), nn.LogSoftmax(-1))
        tile = {"type": "in_memory", "update_algorithm": RULES["sgd"], "forward": IO, "backward": IO} | change
        ohmlet.convert(model, {"tile": {key: value for key, value in tile.items() if value is not None}, "seed": 7})
        return Trained(fast, monkeypatch, model)

    check(make, lambda trained: trained.train(0, 40, 40) + trained.train(0, 40, 20) + trained.train(0, 40, 40), times=4)


def test_learned_scales_where_products_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 200), nn.Sigmoid(), nn.Linear(200, 40), nn.Sigmoid(), nn.Linear(40, 3), nn.LogSoftmax(-1))
        tile = {"type": "in_memory", "update_algorithm": RULES["sgd"], "forward": IO, "backward": IO}
        ohmlet.convert(model, {"tile": tile, "mapping": {"learned_scales": "columnwise", "learned_form": "linear"}, "seed": 7})
        return Trained(fast, monkeypatch, model)

    check(make, lambda trained: trained.train(0, 40, 40) + trained.train(0, 40, 40), times=2)


@pytest.mark.parametrize("form", ["linear", "exponential"])
@pytest.mark.parametrize("learned", ["tilewise", "columnwise"])
def test_same_numbers_with_learned_scales(form: str, learned: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check(
        lambda fast: Trained(fast, monkeypatch, network(learned_scales=learned, learned_form=form)),
        lambda trained: trained.train(0, 40),
        times=8,
    )


def test_managed_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 3), nn.LogSoftmax(-1))
        forward = IO | {"adc": {"bits": 9, "bound": 0.3}, "bound_management": "iterative"}
        tile = {"type": "in_memory", "update_algorithm": RULES["sgd"], "forward": forward, "backward": IO}
        ohmlet.convert(model, {"tile": tile, "seed": 7})
        return Trained(fast, monkeypatch, model)

    check(make, lambda trained: trained.train(0, 40), times=8)


def test_an_activation_behind_the_last_layer_and_another_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        model = network()
        model[6] = nn.Sigmoid()
        trained = Trained(fast, monkeypatch, model)
        trained.step = TrainingStep(
            model, lambda out, y: nn.functional.mse_loss(out, nn.functional.one_hot(y, 3).float()), trained.optimizer
        )
        return trained

    fast, slow = make(True), make(False)
    losses = fast.train(0, 40)
    assert fast.times == 8
    for start, seen in zip(range(0, 40, 5), losses, strict=True):
        slow.optimizer.zero_grad()
        loss = nn.functional.mse_loss(slow.model(X[start : start + 5]), nn.functional.one_hot(Y[start : start + 5], 3).float())
        loss.backward()
        slow.optimizer.step()
        assert seen == float(loss.detach())
    assert all(torch.equal(a, b) for a, b in zip(fast.model.state_dict().values(), slow.model.state_dict().values(), strict=True))


def rates(trained: Trained) -> list[float]:
    """Train with another rate in every step, and another for the biases of one layer."""
    bias = trained.model[3].bias
    (group,) = trained.optimizer.param_groups
    group["params"] = [each for each in group["params"] if each is not bias]
    trained.optimizer.add_param_group({"params": [bias], "lr": 0.05})
    losses = []
    for step in range(8):
        trained.optimizer.param_groups[0]["lr"] = 0.3 / (1 + step)
        losses += trained.train(5 * step, 5 * step + 5)
    return losses


def by_hand_between(trained: Trained) -> list[float]:
    """Let steps of the lines come between those of TrainingStep."""
    losses = trained.train(0, 10)
    once, trained.at_once = trained.at_once, False
    losses += trained.train(10, 20)
    trained.at_once = once
    return losses + trained.train(20, 40)


def weights_set(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    trained.model[3].set_weights(weight=torch.full((5, 9), 0.1), bias=torch.zeros(5))
    return losses + trained.train(20, 40)


def loaded(trained: Trained) -> list[float]:
    saved = copy.deepcopy(trained.model.state_dict())
    losses = trained.train(0, 20)
    trained.model.load_state_dict(saved)
    losses += trained.train(0, 20)
    trained.model.load_state_dict(saved, assign=True)
    trained.optimizer = AnalogSGD(trained.model.parameters(), lr=0.3)
    trained.remake()
    return losses + trained.train(0, 20)


def copied(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    trained.model = copy.deepcopy(trained.model)
    trained.optimizer = AnalogSGD(trained.model.parameters(), lr=0.3)
    trained.remake()
    return losses + trained.train(20, 40)


def moved(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    bias = trained.model[1].bias
    bias.data = bias.data.clone()
    trained.model[3].array.keys.data = trained.model[3].array.keys.data.clone()
    losses += trained.train(20, 30)
    trained.model.share_memory()
    return losses + trained.train(30, 40)


def frozen_bias(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    trained.model[3].bias.requires_grad_(False)
    return losses + trained.train(20, 40)


def scheduled(trained: Trained) -> list[float]:
    schedule = torch.optim.lr_scheduler.StepLR(trained.optimizer, 1, 0.5)
    losses = []
    for step in range(4):
        losses += trained.train(10 * step, 10 * step + 10)
        schedule.step()
    return losses


def nested(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    modules = list(trained.model)
    trained.model = nn.Sequential(nn.Sequential(*modules[:3]), nn.Sequential(*modules[3:]))
    trained.remake()
    return losses + trained.train(20, 40)


@pytest.mark.parametrize(
    ("train", "times"),
    [
        (rates, 8), (by_hand_between, 6), (weights_set, 8), (loaded, 12), (copied, 8), (moved, 8), (frozen_bias, 8), (scheduled, 8),
        (nested, 8),
    ],
)  # fmt: skip
def test_same_numbers_when(train: Callable[[Trained], Any], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(lambda fast: Trained(fast, monkeypatch), train, times)


def hooked(trained: Trained) -> list[float]:
    calls: list[int] = []
    handle = trained.model[2].register_forward_hook(lambda *_: calls.append(1))
    losses = trained.train(0, 20)
    assert len(calls) == 4
    handle.remove()
    return losses + trained.train(20, 40)


def layer_replaced(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    trained.model[4] = nn.Softsign()
    return losses + trained.train(20, 40)


def step_watched(trained: Trained) -> list[float]:
    calls: list[int] = []
    handle = trained.optimizer.register_step_post_hook(lambda *_: calls.append(1))
    losses = trained.train(0, 20)
    assert len(calls) == 4
    handle.remove()
    return losses + trained.train(20, 40)


def gradient_watched(trained: Trained) -> list[float]:
    seen: list[Tensor] = []
    handle = trained.model[1].bias.register_hook(lambda g: seen.append(g))
    losses = trained.train(0, 20)
    assert len(seen) == 4
    handle.remove()
    return losses + trained.train(20, 40)


def half_evaluated(trained: Trained) -> list[float]:
    trained.model[3].eval()
    losses = trained.train(0, 20)
    trained.model.train()
    return losses + trained.train(20, 40)


@pytest.mark.filterwarnings("ignore::ohmlet.errors.UntrainedWarning", "ignore::ohmlet.errors.UnprogrammedWarning")
@pytest.mark.parametrize(
    ("train", "times"), [(hooked, 4), (layer_replaced, 4), (step_watched, 4), (gradient_watched, 4), (half_evaluated, 4)]
)
def test_left_to_the_lines_while(train: Callable[[Trained], Any], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(lambda fast: Trained(fast, monkeypatch), train, times)


@pytest.mark.parametrize(
    "optimizer",
    [{"momentum": 0.9}, {"weight_decay": 0.1}, {"maximize": True}, {"lr": torch.tensor(0.3)}, {"fused": True}],
    ids=["momentum", "weight_decay", "maximize", "tensor", "fused"],
)
def test_left_to_the_lines_with(optimizer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    check(lambda fast: Trained(fast, monkeypatch, **optimizer), lambda trained: trained.train(0, 20), times=0)


def test_any_other_optimizer_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        trained = Trained(fast, monkeypatch)
        trained.optimizer = attach(torch.optim.Adam(trained.model.parameters(), lr=0.01), trained.model)
        trained.remake()
        return trained

    check(make, lambda trained: trained.train(0, 40), times=0)
    digital = nn.Sequential(nn.Linear(6, 3), nn.LogSoftmax(-1))
    check(lambda fast: Trained(fast, monkeypatch, copy.deepcopy(digital)), lambda trained: trained.train(0, 40), times=0)


def test_an_attached_sgd(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        trained = Trained(fast, monkeypatch)
        trained.optimizer = attach(torch.optim.SGD(trained.model.parameters(), lr=0.3), trained.model)
        trained.remake()
        return trained

    check(make, lambda trained: trained.train(0, 40), times=8)


def test_a_whole_number_as_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    check(lambda fast: Trained(fast, monkeypatch, lr=1), lambda trained: trained.train(0, 20), times=4)


class ByHand:
    """The four lines, called as a TrainingStep is."""

    def __init__(self, model: Any, loss_of: Any, optimizer: Any) -> None:
        self.model, self.loss_of, self.optimizer = model, loss_of, optimizer

    def __call__(self, x: Tensor, *targets: Any) -> Tensor:
        self.optimizer.zero_grad()
        loss: Tensor = self.loss_of(self.model(x), *targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def same(make: Callable[[Any], tuple[Any, Any]], steps: int = 6) -> None:
    """Compare the model and the losses of steps that `make` returns for TrainingStep and for the lines."""
    seen = []
    for way in (TrainingStep, ByHand):
        model, step = make(way)
        losses = [float(step(X[5 * at : 5 * at + 5], Y[5 * at : 5 * at + 5])) for at in range(steps)]
        seen.append((losses, model.state_dict()))
    assert seen[0][0] == seen[1][0]
    for name, value in seen[0][1].items():
        assert torch.equal(value, seen[1][1][name]), name


def optimized(model: nn.Module) -> AnalogSGD:
    return AnalogSGD(model.parameters(), lr=0.3)


nll: Any = nn.functional.nll_loss


def test_a_loss_that_sees_parameters() -> None:
    def make(way: Any) -> tuple[Any, Any]:
        model: Any = network(learned_scales="tilewise")
        return model, way(model, lambda out, y: nll(out, y) + 0.1 * model[1].bias.square().sum(), optimized(model))

    same(make)


@pytest.mark.parametrize("graded", [True, False])
def test_a_loss_that_calls_the_model(graded: bool) -> None:
    def make(way: Any) -> tuple[Any, Any]:
        model = network()

        def loss_of(out: Tensor, y: Tensor) -> Tensor:
            with torch.set_grad_enabled(graded):
                other = model(X[-5:])
            loss: Tensor = nll(out, y) + (other - out).square().mean()
            return loss

        return model, way(model, loss_of, optimized(model))

    same(make)


@pytest.mark.parametrize(
    "behind",
    [
        lambda: nn.Linear(3, 3),
        lambda: nn.BatchNorm1d(3),
        lambda: nn.LeakyReLU(inplace=True),
        lambda: nn.Dropout(0.3),
        lambda: nn.Dropout(0.3, inplace=True),
    ],
    ids=["linear", "batch norm", "in place", "dropout", "dropout in place"],
)
def test_modules_behind(behind: Callable[[], nn.Module]) -> None:
    def make(way: Any) -> tuple[Any, Any]:
        model = network()
        torch.manual_seed(3)
        model[6] = nn.Sequential(behind(), nn.LogSoftmax(-1))
        return model, way(model, nll, optimized(model))

    same(make)


def test_losses_that_do_not_depend_on_outputs_or_lay_them_out_otherwise() -> None:
    def ungraded(out: Tensor, y: Tensor) -> Tensor:
        loss: Tensor = nll(out.detach(), y) + biases[0].square().sum() + biases[1].square().sum()
        return loss

    biases: list[Any] = []

    def make(way: Any, loss_of: Any, last: nn.Module | None) -> tuple[Any, Any]:
        model = network()
        if last is not None:
            model[6] = last
        biases[:] = [model[1].bias, model[3].bias]
        return model, way(model, loss_of, optimized(model))

    same(lambda way: make(way, ungraded, None))
    same(lambda way: make(way, lambda out, _: out.mT.contiguous().square().sum(), nn.Identity()))
    same(lambda way: make(way, lambda out, _: out.sum(), nn.Identity()))
    for last in (nn.Sigmoid, nn.ReLU, nn.Tanh, nn.GELU):
        same(lambda way, last=last: make(way, lambda out, _: (out.mT.contiguous() - 0.3).square().sum(), last()))  # type: ignore[misc]


def test_an_output_that_is_no_tensor() -> None:
    class Both(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.log_softmax(-1), x

    def make(way: Any) -> tuple[Any, Any]:
        model = network()
        model[6] = Both()
        return model, way(model, lambda out, y: nll(out[0], y), optimized(model))

    same(make)


def test_memory_that_moves_within_the_loss() -> None:
    def make(way: Any) -> tuple[Any, Any]:
        model = network()

        def loss_of(out: Tensor, y: Tensor) -> Tensor:
            for module in model:
                if isinstance(module, ohmlet.nn.AnalogLinear) and module.bias is not None:
                    module.bias.data = module.bias.data.clone()
                    module.weight.data = module.weight.data.clone()
            loss: Tensor = nll(out, y)
            return loss

        return model, way(model, loss_of, optimized(model))

    same(make)


def test_a_rate_that_the_loss_sets() -> None:
    def make(way: Any) -> tuple[Any, Any]:
        model = network()
        optimizer = optimized(model)

        def loss_of(out: Tensor, y: Tensor) -> Tensor:
            optimizer.param_groups[0]["lr"] *= 0.7
            loss: Tensor = nll(out, y)
            return loss

        return model, way(model, loss_of, optimizer)

    same(make)


@pytest.mark.parametrize("learned", ["none", "tilewise"])
def test_a_bias_of_another_size_is_refused_as_ever(learned: str) -> None:
    model: Any = network(learned_scales=learned)
    step = TrainingStep(model, nll, optimized(model))
    step(X[:5], Y[:5])
    model[3].bias.data = model[3].bias.data[:3]
    with pytest.raises(RuntimeError, match="size"):
        step(X[:5], Y[:5])


def test_inputs_that_the_loss_changes_are_refused() -> None:
    model = network()

    def loss_of(out: Tensor, y: Tensor) -> Tensor:
        x.mul_(2)
        loss: Tensor = nll(out, y)
        return loss

    x = X[:5].clone()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        TrainingStep(model, loss_of, optimized(model))(x, Y[:5])


def test_outputs_that_an_activation_needs_are_not_changed() -> None:
    model = network()
    model[6] = nn.Sigmoid()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        TrainingStep(model, lambda out, _: out.mul_(2).sum(), optimized(model))(X[:5], Y[:5])


def test_another_optimizer_or_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(trained: Trained) -> list[float]:
        losses = trained.train(0, 20)
        trained.optimizer = trained.step.optimizer = AnalogSGD(trained.model.parameters(), lr=0.05)
        losses += trained.train(20, 30)
        trained.model = trained.step.model = network(nn.Tanh)
        trained.optimizer = trained.step.optimizer = AnalogSGD(trained.model.parameters(), lr=0.05)
        return losses + trained.train(20, 30)

    check(lambda fast: Trained(fast, monkeypatch), train, times=8)


def test_layers_that_are_added_to_an_optimizer_are_known_to_be_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Trained(True, monkeypatch)
    trained.optimizer = AnalogSGD([nn.Parameter(torch.zeros(1))], lr=0.3)
    trained.optimizer.add_param_group({"params": list(trained.model.parameters())})
    trained.remake()
    trained.train(0, 5)
    assert trained.times == 1
    for _ in range(2):
        nll(trained.model(X[:5]), Y[:5]).backward()
    trained.optimizer.step()


def patched_sequential(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    whole = trained.model.forward
    trained.model.forward = lambda x: whole(x) * 2
    losses += trained.train(20, 30)
    del trained.model.forward
    return losses + trained.train(30, 40)


def patched_activation(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    trained.model[2].forward = lambda x: x.tanh()
    losses += trained.train(20, 30)
    del trained.model[2].forward
    return losses + trained.train(30, 40)


def wrapped_step(trained: Trained) -> list[float]:
    calls: list[int] = []

    def counted(optimizer: torch.optim.Optimizer, *args: Any) -> Any:
        calls.append(1)
        return type(optimizer).step(optimizer, *args)

    trained.optimizer.step = types.MethodType(counted, trained.optimizer)  # type: ignore[method-assign]
    losses = trained.train(0, 10)
    torch.optim.lr_scheduler.StepLR(trained.optimizer, 1)
    losses += trained.train(10, 20)
    assert len(calls) == 4
    return losses


def wrapped_zero_grad(trained: Trained) -> list[float]:
    calls: list[int] = []
    zero_grad = trained.optimizer.zero_grad

    def counted(*args: Any) -> None:
        calls.append(1)
        zero_grad(*args)

    trained.optimizer.zero_grad = counted  # type: ignore[assignment, method-assign]
    losses = trained.train(0, 20)
    assert len(calls) == 4
    del trained.optimizer.zero_grad
    return losses + trained.train(20, 40)


def bias_taken_away(trained: Trained) -> list[float]:
    losses = trained.train(0, 20)
    bias = trained.model[3].bias
    del trained.model[3].bias
    trained.model[3].bias = bias.detach()
    return losses + trained.train(20, 40)


def hooked_flatten(trained: Trained) -> list[float]:
    calls: list[int] = []
    trained.model[0].register_forward_hook(lambda *_: calls.append(1))
    losses = trained.train(0, 20)
    assert len(calls) == 4
    return losses


@pytest.mark.parametrize(
    ("train", "times"),
    [
        (patched_sequential, 6),
        (patched_activation, 6),
        (wrapped_step, 0),
        (wrapped_zero_grad, 4),
        (bias_taken_away, 4),
        (hooked_flatten, 0),
    ],
)
def test_left_to_the_lines_by(train: Callable[[Trained], Any], times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    check(lambda fast: Trained(fast, monkeypatch), train, times)


def test_another_approximation_of_gelu(monkeypatch: pytest.MonkeyPatch) -> None:
    def train(trained: Trained) -> list[float]:
        losses = trained.train(0, 20)
        trained.model[2].approximate = "tanh"
        return losses + trained.train(20, 40)

    check(lambda fast: Trained(fast, monkeypatch, network(nn.GELU)), train, times=8)


def test_a_frozen_analog_layer_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    def make(fast: bool) -> Trained:
        model = network()
        head: Any = nn.Sequential(nn.Linear(3, 3))
        ohmlet.convert(head, {"tile": {"type": "inference"}, "seed": 1})
        model[6] = nn.Sequential(head[0].requires_grad_(False), nn.LogSoftmax(-1))
        return Trained(fast, monkeypatch, model)

    check(make, lambda trained: trained.train(0, 20))


def test_a_scheduler_that_comes_too_early_still_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Trained(True, monkeypatch)
    trained.train(0, 20)
    schedule = torch.optim.lr_scheduler.StepLR(trained.optimizer, 1)
    with pytest.warns(UserWarning, match="before `optimizer.step"):
        schedule.step()


def test_errors_that_are_not_finite_are_refused_before_anything_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Trained(True, monkeypatch)
    trained.train(0, 10)
    before = {name: value.clone() for name, value in trained.model.state_dict().items() if "samples" not in name}
    trained.step = TrainingStep(trained.model, lambda out, y: nn.functional.nll_loss(out, y) * torch.inf, trained.optimizer)
    with pytest.raises(OrderError, match="not finite"):
        trained.train(10, 15)
    after = trained.model.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


def test_writes_from_outside_are_still_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Trained(True, monkeypatch)
    trained.train(0, 20)
    with torch.no_grad():
        trained.model[1].weight.mul_(2)
    with pytest.raises(OrderError, match="changed from outside"):
        trained.train(20, 25)


def test_output_and_gradients_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    trained = Trained(True, monkeypatch)
    loss = trained.step(X[:5], Y[:5])
    assert not loss.requires_grad
    assert loss == nn.functional.nll_loss(trained.step.output, Y[:5])
    assert all(each.grad is None for each in trained.model.parameters())


def test_what_is_given_in_another_order_is_refused() -> None:
    model: Any = network()
    with pytest.raises(ConfigError, match="in this order, got Sequential, AnalogSGD, function"):
        TrainingStep(model, optimized(model), nll)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="got str"):
        TrainingStep("model", nll, optimized(model))  # type: ignore[arg-type]
