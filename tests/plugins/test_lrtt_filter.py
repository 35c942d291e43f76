"""Filters of LR-TT beside the oracle and closed forms, and what they are for: offsets of devices, noise of reads."""

from __future__ import annotations

import warnings
from statistics import fmean
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.cells import transfer_report
from ohmlet.config import structure
from ohmlet.errors import ConfigError, SaturationWarning
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet_kernels.noise import Stream
from ohmlet_optimizers.lrtt import LRTT
from tests.oracle.lrtt import LRTTOracle, product
from tests.plugins.in_memory import noise, plain_step, site, train
from tests.plugins.test_algorithms_oracle import data, equal, plain
from tests.plugins.test_lrtt import CODED, held, ideal, made, some
from tests.plugins.test_lrtt_layers import EXACT, IDEAL, LAYERS, algorithms, converted, step
from tests.plugins.test_lrtt_layers import held as weights

EVERY_TIME = {"type": "chopper", "in_chop_prob": 1.0}


@pytest.mark.parametrize(("rows", "columns", "rank"), [(4, 5, 2), (5, 3, 3), (1, 1, 1)])
@pytest.mark.parametrize(("period", "keep"), [(0, 0.5), (1, 0.0), (2, 0.0), (3, 0.8)])
@pytest.mark.parametrize(
    ("unit", "every", "batch", "mode"), [("update", 2, 3, "none"), ("sample", 5, 3, "hybrid"), ("update", 1, 1, "none")]
)
def test_beside_the_oracle(
    rows: int, columns: int, rank: int, period: int, keep: float, unit: str, every: int, batch: int, mode: str
) -> None:
    x, d = data(rows, columns)
    steps: dict[str, float] = {"up": 0.01, "down": 0.004, "core": 0.007}
    cells: dict[str, Any] = {name: plain_step(step) for name, step in steps.items()}
    given: Any = {"type": "chopper", "in_chop_prob": 1 / period, "momentum": keep} if period else {"type": "ema", "momentum": keep}
    rule = LRTT(
        **cells,
        rank=rank,
        alpha=0.8,
        transfer_every=every,
        unit=unit,
        transfer_lr=0.9,
        transfer_micro_steps=1,
        reinit_mode=mode,
        reinit_gain=0.5,
        filter=given,
        update_c=CODED,
        loss_warning=1.0,
    )
    at = site(rows, columns)
    module = made(rule, at, CODED)
    oracle = LRTTOracle(rows, plain(module.array("down").weights()), steps, 0.8, "none", 0.9, period, keep)
    train(module, at, x, d, 0.1, batch)
    oracle.train(plain(x), plain(d), 0.1, batch, every, unit == "sample", 1, mode)
    for name, theirs in (("up", oracle.up), ("down", oracle.down), ("core", oracle.core)):
        equal(module.array(name).weights(), theirs.w)
    assert any(v for row in oracle.core.w for v in row)
    signed = [[c * v for c, v in zip(oracle.signs, row, strict=True)] for row in oracle.up.w]
    hidden = product(signed, oracle.down.w)
    seen = [[c + 0.8 * h for c, h in zip(*pair, strict=True)] for pair in zip(oracle.core.w, hidden, strict=True)]
    equal(module.weights(), seen)


@pytest.mark.parametrize("mode", ["standard", "hybrid"])
@pytest.mark.parametrize("random", [False, True])
def test_perfect_cells_do_not_know_of_signs(mode: str, random: bool) -> None:
    """Where up starts from zero the chopped rule is the plain one with another basis: core and the layer's function are the same bits."""
    found = []
    x, d = data(4, 6, 60)
    for chopper in ("none", {"type": "chopper", "in_chop_prob": 0.5, "in_chop_random": random}):
        at = site(4, 6)
        module = made(ideal(rank=3, reinit_mode=mode, transfer_every=4, transfer_lr_mode="alpha", filter=chopper), at)
        functions, least = [], []
        for first in range(0, 60, 3):
            train(module, at, x[first : first + 3], d[first : first + 3], 0.1, 3)
            functions.append(module.weights().clone())
            least.append(float(module.filter.signed(torch.ones(1, 3)).min()))
        found.append(torch.stack([*functions, module.array("core").weights()]))
    assert torch.equal(*found)
    assert min(least) == -1


