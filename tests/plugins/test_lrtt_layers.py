"""LR-TT in layers: what passes read, convolutions, engines, checkpoints, chips."""

from __future__ import annotations

import contextlib
import copy
import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

import ohmlet
from ohmlet.cells import transfer_report
from ohmlet.config import part, structure
from ohmlet.errors import ConfigError, SaturationWarning
from ohmlet.interfaces.device import UnitCell
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet.optim import AnalogSGD
from ohmlet.testing import run_kit
from ohmlet_kernels.noise import Stream
from tests.oracle.mvm import Product, largest

EXACT: dict[str, Any] = {"pulse_type": "none"}
IDEAL: dict[str, Any] = {"type": "lrtt", "rank": 2, "up": "ideal", "down": "ideal", "core": "ideal", "update_c": EXACT}


def converted(digital: nn.Module, rule: dict[str, Any], tile: dict[str, Any] | None = None, **changes: Any) -> Any:
    """Return a copy of a module on crossbars that learn by a rule, their `up` moved away from zero."""
    model = nn.Sequential(copy.deepcopy(digital))
    config = {"tile": {"type": "in_memory", "update_algorithm": rule, **(tile or {})}, "seed": 3, **changes}
    ohmlet.convert(model, config)
    for number, module in enumerate(algorithms(model)):
        up = module.array("up")
        up.set_weights(0.2 * Stream(torch.tensor(number)).normal("up", up.weights()), Stream(torch.tensor(0)))
    return model.train()


def algorithms(model: nn.Module) -> list[Any]:
    """Return the modules of the rule."""
    return [module for module in model.modules() if type(module).__name__ == "LRTTModule"]


def held(module: Any) -> dict[str, Tensor]:
    """Return the weights of its arrays."""
    return {name: module.array(name).weights().detach().clone() for name in ("up", "down", "core")}


def step(model: nn.Module, x: Tensor, lr: float = 0.1, parts: int = 1) -> None:
    """Make one optimizer step on half the squared output, in one batch or in micro-batches."""
    optimizer = AnalogSGD(model.parameters(), lr)
    for some in x.chunk(parts):
        (0.5 * model(some).square().sum()).backward()
    optimizer.step()


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(6, 5), (4, 6)),
    "linear with positions": (lambda: nn.Linear(6, 5, bias=False), (4, 3, 6)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2), (4, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(3, 6, 3, padding=1), (4, 3, 5, 5)),
    "conv2d in groups": (lambda: nn.Conv2d(4, 6, 3, groups=2), (4, 4, 5, 5)),
}


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("periphery", ["own", "shared"])
@pytest.mark.parametrize("name", LAYERS)
def test_layers_follow_low_rank_adaptation(name: str, periphery: str, parts: int) -> None:
    """Outputs, input gradients and one step of ideal cells are those of autograd with weights core + alpha up down."""
    make, shape = LAYERS[name]
    torch.manual_seed(1)
    digital = make()
    rule = {**IDEAL, "alpha": 1.5, "periphery": periphery, "transfer_every": 10}
    model = converted(digital, rule, {"update": EXACT})
    before = [held(module) for module in algorithms(model)]
    leaves = [{key: value.clone().requires_grad_() for key, value in each.items()} for each in before]
    merged = torch.cat([each["core"] + 1.5 * each["up"] @ each["down"] for each in leaves]).reshape(digital.weight.shape)
    x = torch.randn(shape)
    given, beside = x.clone().requires_grad_(), x.clone().requires_grad_()
    y = model(given)
    expected = torch.func.functional_call(digital, {"weight": merged}, (beside,))
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(given.grad, beside.grad, rtol=1e-4, atol=1e-4)

    # The loss of a step is half of that above, and so is its gradient.
    model.zero_grad()
    step(model, x, 1e-3, parts)
    for module, was, leaf in zip(algorithms(model), before, leaves, strict=True):
        for key, value in held(module).items():
            gradient = leaf[key].grad
            assert gradient is not None
            moved = was[key] if key == "core" else was[key] - 1e-3 * gradient / 2
            torch.testing.assert_close(value, moved, rtol=1e-4, atol=1e-5)
        assert int(module.counted) == 1
    assert isinstance(model[0].weight, nn.Parameter)
    torch.testing.assert_close(model[0].weight.detach(), torch.cat([m.weights() for m in algorithms(model)]).reshape(merged.shape))


