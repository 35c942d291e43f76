"""Update algorithms: settings without effect, chance, schedules, read-outs, composites, and what only several devices show."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import ohmlet
from ohmlet.config import structure
from ohmlet.errors import ConfigError, PluginError
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.interfaces.update_algorithm import UpdateAlgorithm
from ohmlet_kernels.noise import Stream
from ohmlet_optimizers.agad import AGAD
from ohmlet_optimizers.c_ttv2 import ChoppedTTv2
from ohmlet_optimizers.mixed_precision import MixedPrecision, quantised
from ohmlet_optimizers.sgd import SGD
from ohmlet_optimizers.tiki_taka import TikiTaka
from ohmlet_optimizers.transfers import due, period, rounds
from ohmlet_optimizers.ttv2 import TTv2
from tests.plugins.in_memory import IMPLICIT, built, noise, plain_step, site, train, vectors

A = plain_step(0.01)
PAIR: dict[str, Any] = {"fast": A, "slow": A}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TikiTaka(with_reset_prob=0.1, transfer_columns=False), "with_reset_prob 0.1 resets columns: set transfer_columns"),
        (lambda: TikiTaka(gamma=0.1, gamma_vec=(0.1, 1.0)), "gamma 0.1 has no effect beside gamma_vec"),
        (lambda: TikiTaka(gamma_vec=(0.1, 0.2, 1.0)), "gamma_vec needs 2 numbers for 2 arrays, it has 3"),
        (lambda: TikiTaka(gamma_vec=(1.0, 0.0)), "gives the slow array no share in the weights"),
        (lambda: TTv2(transfer_every=2.0, transfer_every_vec=(1.0,)), "transfer_every 2.0 has no effect beside transfer_every_vec"),
        (lambda: TTv2(stage_ratio="width"), "stage_ratio width has no effect without `between`"),
        (lambda: ChoppedTTv2(auto_momentum=0.9), "auto_momentum 0.9 has no effect without auto_scale"),
        (lambda: ChoppedTTv2(in_chop_prob=0.0, in_chop_random=False), "in_chop_random has no effect with in_chop_prob 0"),
        (lambda: ChoppedTTv2(no_buffer=True, momentum=0.1), "momentum and forget_buffer have no effect with no_buffer"),
        (lambda: ChoppedTTv2(units_in_states=True, units_in_mbatch=True), "counts either states or mini-batches"),
        (lambda: ChoppedTTv2(auto_granularity=3.0, transfer_every=0.0), "auto_granularity 3.0 needs transfers"),
        (lambda: AGAD(in_chop_prob=0.0), "in_chop_prob 0 leaves the reference without a period"),
        (lambda: AGAD(buffer_cap=1.0), "buffer_cap 1.0 has no effect with forget_buffer"),
        (lambda: MixedPrecision(n_x_bins=1), "n_x_bins 1 leaves no level beside zero"),
        (lambda: MixedPrecision(stoc_round_d=True), "stoc_round_d has no effect without n_d_bins"),
        (lambda: MixedPrecision(random_row=True), "random_row has no effect while all rows are written"),
        (lambda: built(MixedPrecision(), site(2, 3), PulsedUpdate(pulse_type="none")), "pulse_type none has no steps"),
        (lambda: built(MixedPrecision(n_rows_per_transfer=3), site(2, 3), PulsedUpdate()), "writes more than the crossbar's 2 rows"),
        (lambda: built(TikiTaka(n_reads_per_transfer=4), site(2, 3), PulsedUpdate()), "reads more than the crossbar's 3 slices"),
    ],
)
def test_settings_without_effect(make: Any, message: str) -> None:
    """They are refused, with what to do."""
    with pytest.raises(ConfigError, match=message):
        make()


def test_schedule() -> None:
    """Counting goes on from batch to batch; mini-batches are rounded up, vectors to the nearest."""
    assert [due(3, 10, 5), due(0, 4, 5), due(5, 5, 5), due(0, 3, 0)] == [[2, 7], [], [5], []]
    assert [period(0.5, True, 5), period(2.4, False, 5), period(0.0, True, 5)] == [3, 2, 0]
    assert [slice_.stop for slice_ in rounds([1, 2, 0, 1, 0, 2, 2])] == [3, 6, 7]


def test_random_choppers_flip_as_often_as_they_should() -> None:
    """Signs are drawn for each read, and differ between crossbars."""
    signs = []
    for seed in range(2):
        at = site(2, 4, seed)
        module = built(ChoppedTTv2(**PAIR, in_chop_prob=0.25, out_chop_prob=0.5), at, PulsedUpdate())
        flips, before = 0, module.in_signs.clone()
        for step in range(400):
            module.update(torch.ones(1, 4), 0.1 * torch.ones(1, 2), 0.1, noise(at, step, 1))
            flips += int((module.in_signs != before).sum())
            before = module.in_signs.clone()
        signs.append(torch.cat([before, module.out_signs]))
        assert 65 <= flips <= 135
    assert module.out_signs.abs().min() == 1
    assert not torch.equal(signs[0], signs[1])


def test_random_slices_and_resets() -> None:
    """Transfers start anywhere; a column that was read and reset is at its reset level."""
    at = site(2, 50)
    module = built(
        TikiTaka(**PAIR, random_selection=True, with_reset_prob=1.0, transfer_update=PulsedUpdate(**IMPLICIT)), at, PulsedUpdate(**IMPLICIT)
    )
    xs = torch.ones(200, 50)
    train(module, at, xs, -torch.ones(200, 2), 0.01)
    fast, slow = (module.arrays[name].weights()[0] for name in ("fast", "slow"))
    assert 30 < int((slow != 0).sum()) <= 50
    assert float(fast.std()) > 0.1
    assert int(module.current) == 0


def test_batches_may_be_split() -> None:
    """One mini-batch of 12 vectors does what 12 of one do, where periods count vectors."""
    xs, ds, _, _ = vectors()
    for spec in (ChoppedTTv2(in_chop_prob=0.2, out_chop_prob=0.3), TTv2(units_in_mbatch=False), TikiTaka(units_in_mbatch=False)):
        whole, parts = (built(spec, site(2, 3), PulsedUpdate()) for _ in range(2))
        at = site(2, 3)
        train(whole, at, xs, ds, 0.1, 12)
        train(parts, at, xs, ds, 0.1, 1)
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(value, parts.state_dict()[name], rtol=0, atol=0, msg=f"{type(spec).__name__}: {name}")


def test_reads_go_through_the_tile() -> None:
    """What the read-out makes of a slice is what is written; each read has a number of its own."""
    asked: list[tuple[Tensor, Tensor]] = []

    def doubled(w: Tensor, x: Tensor, told: Stream) -> Tensor:
        assert told.ordinals is not None
        asked.append((x.clone(), told.ordinals.clone()))
        return 2 * x @ w.mT

    xs, ds, _, _ = vectors()
    results = []
    for read in (None, doubled):
        at = site(2, 3, read=read)
        rate = 0.5 if read is None else 0.25
        module = built(TikiTaka(**PAIR, transfer_lr=rate, transfer_update=PulsedUpdate(**IMPLICIT)), at, PulsedUpdate(**IMPLICIT))
        train(module, at, xs, ds, 0.1)
        results.append(module.weights())
    torch.testing.assert_close(*results)
    assert all(x.sum() == 1 and x.max() == 1 for x, _ in asked)
    assert torch.cat([ordinals for _, ordinals in asked]).tolist() == list(range(12))


@pytest.mark.parametrize("cell", ["one_sided", "vector", "reference_pair", "ideal", "exp_step"])
@pytest.mark.parametrize("algorithm", ["sgd", "tiki_taka", "ttv2", "c_ttv2", "agad", "mixed_precision"])
def test_any_cell_in_any_algorithm(cell: str, algorithm: str) -> None:
    """Arrays of composites behave like arrays of one device."""
    spec: UpdateAlgorithm = ohmlet.build(algorithm, cell).tile.update_algorithm  # type: ignore[attr-defined]
    at = site(2, 3)
    module = built(spec, at, PulsedUpdate())
    xs, ds, _, _ = vectors()
    train(module, at, xs, ds, 0.1, 4)
    assert module.weights().shape == (2, 3)
    assert torch.isfinite(module.weights()).all()


def test_quantised_gradients() -> None:
    """Levels are multiples of the largest value over half the bins; random rounding keeps the mean."""
    v = torch.tensor([[1.0, 0.3, -0.77, 0.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(quantised(v, 5, None), torch.tensor([[1.0, 0.5, -1.0, 0.0], [0.0, 0.0, 0.0, 0.0]]))
    many = quantised(v[:1].expand(4000, -1), 5, Stream(torch.tensor(3), torch.arange(4000)))
    torch.testing.assert_close(many.mean(0), v[0], rtol=0, atol=0.02)
    assert set(many[:, 1].tolist()) == {0.0, 0.5}


def test_states_set_the_period() -> None:
    """A tenth of 200 states over 4 slices is a transfer every 5 vectors."""
    at = site(2, 4)
    spec = ChoppedTTv2(**PAIR, transfer_every=0.1, units_in_states=True)
    assert spec.period(1, 4) == 5
    module = built(spec, at, PulsedUpdate())
    train(module, at, torch.ones(20, 4), torch.ones(20, 2), 0.1)
    assert int(module.sweeps) == 1
    with pytest.raises(ConfigError, match="units_in_states needs a fast device with w_min and w_max, Vector has none"):
        structure({"type": "c_ttv2", "fast": "vector", "units_in_states": True}, UpdateAlgorithm)


def test_updates_without_pulses() -> None:
    """With pulse type none the fast array takes floating-point updates, and transfers go on."""
    xs, ds, _, _ = vectors()
    at = site(2, 3)
    module = built(ChoppedTTv2(**PAIR, in_chop_prob=0.0, scale_fast_lr=True), at, PulsedUpdate(pulse_type="none"))
    train(module, at, xs, ds, 0.1, 6)
    torch.testing.assert_close(module.fast.weights(), -0.1 * ds.mT @ xs)


def test_build() -> None:
    """Names of an algorithm and a device make a config; a device goes to all arrays."""
    config = ohmlet.build("c_ttv2", {"type": "constant_step", "dw_min": 0.02}, transfer_every=3.0)
    rule: Any = config.tile.update_algorithm  # type: ignore[attr-defined]
    assert isinstance(rule, ChoppedTTv2)
    assert (rule.fast.granularity, rule.slow.granularity, rule.transfer_every) == (0.02, 0.02, 3.0)
    assert isinstance(ohmlet.build().tile.update_algorithm, SGD)  # type: ignore[attr-defined]
    assert config.tile.read.out_noise == config.tile.forward.out_noise  # type: ignore[attr-defined]
    assert ohmlet.build().tile.read is None  # type: ignore[attr-defined]
    with pytest.raises(PluginError, match="unknown update_algorithm 'ttv3'; did you mean 'ttv2'"):
        ohmlet.build("ttv3")
    with pytest.raises(ConfigError, match="unknown key 'transfer_evry'"):
        ohmlet.build("ttv2", transfer_evry=2.0)


@pytest.mark.slow
def test_references_that_are_off_stop_sgd_and_not_agad() -> None:
    """Asymmetric devices whose symmetry point lies elsewhere: AGAD reaches a target from which plain descent stays away."""
    target = torch.tensor([[0.3, -0.2, 0.1], [-0.25, 0.15, 0.2]])
    errors = {}
    for name, cell in (("sgd", {"dw_min": 0.01}), ("agad", {"dw_min": 0.01})):
        device = {"type": "soft_bounds_reference", "subtract_symmetry_point": True, "reference_std": 0.2, "dw_min_dtod": 0.0, **cell}
        changes: dict[str, Any] = {"auto_scale": True, "fast_lr": 0.1} if name == "agad" else {}
        at = site(2, 3)
        rule: Any = ohmlet.build(name, device, **changes).tile.update_algorithm  # type: ignore[attr-defined]
        module = built(rule, at, PulsedUpdate(desired_bl=5))
        x = Stream(torch.tensor(5)).normal("x", torch.empty(3000, 3))
        late = []
        for step in range(3000):
            error = x[step : step + 1] @ (module.weights() - target).mT
            module.update(x[step : step + 1], error, 0.1, noise(at, step, 1))
            if step >= 2000:
                late.append((module.weights() - target).square().mean())
        errors[name] = float(torch.stack(late).mean())
    assert errors["agad"] < 0.5 * errors["sgd"]
