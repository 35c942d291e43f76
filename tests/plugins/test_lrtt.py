"""LR-TT: beside the oracle and closed forms, its transfers and their account, settings without effect."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.cells import build_array, transfer_report
from ohmlet.cells.build import keyed
from ohmlet.config import structure
from ohmlet.errors import ConfigError, SaturationWarning
from ohmlet.interfaces.device import ArraySite
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet_kernels.noise import Stream, key
from ohmlet_optimizers.lrtt import LRTT
from ohmlet_optimizers.lrtt_writes import micro_steps
from tests.oracle.lrtt import LRTTOracle, product
from tests.plugins.in_memory import IMPLICIT, noise, plain_step, site, train
from tests.plugins.test_algorithms_oracle import data, equal, plain

IDEAL: dict[str, Any] = dict.fromkeys(("up", "down", "core"), "ideal")
EXACT = PulsedUpdate(pulse_type="none")
CODED = PulsedUpdate(**IMPLICIT)


def made(rule: LRTT, at: ArraySite, pulses: PulsedUpdate = EXACT) -> Any:
    """Return a rule's module with arrays of the sizes that it states."""
    shapes = rule.shapes(at.rows, at.columns)
    arrays = {}
    for name, cell in rule.arrays().items():
        rows, columns = shapes[name]
        arrays[name] = build_array(cell, keyed(at, name)._replace(rows=rows, columns=columns), name)
    return rule.build(at, arrays, pulses)


def ideal(**settings: Any) -> LRTT:
    """Return the rule on cells that take floating-point updates."""
    coding = {"update_c": EXACT} if settings.get("transfer_every", 1) else {}
    return LRTT(**{**IDEAL, **coding, **settings})