def through(w: Any, x: Any, bits_in: int, bits_out: int, bound: float) -> Any:
    """Return w x of one vector through converters, by the oracle."""
    in_step, out_step = 2 / (2**bits_in - 2), 2 * bound / (2**bits_out - 2)
    return Product(x, w, scale=largest(x), in_step=in_step, in_bound=1.0, out_step=out_step, out_bound=bound).y


@pytest.mark.parametrize(
    ("inject", "back", "periphery"),
    [
        (True, True, "own"),
        (True, False, "own"),
        (False, False, "own"),
        (False, True, "own"),
        (True, True, "shared"),
        (True, False, "shared"),
    ],
)
def test_each_array_is_read_by_a_pass_of_its_own(inject: bool, back: bool, periphery: str) -> None:
    """Every read has its own DAC and ADC, beside the oracle; what is injected in which direction is as stated."""
    torch.manual_seed(0)
    forward, backward = (5, 6, 4.0), (6, 7, 3.0)
    passes = {
        name: {"dac": {"bits": bits[0]}, "adc": {"bits": bits[1], "bound": bits[2]}}
        for name, bits in (("forward", forward), ("backward", backward))
    }
    rule = {**IDEAL, "alpha": 0.7, "forward_inject": inject, "backward_inject": back, "periphery": periphery}
    model = converted(nn.Linear(6, 5, bias=False), rule, passes)
    arrays = {name: value.double().numpy() for name, value in held(algorithms(model)[0]).items()}
    x = torch.randn(3, 6).requires_grad_()
    y = model(x)
    d = torch.randn(3, 5)
    y.backward(d)
    assert x.grad is not None
    merged = arrays["core"] + 0.7 * arrays["up"] @ arrays["down"]
    for row in range(3):
        v, e = x[row].detach().double().numpy(), d[row].double().numpy()
        out, gradient = through(arrays["core"], v, *forward), through(arrays["core"].T, e, *backward)
        if inject:
            out = (
                through(merged, v, *forward)
                if periphery == "shared"
                else out + 0.7 * through(arrays["up"], through(arrays["down"], v, *forward), *forward)
            )
        if back:
            gradient = (
                through(merged.T, e, *backward)
                if periphery == "shared"
                else gradient + 0.7 * through(arrays["down"].T, through(arrays["up"].T, e, *backward), *backward)
            )
        np.testing.assert_allclose(y[row].detach().numpy(), out, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(x.grad[row].numpy(), gradient, rtol=1e-5, atol=1e-6)


def test_noise_of_the_arrays_is_independent() -> None:
    """The output's variance is that of three reads: sigma^2 times the squared scale of each, and what `down` passes on through `up`."""
    torch.manual_seed(0)
    sigma, alpha = 0.05, 0.8
    model = converted(nn.Linear(6, 5, bias=False), {**IDEAL, "alpha": alpha}, {"forward": {"out_noise": sigma}})
    arrays = {name: value.double() for name, value in held(algorithms(model)[0]).items()}
    x = torch.randn(6)
    with torch.no_grad():
        y = model(x.expand(20_000, 6)).double()
    exact = (arrays["core"] + alpha * arrays["up"] @ arrays["down"]) @ x.double()
    scale, p = x.abs().max(), arrays["down"] @ x.double()
    second = (p + sigma * scale * torch.randn(20_000, 2)).abs().amax(-1).square().mean()
    variance = sigma**2 * (scale**2 + alpha**2 * (second + scale**2 * arrays["up"].square().sum(-1)))
    torch.testing.assert_close(y.mean(0), exact, rtol=0, atol=4 * float(variance.max().sqrt()) / 20_000**0.5)
    torch.testing.assert_close(y.var(0), variance, rtol=0.06, atol=0)


@pytest.mark.parametrize("scaling", [{"type": "learned"}, {"type": "average_abs_max"}, {"type": "fixed"}])
def test_one_range_for_all_inputs_is_refused(scaling: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=rf"input_range {scaling['type']} is one range for all inputs of a crossbar, and LRTT"):
        converted(nn.Linear(6, 5), IDEAL, {"forward": {"input_range": scaling}})
    # One matrix is read where nothing is injected.
    converted(nn.Linear(6, 5), {**IDEAL, "forward_inject": False}, {"forward": {"input_range": scaling}})


def noisy(**settings: Any) -> dict[str, Any]:
    """Return the rule on devices that differ and saturate, with short schedules."""
    device = {"type": "soft_bounds_reference", "dw_min": 0.01, "reference_std": 0.02, "subtract_symmetry_point": True}
    return {"type": "lrtt", "rank": 2, "up": device, "down": device, "core": device, "transfer_every": 3, "loss_warning": 1.0, **settings}


PASSES = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.02}
FULL: dict[str, Any] = {"forward": PASSES, "backward": PASSES, "read": PASSES}


