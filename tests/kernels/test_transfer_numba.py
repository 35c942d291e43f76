"""Transfers made in one compiled call, against the same algorithms taken through every step of the way and on the reference engine."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.nn import AnalogLinear
from ohmlet.optim import AnalogSGD

pytest.importorskip("numba")
from ohmlet_kernels.pulsed_update.numba_blocks import Plan
from ohmlet_kernels.pulsed_update.numba_learning import Learning
from ohmlet_kernels.pulsed_update.numba_vectors import Views

CELL = {"type": "soft_bounds_reference", "dw_min": 0.02, "w_min_dtod": 0.1}
TILE_PARTS = ("read", "update")
WRITES = {"desired_bl": 3, "update_management": False, "update_bl_management": False}


def layer(algorithm: dict[str, Any], engine: str = "numba", seed: int = 3, noise: tuple[float, float] = (0.0, 0.0)) -> AnalogLinear:
    """Return a layer of 7 inputs and 5 outputs that learns in memory, with write noise of the fast and of the slow or only array."""
    torch.manual_seed(1)
    single = algorithm["type"] in ("sgd", "mixed_precision")
    fast, slow = ({"write_noise_std": std} for std in noise)
    cells: dict[str, Any] = {"device": CELL | slow} if single else {"fast": CELL | fast, "slow": CELL | {"count_pulses": True} | slow}
    config = {
        "tile": {
            "type": "in_memory",
            "update_algorithm": {**cells, **{key: value for key, value in algorithm.items() if key not in TILE_PARTS}},
            "update": {"desired_bl": 20},
            **{key: value for key, value in algorithm.items() if key in TILE_PARTS},
        },
        "mapping": {"scales": "columnwise", "omega": 0.5},
        "engine": engine,
        "seed": seed,
    }
    return AnalogLinear(7, 5, config=config, name="one")


def trained(made: AnalogLinear, steps: int = 12, rates: tuple[float, ...] = (0.5, 0.3, 0.5)) -> dict[str, Tensor]:
    """Return the state after some steps of training with batches of several sizes."""
    optimizer = AnalogSGD(made.parameters(), lr=0.5)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = rates[step % len(rates)]
        optimizer.zero_grad()
        x = torch.randn(1 + step % 4, 7, generator=torch.Generator().manual_seed(step))
        (made(x) - 1).square().sum().backward()
        optimizer.step()
    return made.state_dict()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return a list that notes from now on whether the engine makes an update in one call, by itself or in a whole step."""
    taken: list[bool] = []
    for owner in (Learning, Plan):
        whole = owner.__call__

        def call(*arguments: Any, whole: Any = whole) -> Any:
            made = whole(*arguments)
            taken.append(made is not False)
            return made

        monkeypatch.setattr(owner, "__call__", call)
    return taken


READ = {"dac": {"bits": 7}, "adc": {"bits": 9, "bound": 12.0}, "out_noise": 0.06, "input_range": "none"}
CASES: dict[str, dict[str, Any]] = {
    "sgd": {"type": "sgd"},
    "mixed_precision": {"type": "mixed_precision", "transfer_every": 2},
    "tiki_taka": {"type": "tiki_taka", "gamma": 0.2, "transfer_every": 1.0},
    "tiki_taka vectors": {"type": "tiki_taka", "units_in_mbatch": False, "transfer_every": 2.0, "transfer_columns": False},
    "ttv2": {"type": "ttv2", "units_in_mbatch": False, "transfer_lr": 3.0, "gamma": 0.3},
    "ttv2 remembers": {"type": "ttv2", "units_in_mbatch": False, "forget_buffer": False, "thres_scale": 0.4, "transfer_update": WRITES},
    "c_ttv2": {"type": "c_ttv2", "in_chop_prob": 0.4, "gamma": 0.3},
    "c_ttv2 rows": {"type": "c_ttv2", "transfer_columns": False, "in_chop_random": False, "momentum": 0.2, "transfer_update": WRITES},
    "c_ttv2 no buffer": {"type": "c_ttv2", "no_buffer": True, "correct_gradient_magnitudes": True, "fast_lr": 0.3, "transfer_lr": 9.0},
    "agad": {"type": "agad", "in_chop_prob": 0.5},
    "tiki_taka read": {"type": "tiki_taka", "read": READ},
    "ttv2 read": {"type": "ttv2", "units_in_mbatch": False, "read": READ | {"adc": {"bits": 5, "bound": 0.3}}},
    "c_ttv2 read, scales": {"type": "c_ttv2", "in_chop_prob": 0.4, "auto_scale": True, "fast_lr": 0.1, "read": READ},
    "agad read, scales": {
        "type": "agad",
        "in_chop_prob": 0.5,
        "auto_scale": True,
        "fast_lr": 0.1,
        "transfer_columns": False,
        "read": READ | {"out_noise": 0.0},
    },
    "agad capped": {
        "type": "agad",
        "in_chop_prob": 0.5,
        "in_chop_random": True,
        "forget_buffer": False,
        "momentum": 0.4,
        "buffer_cap": 0.3,
    },
}