def offset(module: Any, o: Tensor) -> None:
    """Bring `up` to an offset, as devices come to their symmetry points."""
    module.array("up").set_weights(o, Stream(torch.tensor(0)))


@pytest.mark.parametrize("given", ["none", {"type": "chopper", "in_chop_prob": 0.5}])
def test_offsets_leave_core_as_it_was_after_an_even_number_of_periods(given: Any) -> None:
    """eta o down adds up over transfers, and with signs that flip after every second it is gone after four; what gradients gave stays."""
    o, at = 0.2 * some(4, 2, name="offset"), site(4, 5)
    module = made(ideal(rank=2, reinit_mode="none", transfer_every=1, transfer_lr=0.5, filter=given), at)
    down = held(module)[1]
    for event in range(4):
        offset(module, o)
        module.transfer(noise(at, event, 1))
    left = 4 * 0.5 * o.double() @ down if given == "none" else torch.zeros(4, 5, dtype=torch.float64)
    torch.testing.assert_close(held(module)[2], left, rtol=1e-5, atol=1e-6)
    # A gradient's step beside the offset has the sign of its line, and arrives without it.
    x, d = data(4, 5, 1)
    for sign in (1, -1) if module.filter.chops else (1,):
        offset(module, o)
        module.array("down").set_weights(down.float(), Stream(at.key))
        if module.filter.chops:
            module.signs.fill_(sign)
        before = held(module)
        module.learn(x, d, 0.1, noise(at, 4, 1))
        step = -0.1 * d.double().mT @ (x.double() @ down.mT)
        torch.testing.assert_close(held(module)[0] - before[0], sign * step, rtol=1e-4, atol=1e-6)
        wanted = 0.5 * (step + sign * o) @ held(module)[1]
        module.transfer(noise(at, 4, 1))
        torch.testing.assert_close(held(module)[2] - before[2], wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.6])