def network() -> nn.Module:
    """Return a small network of a convolution and a layer."""
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))


def learned(model: nn.Module, batches: range) -> nn.Module:
    """Return the model after some mini-batches."""
    optimizer = AnalogSGD(model.parameters(), 0.2)
    for batch in batches:
        torch.manual_seed(batch)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(torch.randn(6, 1, 4, 4)), torch.randint(3, (6,))).backward()
        optimizer.step()
    return model


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"transfer_read": "onehot", "reinit_mode": "decay", "transfer_write": "program_verify"},
        {"transfer_read": "onehot", "reinit_mode": "hybrid", "filter": {"type": "chopper", "in_chop_random": True, "momentum": 0.5}},
    ],
)
def test_engines_agree(settings: dict[str, Any]) -> None:
    found = {}
    for engine in ("reference", "numba"):
        torch.manual_seed(0)
        found[engine] = learned(converted(network(), noisy(**settings), FULL, engine=engine), range(7)).state_dict()
    for name, value in found["reference"].items():
        torch.testing.assert_close(found["numba"][name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"unit": "sample", "transfer_every": 7, "reset_timing": "next_update"},
        {"reinit_mode": "orthogonal_decay"},
        {"reinit_mode": "none", "filter": "ema"},
        {"reinit_mode": "hybrid", "filter": {"type": "chopper", "in_chop_prob": 0.5, "momentum": 0.5}},
        {"reset_timing": "next_update", "filter": {"type": "chopper", "in_chop_prob": 0.5, "in_chop_random": True}},
    ],
)
@pytest.mark.parametrize("stop", [2, 3, 5])
def test_a_checkpoint_goes_on_bit_by_bit(stop: int, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    whole = learned(converted(network(), noisy(**settings), FULL), range(stop))
    file = io.BytesIO()
    torch.save(whole.state_dict(), file)
    file.seek(0)
    torch.manual_seed(7)
    fresh = converted(network(), noisy(**settings), FULL)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    learned(whole, range(stop, 9))
    learned(fresh, range(stop, 9))
    state = fresh.state_dict()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, state[name]), name
    for module in algorithms(whole):
        assert int(module.transfers) >= 3
    assert list(transfer_report(whole)) == [name for name, module in whole.named_modules() if type(module).__name__ == "LRTTModule"]