@pytest.mark.parametrize("noise", [(0.0, 0.0), (0.03, 0.0), (0.02, 0.05)], ids=["", "noisy fast array", "noisy arrays"])
@pytest.mark.parametrize("algorithm", CASES.values(), ids=CASES.keys())
def test_one_call_and_every_step_of_the_way(algorithm: dict[str, Any], noise: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = counted(monkeypatch)
    once = trained(layer(algorithm, noise=noise))
    assert taken == [True] * 12
    monkeypatch.setattr(Views, "takes", lambda *_: False)
    steps = trained(layer(algorithm, noise=noise))
    monkeypatch.undo()
    reference, early = trained(layer(algorithm, "reference", noise=noise), 6), trained(layer(algorithm, noise=noise), 6)
    moved = layer(algorithm).state_dict()
    assert any(not torch.equal(once[key], moved[key]) for key in once if key.endswith(("slow.w", "device.w")))
    for key, value in once.items():
        # Gradients of a mini-batch are added up in another order than a library does.
        exact = algorithm["type"] != "mixed_precision"
        torch.testing.assert_close(value, steps[key], rtol=0 if exact else 1e-5, atol=0 if exact else 1e-6)
        torch.testing.assert_close(early[key], reference[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [
        {"out_chop_prob": 0.3},
        {"auto_scale": True, "correct_gradient_magnitudes": True},
        {"read": READ | {"input_range": "abs_max", "bound_management": "iterative"}},
        {"transfer_update": {**WRITES, "desired_bl": 40}},
    ],
    ids=["signs along slices", "scales that are undone", "managed reads", "long trains"],
)
def test_what_takes_every_step_of_the_way(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = counted(monkeypatch)
    trained(layer({"type": "c_ttv2", **change}), 2)
    assert not taken


@pytest.mark.parametrize("name", ["sgd", "agad", "ttv2 read", "c_ttv2 read, scales", "mixed_precision"])
def test_a_plan_is_made_once_for_each_size_of_batch_and_brought_to_other_rates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = layer(CASES[name])
    algorithm: Any = made.array.in_situ.only().algorithms[0]  # type: ignore[union-attr]
    sizes, whole = [], type(algorithm).made

    def noted(module: Any, views: Any, samples: int, *rest: Any) -> Any:
        sizes.append(samples)
        return whole(module, views, samples, *rest)

    monkeypatch.setattr(type(algorithm), "made", noted)
    trained(made)
    assert sizes == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["tiki_taka", "ttv2", "c_ttv2", "agad", "mixed_precision"])
def test_steps_of_one_pass_and_of_several_with_as_many_vectors_share_a_plan(name: str) -> None:
    def state(engine: str) -> dict[str, Tensor]:
        made = layer({key: value for key, value in CASES[name].items() if key != "gamma"}, engine)
        optimizer = AnalogSGD(made.parameters(), lr=0.5)
        for step in range(9):
            optimizer.zero_grad()
            x = torch.randn(6, 7, generator=torch.Generator().manual_seed(step))
            for part in x.split(2) if step % 3 == 1 else [x]:
                (made(part) - 1).square().sum().backward()
            optimizer.step()
        return made.state_dict()

    once, reference = state("numba"), state("reference")
    for key, value in once.items():
        torch.testing.assert_close(value, reference[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "tiki_taka"])
def test_a_rate_that_no_plan_takes_leaves_the_plans_of_others_as_they_are(name: str) -> None:
    # Trains as long as the rate asks for: 1.5 / 0.02 pulses are more than a word has.
    unmanaged = {"desired_bl": 5, "fixed_bl": False, "update_management": False, "update_bl_management": False}
    algorithm = CASES[name] | {"update": unmanaged}
    rates = (0.05, 0.05, 0.05, 0.05, 1.5, 1.5, 1.5, 1.5)
    once, reference = (trained(layer(algorithm, engine), 12, rates) for engine in ("numba", "reference"))
    for key, value in once.items():
        torch.testing.assert_close(value, reference[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "agad", "ttv2", "mixed_precision"])
def test_state_that_moves_or_is_loaded_is_seen_as_it_is(name: str) -> None:
    made, same = layer(CASES[name], seed=4), layer(CASES[name])
    trained(made, 4)
    trained(same, 4)
    made.double().float()
    trained(made, 2)
    # Keys of the noise come along with the cells.
    made.load_state_dict({key: value.clone() for key, value in same.state_dict().items()})
    twin = copy.deepcopy(made)
    for step in (4, 3):
        expected = {key: value.clone() for key, value in trained(same, step).items()}
        for one in (made, twin):
            for key, value in trained(one, step).items():
                assert torch.equal(value, expected[key]), key