def test_averages_of_chopped_offsets_vanish(momentum: float) -> None:
    """With flips at every transfer H goes to (1 - m) / (1 + m) of the offset, its sign in turn: a low-pass at half the frequency."""
    at = site(4, 5)
    settings = EVERY_TIME | {"momentum": momentum}
    module = made(ideal(rank=2, reinit_mode="none", transfer_every=1, filter=settings), at)
    o, down = 0.2 * some(4, 2, name="offset"), held(module)[1]
    sizes = []
    for event in range(40):
        offset(module, o)
        before = held(module)[2]
        module.transfer(noise(at, event, 1))
        sizes.append(held(module)[2] - before)
    torch.testing.assert_close(sizes[-1], -sizes[-2], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(sizes[-2], (1 - momentum) / (1 + momentum) * o.double() @ down, rtol=1e-3, atol=1e-6)


def test_all_that_was_read_arrives_in_the_end() -> None:
    """One step of a gradient, then none: the averages hand it on bit by bit, (1 - m) m^t of it, and 1 in all."""
    at, m = site(4, 5), 0.75
    module = made(ideal(rank=2, reinit_mode="hybrid", transfer_every=1, filter={"type": "ema", "momentum": m}), at)
    down = held(module)[1]
    module.array("up").set_weights(0.3 * some(4, 2), Stream(at.key))
    whole = held(module)[0] @ down
    for event in range(60):
        module.transfer(noise(at, event, 1))
        torch.testing.assert_close(held(module)[2], (1 - m ** (event + 1)) * whole, rtol=1e-4, atol=1e-6)
        # What was to be transferred is the product of the averages; later ones are below the digits of core.
        assert event > 10 or transfer_report(module)[""].worst < 1e-4


def test_averages_reduce_the_noise_of_reads() -> None:
    """White noise of variance s^2 on reads of up becomes (1 - m) / (1 + m) s^2 in what a transfer writes; a steady up is not touched."""
    sigma, m, count = 0.05, 0.8, 1500

    def read(w: Tensor, x: Tensor, told: Stream) -> Tensor:
        y = x @ w.mT
        return y + sigma * told.normal("read", y[:, None])[:, 0] if w.shape[0] == 4 else y

    at = site(4, 5, read=read)
    settings: dict[str, Any] = {"transfer_read": "onehot", "reinit_mode": "none", "transfer_every": 1, "transfer_write": "set"}
    module = made(ideal(rank=1, filter={"type": "ema", "momentum": m}, update_c=PulsedUpdate(), **settings), at)
    module.array("up").set_weights(torch.full((4, 1), 0.3), Stream(at.key))
    down = held(module)[1]
    gained = []
    for event in range(count):
        before = held(module)[2]
        module.transfer(noise(at, event, 1))
        gained.append((held(module)[2] - before) @ down.mT / down.square().sum())
    settled = torch.stack(gained)[50:]
    assert float(settled.mean()) == pytest.approx(0.3, abs=4 * sigma / (4 * count) ** 0.5)
    # 4 x 1450 numbers, of which (1 - m) / (1 + m) are independent, so that their variance is known to 7 %.
    assert float(settled.var(0).mean()) == pytest.approx(sigma**2 * (1 - m) / (1 + m), rel=0.21)


def test_averages_are_those_of_products_while_down_stays() -> None:
    """H_up H_down differs from the average of products by the weighted covariance of both, which is zero where one of them stays."""
    at, m = site(3, 4), 0.7
    for moves in (False, True):
        module = made(ideal(rank=2, reinit_mode="none", transfer_every=1, filter={"type": "ema", "momentum": m}), at)
        ups, downs, before = [], [], torch.zeros(3, 4, dtype=torch.float64)
        for event in range(12):
            module.array("up").set_weights(some(3, 2, name=f"up {event}"), Stream(at.key))
            if moves:
                module.array("down").set_weights(some(2, 4, name=f"down {event}"), Stream(at.key))
            ups.append(held(module)[0])
            downs.append(held(module)[1])
            module.transfer(noise(at, event, 1))
            gained, before = held(module)[2] - before, held(module)[2]
        shares = torch.tensor([(1 - m) * m**age for age in range(12)][::-1], dtype=torch.float64)[:, None, None]
        mean = (shares * torch.stack(ups)).sum(0), (shares * torch.stack(downs)).sum(0) + m**12 * downs[0]
        of_products = (shares * (torch.stack(ups) @ torch.stack(downs))).sum(0)
        covariance = (shares * (torch.stack(ups) @ (torch.stack(downs) - mean[1]))).sum(0)
        torch.testing.assert_close(gained, of_products - covariance, rtol=1e-4, atol=1e-5)
        assert torch.allclose(gained, of_products, rtol=1e-4, atol=1e-5) != moves


def test_digital_memory_is_that_of_low_rank() -> None:
    """Averages are r (M + N) numbers of 4 bytes, signs r; neither is a matrix."""
    rows, columns, rank = 48, 64, 3

    def size(given: Any) -> int:
        module = made(LRTT(rank=rank, reinit_mode="hybrid", filter=given), site(rows, columns))
        return sum(value.numel() * value.element_size() for value in module.state_dict().values())

    low = 4 * rank * (rows + columns)
    plainly = size("none")
    assert size({"type": "ema"}) - plainly == low + 1
    assert size({"type": "chopper", "in_chop_random": True}) - plainly == 4 * rank
    assert size({"type": "chopper", "momentum": 0.5}) - plainly == low + 1 + 4 * rank + 8


def test_signs_flip_as_often_as_stated() -> None:
    at, rank = site(300, 300), 250
    for given, expected in (
        ({"in_chop_prob": 0.3, "in_chop_random": True}, 0.3),
        ({"in_chop_prob": 0.34}, 1 / 3),
        ({"in_chop_prob": 1.0}, 1.0),
    ):
        module = made(ideal(rank=rank, filter={"type": "chopper", **given}), at)
        flips, before = 0.0, module.signs.clone()
        for event in range(60):
            module.filter.flip(noise(at, event, 1))
            flips += float((module.signs != before).float().mean()) / 60
            before = module.signs.clone()
        assert flips == pytest.approx(expected, abs=4 * (0.25 / 60 / rank) ** 0.5 if "in_chop_random" in given else 1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filter": "ema"}, "filter.momentum averages up and down each by itself, .* reinit_mode none or hybrid, not standard"),
        ({"filter": {"type": "chopper", "momentum": 0.5}, "reinit_mode": "decay"}, "reinit_mode none or hybrid, not decay"),
        ({"filter": "chopper", "transfer_every": 0}, "filter Chopper.* has no effect without transfers"),
        ({"filter": "ema", "transfer_every": 0}, "filter EMA.* has no effect without transfers"),
        ({"filter": {"type": "ema", "momentum": 0.0}, "reinit_mode": "none"}, "'momentum' must be > 0: 0.0"),
        ({"filter": {"type": "ema", "momentum": 1.0}, "reinit_mode": "none"}, "'momentum' must be < 1: 1.0"),
        ({"filter": {"type": "chopper", "in_chop_prob": 0.0}}, "'in_chop_prob' must be > 0: 0.0"),
        ({"filter": "emma"}, "unknown type 'emma'; did you mean 'ema'"),
    ],
)
def test_settings_without_effect(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        structure({"type": "lrtt", **settings}, UpdateAlgorithm)


def test_equations_tell_of_signs_and_averages() -> None:
    rule: Any = structure({"type": "lrtt", "filter": {"type": "chopper", "momentum": 0.5}, "reinit_mode": "hybrid"}, UpdateAlgorithm)
    assert rule.equations() == (
        "up <- up - lr d (c down x)^T, down <- down - lr (c up^T d) x^T, coded in pulses, rank 4",
        "all c flip every 10 transfers",
        "H_up <- 0.5 H_up + 0.5 c up, H_down <- 0.5 H_down + 0.5 down",
        "core <- core + 1 H_up H_down, every 32 mini-batches, then reinit hybrid",
        "y = core x + 1 up (c down x); gradient core^T d + 1 down^T (c up^T d)",
    )


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("periphery", ["own", "shared"])
def test_layers_read_up_with_signs(name: str, periphery: str) -> None:
    """Outputs, input gradients and one step of ideal cells are those of autograd with weights core + alpha up (c down)."""
    make, shape = LAYERS[name]
    torch.manual_seed(1)
    digital = make()
    rule = {**IDEAL, "alpha": 1.5, "periphery": periphery, "transfer_every": 10, "filter": EVERY_TIME}
    model = converted(digital, rule, {"update": EXACT})
    for number, module in enumerate(algorithms(model)):
        module.signs.copy_(torch.tensor([[-1.0, 1.0]]) * (-1) ** number)
    signs = [module.signs.clone() for module in algorithms(model)]
    before = [weights(module) for module in algorithms(model)]
    leaves = [{key: value.clone().requires_grad_() for key, value in each.items()} for each in before]
    merged = torch.cat([each["core"] + 1.5 * (each["up"] * c) @ each["down"] for each, c in zip(leaves, signs, strict=True)])
    given = torch.randn(shape).requires_grad_()
    beside = given.detach().clone().requires_grad_()
    y = model(given)
    expected = torch.func.functional_call(digital, {"weight": merged.reshape(digital.weight.shape)}, (beside,))
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    y.square().sum().backward()
    expected.square().sum().backward()
    torch.testing.assert_close(given.grad, beside.grad, rtol=1e-4, atol=1e-4)
    model.zero_grad()
    step(model, given.detach(), 1e-3)
    for module, was, leaf in zip(algorithms(model), before, leaves, strict=True):
        for key, value in weights(module).items():
            gradient = leaf[key].grad
            assert gradient is not None
            moved = was[key] if key == "core" else was[key] - 1e-3 * gradient / 2
            torch.testing.assert_close(value, moved, rtol=1e-4, atol=1e-5)


DEVICE: dict[str, Any] = {
    "type": "soft_bounds_reference",
    "dw_min": 0.01,
    "dw_min_dtod": 0.3,
    "dw_min_std": 0.3,
    "w_max": 1.0,
    "w_min": -1.0,
    "w_max_dtod": 0.0,
    "w_min_dtod": 0.0,
    "subtract_symmetry_point": True,
}


def error(seed: int, label: float, core: dict[str, Any], read_noise: float = 0.0, offset: float = 0.0, **settings: Any) -> float:
    """Return how far from its target 8 x 12 weights core is after 1000 mini-batches of 4, relative, mean over the last 200.

    The target lies in the span of the first `down`; labels have noise, so that gradients keep pulsing the devices.
    """

    def read(w: Tensor, x: Tensor, told: Stream) -> Tensor:
        y = x @ w.mT
        return y + read_noise * told.normal("read", y[:, None])[:, 0]

    torch.manual_seed(seed)
    at = site(8, 12, seed=seed + 1, read=read)
    cells: dict[str, Any] = {**dict.fromkeys(("up", "down"), DEVICE | {"reference_std": offset}), "core": core}
    rule = LRTT(**cells, rank=4, forward_inject=False, reinit_gain=1.0, transfer_every=10, transfer_lr=0.2, **settings)
    module = made(rule, at, PulsedUpdate())
    target = torch.randn(8, 4) @ module.array("down").weights()
    target *= 0.3 * 96**0.5 / target.norm()
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)
        for step in range(1000):
            x, w = torch.randn(4, 12), module.weights().clone()
            errors.append(float((w - target).norm() / target.norm()))
            module.update(x, (x @ (w - target).mT + label * torch.randn(4, 8)) / 4, 0.05, noise(at, 4 * step, 4))
    return fmean(errors[-200:])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["standard", "hybrid", "none"])