def test_samples_are_counted_across_positions_and_batches() -> None:
    """A convolution's patches are vectors: 6 images of 2 x 2 make 24 of them in a mini-batch, and a transfer every 10."""
    torch.manual_seed(0)
    model = learned(converted(network(), {**IDEAL, "unit": "sample", "transfer_every": 10}, {"update": EXACT}), range(3))
    conv, full = algorithms(model)
    assert [int(conv.counted), int(full.counted)] == [72, 18]
    assert [int(conv.transfers), int(full.transfers)] == [7, 1]


def test_chips_hold_what_forward_passes_read() -> None:
    """A programmed chip has one matrix per layer, which later training leaves alone."""
    torch.manual_seed(0)
    perfect = {"type": "pcm", "prog_noise_scale": 0.0, "read_noise_scale": 0.0, "drift_scale": 0.0}
    model = converted(nn.Linear(6, 5), IDEAL, {"update": EXACT, "noise_model": perfect})
    x = torch.randn(4, 6)
    chip = ohmlet.program(model, instances=1)
    expected = model(x).detach()
    assert not torch.allclose(expected, x @ held(algorithms(model)[0])["core"].mT + model[0].bias, atol=1e-3)
    torch.testing.assert_close(chip.at(0.0)(x)[0], expected, rtol=1e-4, atol=1e-5)
    step(model, x)
    torch.testing.assert_close(chip.at(0.0)(x)[0], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(model(x), expected, atol=1e-3)


def test_read_passes_without_effect_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"tile\.read has no effect: LRTT reads no single columns or rows"):
        converted(nn.Linear(6, 5), {**IDEAL, "proj": "digital"}, {"read": PASSES})
    converted(nn.Linear(6, 5), {**IDEAL, "proj": "digital", "transfer_read": "onehot"}, {"read": PASSES})


def test_ranks_above_a_layers_sides_are_refused_at_conversion() -> None:
    with pytest.raises(ConfigError, match="rank 4 is above 3, the smaller side of a crossbar of 3 x 16"):
        converted(nn.Linear(16, 3), {"type": "lrtt"})


def test_build() -> None:
    rule: Any = ohmlet.build("lrtt", {"type": "constant_step", "dw_min": 0.02}, rank=3).tile.update_algorithm  # type: ignore[attr-defined]
    assert [cell.granularity for cell in rule.arrays().values()] == [0.02] * 3
    assert rule.shapes(7, 9) == {"up": (7, 3), "down": (3, 9), "core": (7, 9)}


PROFILES: dict[str, tuple[float, str | None]] = {
    "aihwkit_lrtt": (0.5, None),
    "lrtt_test_move": (0.1, "of a transfer does not fit into 1 pulse trains of at most 31 pulses"),
    "lrtt_manuscript": (0.02, "has arrived in core: its devices are at their bounds, or step less there"),
}
"""A learning rate for the regression below, and what a profile is told of its transfers there."""


@pytest.mark.filterwarnings("ignore::ohmlet.errors.SaturationWarning")
@pytest.mark.filterwarnings("ignore:.*TOML has no null:UserWarning")
@pytest.mark.parametrize("name", PROFILES)
def test_profiles_keep_every_promise(name: str) -> None:
    rule = structure({"type": name, "rank": 4}, UpdateAlgorithm)
    assert not [f"{result.name}: {result.message}" for result in run_kit("update_algorithm", rule) if not result.passed]


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_learn(name: str) -> None:
    """Each at least halves the loss that no weights have, and says what of its transfers got lost."""
    torch.manual_seed(0)
    target, layer = 0.3 * torch.randn(6, 8), nn.Linear(8, 6, bias=False)
    nn.init.zeros_(layer.weight)
    model = nn.Sequential(layer)
    passes = FULL if structure(name, UpdateAlgorithm).reads else {"forward": PASSES, "backward": PASSES}
    ohmlet.convert(model, {"tile": {"type": "in_memory", "update_algorithm": {"type": name, "rank": 4}, **passes}, "seed": 1})
    lr, told = PROFILES[name]
    optimizer, losses = AnalogSGD(model.parameters(), lr), []
    with contextlib.nullcontext() if told is None else pytest.warns(SaturationWarning, match=told):
        for _ in range(400):
            x = torch.randn(10, 8)
            loss = (model(x) - x @ target.mT).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    assert sum(losses[-50:]) / 50 < 0.5 * float(target.square().sum()) / 6