def held(module: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return up, down and core as they are, in float64."""
    return tuple(module.array(name).weights().double().clone() for name in ("up", "down", "core"))


def some(*shape: int, name: str = "some") -> Tensor:
    """Return standard normals of a name."""
    return Stream(torch.tensor(key("lrtt", name))).normal("value", torch.empty(shape)).reshape(shape)


@pytest.mark.parametrize(("rows", "columns", "rank"), [(4, 5, 2), (5, 3, 3), (3, 4, 1), (1, 1, 1)])
@pytest.mark.parametrize(
    ("unit", "every", "batch", "micro", "mode"),
    [("update", 2, 3, 1, "none"), ("sample", 5, 3, 2, "decay"), ("update", 1, 1, 1, "hybrid"), ("sample", 7, 20, 1, "hybrid")],
)
def test_beside_the_oracle(rows: int, columns: int, rank: int, unit: str, every: int, batch: int, micro: int, mode: str) -> None:
    x, d = data(rows, columns)
    steps: dict[str, float] = {"up": 0.01, "down": 0.004, "core": 0.007}
    scaled = {"none": "none", "decay": "div_sqrt_r", "hybrid": "mul_sqrt_r"}[mode]
    cells: dict[str, Any] = {name: plain_step(step) for name, step in steps.items()}
    rule = LRTT(
        **cells,
        rank=rank,
        alpha=0.8,
        transfer_every=every,
        unit=unit,
        transfer_lr=0.9,
        transfer_micro_steps=micro,
        grad_scale=scaled,
        reinit_mode=mode,
        reinit_gain=0.5,
        update_c=CODED,
        loss_warning=1.0,
    )
    at = site(rows, columns)
    module = made(rule, at, CODED)
    oracle = LRTTOracle(rows, plain(module.array("down").weights()), steps, 0.8, scaled, 0.9)
    train(module, at, x, d, 0.1, batch)
    oracle.train(plain(x), plain(d), 0.1, batch, every, unit == "sample", micro, mode, rule.reinit_decay)
    for name, theirs in (("up", oracle.up), ("down", oracle.down), ("core", oracle.core)):
        equal(module.array(name).weights(), theirs.w)
    assert any(v for row in oracle.core.w for v in row)
    hidden = product(oracle.up.w, oracle.down.w)
    seen = [[c + 0.8 * h for c, h in zip(*pair, strict=True)] for pair in zip(oracle.core.w, hidden, strict=True)]
    equal(module.weights(), seen)


@pytest.mark.parametrize("lr_times_alpha", [True, False])
def test_one_step_is_that_of_low_rank_adaptation(lr_times_alpha: bool) -> None:
    """Ideal cells without pulses: autograd's gradient of 1/2 |y - t|^2 with respect to up and down, which core + alpha up down has."""
    rule = ideal(rank=3, alpha=2.0, alpha_over_r=True, lr_times_alpha=lr_times_alpha, transfer_every=0)
    at = site(5, 4)
    module = made(rule, at)
    module.array("up").set_weights(0.3 * some(5, 3, name="up"), Stream(at.key))
    module.array("core").set_weights(0.2 * some(5, 4, name="core"), Stream(at.key))
    up, down, core = held(module)
    x, target = some(6, 4, name="x").double(), some(6, 5, name="target").double()
    u, v = up.clone().requires_grad_(), down.clone().requires_grad_()
    y = x @ (core + 2 / 3 * u @ v).mT
    (0.5 * (y - target).square().sum()).backward()
    assert u.grad is not None
    assert v.grad is not None
    share = 1.0 if lr_times_alpha else 1.5
    module.update(x.float(), (y - target).detach().float(), 0.01, noise(at, 0, 6))
    torch.testing.assert_close(module.array("up").weights().double(), up - 0.01 * share * u.grad, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(module.array("down").weights().double(), down - 0.01 * share * v.grad, rtol=1e-5, atol=1e-6)
    assert torch.equal(module.array("core").weights().double(), core)


@pytest.mark.parametrize("mode", ["standard", "hybrid", "orthogonal_zero"])
@pytest.mark.parametrize("over", [False, True])
def test_transfers_at_alpha_keep_the_function(mode: str, over: bool) -> None:
    rule = ideal(rank=2, alpha=3.0, alpha_over_r=over, transfer_lr_mode="alpha", reinit_mode=mode, transfer_every=4)
    at = site(4, 6)
    module = made(rule, at)
    x, d = data(4, 6, 12)
    train(module, at, x, d, 0.1, 4)
    before, down = module.weights().clone(), module.array("down").weights().clone()
    assert float((module.array("up").weights() @ down).abs().max()) > 1e-3
    module.transfer(noise(at, 12, 1))
    torch.testing.assert_close(module.weights(), before, rtol=1e-5, atol=1e-6)
    assert not module.array("up").weights().any()
    assert torch.equal(module.array("down").weights(), down) == (mode == "hybrid")
    report = transfer_report(module)[""]
    assert report.transfers == 1
    assert report.worst < 1e-5
    assert (
        str(report) == f"1 transfers: residual {report.residual:.3g} on average, at worst {report.worst:.3g}; 100.0% of what was "
        "transferred has arrived"
    )


def test_full_rank_and_transfers_each_step_are_descent_projected_on_down() -> None:
    """From up = 0 a step and a transfer add -lr d x^T down^T down; orthogonal rows of full rank leave plain descent."""
    at = site(6, 4)
    x, d = data(6, 4, 5)
    for mode, mixed in (("standard", True), ("orthogonal_zero", False)):
        module = made(ideal(rank=4, transfer_every=1, reinit_mode=mode, reinit_gain=0.5), at)
        down = held(module)[1]
        gram = down.mT @ down
        module.update(x, d, 0.1, noise(at, 0, 5))
        step = -0.1 * d.double().mT @ x.double()
        torch.testing.assert_close(held(module)[2], step @ gram, rtol=1e-5, atol=1e-6)
        # Rows as long as those of the normal numbers: gain^2 2 / in x in.
        alike = torch.allclose(gram, 2 * 0.5**2 * torch.eye(4, dtype=torch.float64), atol=1e-6)
        assert alike != mixed


def test_ranks_from_one_to_the_smaller_side_and_no_further() -> None:
    for rows, columns in ((2, 7), (7, 2)):
        for rank in (1, 2):
            module = made(ideal(rank=rank, transfer_every=2), site(rows, columns))
            train(module, site(rows, columns), *data(rows, columns, 12), 0.1, 3)
            shapes = {name: tuple(array.weights().shape) for name, array in module.arrays.items()}
            assert shapes == {"up": (rows, rank), "down": (rank, columns), "core": (rows, columns)}
            assert module.weights().abs().sum() > 0
        with pytest.raises(ConfigError, match=f"rank 3 is above 2, the smaller side of a crossbar of {rows} x {columns}"):
            made(ideal(rank=3), site(rows, columns))


def test_memory_is_that_of_low_rank() -> None:
    """Bytes per cell times M N + r (M + N), and a handful of counters; not three full matrices."""
    rows, columns, rank = 48, 64, 3
    module = made(LRTT(rank=rank), site(rows, columns))
    total = sum(value.numel() * value.element_size() for value in module.state_dict().values())
    core = sum(v.numel() * v.element_size() for v in module.array("core").state_dict().values() if v.ndim == 2)
    cells = rows * columns + rank * (rows + columns)
    assert 0 <= total - core // (rows * columns) * cells < 150
    assert total < 1.2 * core


def saturated(**settings: Any) -> tuple[Any, ArraySite]:
    """Return a module whose next transfer is more than trains of 31 pulses of 0.001 can write."""
    cells: dict[str, Any] = {name: plain_step(0.001, 2.0) for name in ("up", "down", "core")}
    at = site(4, 5)
    module = made(LRTT(**cells, rank=2, transfer_every=1, **settings), at, PulsedUpdate())
    for name in ("up", "down"):
        w = module.array(name).weights()
        module.array(name).set_weights(torch.full_like(w, 0.5).copysign(some(*w.shape, name=name)), Stream(at.key))
    return module, at


def test_saturated_trains_are_told_once_and_reported() -> None:
    module, at = saturated(transfer_micro_steps=1, reinit_mode="none")
    up, down, _ = held(module)
    with pytest.warns(
        SaturationWarning, match="lrtt: 88% of a transfer does not fit into 1 pulse trains of at most 31 pulses for each rank"
    ):
        module.transfer(noise(at, 0, 1))
    # All columns of up and rows of down have one size, so every rank gives each cell 31 pulses.
    arrived = 0.031 * sum(torch.outer(up[:, k].sign(), down[k].sign()) for k in range(2))
    torch.testing.assert_close(held(module)[2], arrived, rtol=1e-4, atol=1e-6)
    report = transfer_report(module)[""]
    assert report.transfers == 1
    assert report.reached == pytest.approx(0.031 / 0.25, rel=1e-3)
    assert report.residual == report.worst == pytest.approx(1 - 0.031 / 0.25, rel=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module.transfer(noise(at, 1, 1))
    assert transfer_report(module)[""].transfers == 2


@pytest.mark.parametrize("steps", [None, 16])
def test_micro_steps_cure_it(steps: int | None) -> None:
    module, at = saturated(transfer_micro_steps=steps)
    module.transfer(noise(at, 0, 1))
    report = transfer_report(module)[""]
    assert report.reached == pytest.approx(1, abs=0.05)
    assert report.residual < 0.1


def test_as_many_micro_steps_as_the_largest_product_needs() -> None:
    up, down = torch.tensor([[0.5, 0.1], [-1.0, 0.2]]), torch.tensor([[0.3, 0.0], [1.0, -2.0]])
    # Largest products 1.0 x 0.3 and 0.2 x 2.0; the largest numbers 1.0 and 2.0.
    cases: list[tuple[dict[str, Any], int]] = [
        ({}, math.ceil(0.4 / 0.031)),
        ({"desired_bl": 500}, 1),
        ({"update_management": False, "update_bl_management": False}, math.ceil(4.0 / 0.031)),
        ({"update_management": False, "update_bl_management": False, "fixed_bl": False}, 1),
        ({"pulse_type": "none"}, 1),
    ]
    for settings, expected in cases:
        assert micro_steps(up, down, 1.0, 0.001, PulsedUpdate(**settings), None) == expected
    assert micro_steps(up, down, 1.0, 0.001, PulsedUpdate(), 3) == 3


def test_devices_at_their_bounds_are_told() -> None:
    """No number of micro-steps writes beyond a bound."""
    cells: dict[str, Any] = {"up": plain_step(0.001, 2.0), "down": plain_step(0.001, 2.0), "core": plain_step(0.001, 1.0)}
    at = site(4, 5)
    module = made(LRTT(**cells, rank=1, transfer_every=1, reinit_mode="none"), at)
    module.array("up").set_weights(torch.ones(4, 1), Stream(at.key))
    module.array("down").set_weights(torch.ones(1, 5), Stream(at.key))
    for event in range(7):
        module.transfer(noise(at, event, 1))
    # The first one brings core to its bounds; the others find it there.
    with pytest.warns(SaturationWarning, match="lrtt: only 12% of 8 transfers has arrived in core: its devices are at their bounds"):
        module.transfer(noise(at, 7, 1))


def test_noise_alone_is_no_saturation() -> None:
    """Products below one pulse arrive on average: a large residual, and nothing to warn of."""
    cells: dict[str, Any] = {name: plain_step(0.01, 2.0) for name in ("up", "down", "core")}
    at = site(30, 30)
    module = made(LRTT(**cells, rank=4, transfer_every=1, reinit_mode="none"), at, PulsedUpdate())
    for name in ("up", "down"):
        w = module.array(name).weights()
        module.array(name).set_weights(0.03 * some(*w.shape, name=name), Stream(at.key))
    for event in range(100):
        module.transfer(noise(at, event, 1))
    report = transfer_report(module)[""]
    assert report.residual > 1
    assert report.reached == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("read", ["digital", "onehot"])
@pytest.mark.parametrize("write", ["pulsed", "set", "program_verify"])
def test_every_way_of_writing_comes_to_the_product(read: str, write: str) -> None:
    cells: dict[str, Any] = {name: plain_step(0.001, 2.0) for name in ("up", "down", "core")}
    at = site(4, 5)
    module = made(LRTT(**cells, rank=2, transfer_every=1, transfer_read=read, transfer_write=write, transfer_lr=0.5), at)
    for name in ("up", "down"):
        w = module.array(name).weights()
        module.array(name).set_weights(0.3 * some(*w.shape, name=name), Stream(at.key))
    up, down, core = held(module)
    module.transfer(noise(at, 0, 1))
    tolerance = {"pulsed": 0.02, "set": 1e-6, "program_verify": 0.0005 + 1e-6}[write]
    torch.testing.assert_close(held(module)[2], core + 0.5 * up @ down, rtol=0, atol=tolerance)


def test_chunks_of_ranks_change_no_number() -> None:
    found = []
    for chunk in (None, 1, 2, 3):
        module, at = saturated(transfer_micro_steps=16, rank_chunk=None if chunk is None else min(chunk, 2))
        module.transfer(noise(at, 3, 1))
        found.append(module.array("core").weights())
    assert found[0].any()
    assert all(torch.equal(each, found[0]) for each in found)


def test_starting_anew() -> None:
    """Pulses bring up and down to where ideal writes put them, within half a step; next_update leaves them until then."""
    x, d = data(4, 6, 8)
    cells: dict[str, Any] = {name: plain_step(0.002, 1.0) for name in ("up", "down", "core")}
    modules = {}
    for write in ("ideal", "pulsed"):
        at = site(4, 6)
        module = made(LRTT(**cells, rank=2, transfer_every=2, reinit_write=write, reinit_gain=0.4), at, PulsedUpdate())
        module.update(x, d, 0.1, noise(at, 0, 8))
        assert module.array("up").weights().any()
        module.transfer(noise(at, 7, 1))
        modules[write] = module
    assert not modules["ideal"].array("up").weights().any()
    for name in ("up", "down"):
        apart = (modules["pulsed"].array(name).weights() - modules["ideal"].array(name).weights()).abs()
        assert float(apart.max()) < 0.001 + 1e-6
    assert float(apart.max()) > 1e-5

    at = site(4, 6)
    late = made(ideal(rank=2, transfer_every=1, reset_timing="next_update"), at)
    late.update(x, d, 0.1, noise(at, 0, 8))
    up, down, core = held(late)
    assert up.any()
    torch.testing.assert_close(core, up @ down)
    # Until then the forward pass counts the product twice, as the fork does.
    torch.testing.assert_close(late.weights().double(), 2 * up @ down)
    late.counted.zero_()
    late.spec = ideal(rank=2, transfer_every=5, reset_timing="next_update")
    late.update(x, d, 0.1, noise(at, 8, 8))
    torch.testing.assert_close(held(late)[0], -0.1 * d.double().mT @ (x.double() @ held(late)[1].mT), rtol=1e-4, atol=1e-6)
    assert not torch.equal(held(late)[1], down)


def test_random_down() -> None:
    """Standard deviation gain sqrt(2 / in), or uniform up to gain / sqrt(in), or orthogonal rows as long as the normal ones."""
    at = site(20, 800)
    normal, uniform, rows = (
        held(made(ideal(rank=20, reinit_gain=0.3, **settings), at))[1]
        for settings in ({}, {"down_init": "uniform"}, {"reinit_mode": "orthogonal_zero"})
    )
    assert float(normal.std()) == pytest.approx(0.3 * math.sqrt(2 / 800), rel=0.03)
    assert float(uniform.abs().max()) == pytest.approx(0.3 / math.sqrt(800), rel=0.01)
    assert float(uniform.std()) == pytest.approx(0.3 / math.sqrt(3 * 800), rel=0.03)
    torch.testing.assert_close(rows @ rows.mT, 2 * 0.3**2 * torch.eye(20, dtype=torch.float64), rtol=0, atol=1e-6)


def test_reads_drive_lines_at_full_scale_and_arrays_have_converters_of_their_own() -> None:
    asked: list[tuple[Tensor, int]] = []

    def watched(w: Tensor, x: Tensor, told: Stream) -> Tensor:
        assert told.ordinals is not None
        assert len(told.ordinals) == len(x)
        asked.append((x.clone(), int(told.key)))
        return x @ w.mT

    x, d = data(4, 5, 3)
    results = []
    for settings in ({"proj": "digital"}, {"transfer_read": "onehot"}):
        at = site(4, 5, read=watched)
        module = made(ideal(rank=2, transfer_every=1, reinit_mode="none", **settings), at)
        for first in range(3):
            module.update(1e-3 * x[first : first + 1], d[first : first + 1], 0.1, noise(at, first, 1))
        results.append(module.weights())
        if "proj" in settings:
            assert not asked
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-9)
    # Two projections, two columns of up, two rows of down each time; up is zero before the first update.
    assert [len(inputs) for inputs, _ in asked] == [1, 1, 2, 2] * 3
    assert all(float(inputs.abs().amax(-1).min()) == 1 for inputs, _ in asked)
    assert len({number for _, number in asked}) == 2


def test_no_account_no_report() -> None:
    with pytest.raises(ConfigError, match="no algorithm here keeps account of its transfers"):
        transfer_report(torch.nn.Linear(2, 2))
    assert transfer_report(made(ideal(), site(5, 5))) == {}


@pytest.mark.parametrize("write", ["pulsed", "program_verify"])
@pytest.mark.parametrize("cell", ["one_sided", "vector", "reference_pair", "exp_step", "soft_bounds_reference"])
def test_any_cell(cell: str, write: str) -> None:
    """Composites and devices that read themselves serve as any of the three arrays."""
    rule = structure(
        {
            "type": "lrtt",
            "up": cell,
            "down": cell,
            "core": cell,
            "rank": 2,
            "transfer_write": write,
            "transfer_every": 2,
            "reinit_gain": 1.0,
        },
        UpdateAlgorithm,
    )
    assert isinstance(rule, LRTT)
    at = site(3, 4)
    module = made(rule, at, PulsedUpdate())
    module.set_weights(torch.zeros(3, 4), noise(at, 0, 1).shared())
    before = module.weights().clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SaturationWarning)
        train(module, at, *data(3, 4, 40), 0.5, 4)
    assert torch.isfinite(module.weights()).all()
    assert not torch.equal(module.array("core").weights(), before)
    assert int(module.transfers) == 5