def test_chopping_undoes_offsets_of_symmetry_points(mode: str) -> None:
    """Symmetry points known to 0.2 make the error half as large again; chopped transfers bring it down to where perfect ones have it."""
    core = {"type": "constant_step", "dw_min": 0.001, "w_max": 2.0, "w_min": -2.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0}
    known, unknown, chopped = (
        fmean([error(seed, 3.0, core, offset=off, filter=given, reinit_mode=mode) for seed in range(4)])
        for off, given in ((0.0, "none"), (0.2, "none"), (0.2, "chopper"))
    )
    assert unknown > 1.3 * known
    assert chopped - known < 0.4 * (unknown - known)


@pytest.mark.slow
def test_averages_reduce_the_error_that_noisy_reads_make() -> None:
    """On a core with symmetry points of its own, which spurious pulses draw it to, averages help; without noise they only delay."""
    core = DEVICE | {"dw_min": 0.005, "reference_std": 0.3}
    settings: dict[str, Any] = {"reinit_mode": "hybrid", "transfer_read": "onehot", "proj": "digital"}
    found = {
        (sigma, given): fmean([error(seed, 0.5, core, sigma, filter=given, **settings) for seed in range(4)])
        for sigma in (0.0, 0.2)
        for given in ("none", "ema")
    }
    assert found[0.2, "ema"] < 0.8 * found[0.2, "none"]
    assert found[0.0, "ema"] > 0.9 * found[0.0, "none"]