@frozen(kw_only=True)
class Halves(UpdateAlgorithm):
    """Two arrays that are read one by one and added; the second is half as tall, and lies under the first half of the outputs."""

    whole: UnitCell = part(UnitCell, "the cells of all outputs", "ideal")
    upper: UnitCell = part(UnitCell, "further cells of the first half of the outputs", "ideal")

    def arrays(self) -> Mapping[str, UnitCell]:
        return {"whole": self.whole, "upper": self.upper}

    def shapes(self, rows: int, columns: int) -> Mapping[str, tuple[int, int]]:
        return {"whole": (rows, columns), "upper": (rows // 2, columns)}

    @property
    def operands(self) -> tuple[str, ...]:
        return ("whole", "upper")

    def product(self, x: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        y, first = mvm("whole", x, w["whole"]), mvm("upper", x, w["upper"])
        return y + nn.functional.pad(first, (0, y.shape[-1] - first.shape[-1]))

    def transposed_product(self, d: Tensor, w: Mapping[str, Tensor], mvm: Callable[[str, Tensor, Tensor], Tensor]) -> Tensor:
        return mvm("whole", d, w["whole"]) + mvm("upper", d[..., : w["upper"].shape[-2]], w["upper"])

    def build(self, site: Any, arrays: Mapping[str, nn.Module], pulses: Any) -> nn.Module:
        return HalvesModule(arrays, pulses)


class HalvesModule(nn.Module):
    """The arrays of Halves."""

    def __init__(self, arrays: Mapping[str, nn.Module], pulses: Any) -> None:
        super().__init__()
        self.arrays, self.pulses = nn.ModuleDict(arrays), pulses

    def weights(self) -> Tensor:
        whole, half = (array.weights() for array in self.arrays.values())  # type: ignore[operator]
        w: Tensor = whole + nn.functional.pad(half, (0, 0, 0, len(whole) - len(half)))
        return w

    def set_weights(self, w: Tensor, noise: Stream) -> None:
        for (name, array), share in zip(self.arrays.items(), (w, 0 * w[: len(w) // 2]), strict=True):
            array.set_weights(share, noise.child(name))  # type: ignore[operator]

    def update(self, x: Tensor, d: Tensor, lr: float, noise: Stream) -> None:
        half: Any = self.arrays["upper"]
        half.pulse(x, d[:, : len(half.weights())], lr, self.pulses, noise)


def test_rules_of_others_may_compose_arrays_too() -> None:
    """Outputs and gradients are those of the sum, and the smaller array learns."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4))
    ohmlet.convert(model, {"tile": {"type": "in_memory", "update_algorithm": Halves(), "update": EXACT}})
    rule: Any = next(module for module in model.modules() if isinstance(module, HalvesModule))
    x, w = torch.randn(3, 5), rule.weights().clone()
    torch.testing.assert_close(model(x), x @ w.mT + model[0].bias)
    optimizer = AnalogSGD(model.parameters(), 0.1)
    model(x).sum().backward()
    optimizer.step()
    step = torch.cat([x.sum(0).expand(2, -1), torch.zeros(2, 5)])
    torch.testing.assert_close(rule.weights(), w - 0.1 * step)
    given = x.clone().requires_grad_()
    model.eval()(given).sum().backward()
    torch.testing.assert_close(given.grad, rule.weights().sum(0).expand(3, -1))


def test_operands_need_their_products() -> None:
    for name in ("product", "transposed_product"):
        with pytest.raises(NotImplementedError, match=rf"Halves names operands .* override {name}$"):
            getattr(UpdateAlgorithm, name)(Halves(), torch.zeros(1), {}, lambda name, x, w: x)
