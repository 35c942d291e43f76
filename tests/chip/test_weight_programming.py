"""Weight-programming optimisation: known optima, a brute-force search, and less error over time than the default split."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from attrs import frozen
from torch import Tensor, nn

import ohmlet
from ohmlet.chip import optimize_weight_programming
from ohmlet.chip.moments import Moments, weight_errors
from ohmlet.chip.split_search import BETWEEN, SplitSearch
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.conductance_converter import ConductanceConverter
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet.spec import number
from ohmlet_kernels.noise import Stream, key

WINDOW = ConductanceWindow(0.0, 25.0)


@frozen(kw_only=True)
class Proportional(NoiseModel):
    """Programming errors in proportion to the conductance, nothing else."""

    c: float = number(0.1, "relative error", ge=0.0)

    def program(self, g_target: Tensor, window: ConductanceWindow, noise: Stream) -> Tensor:
        return g_target * (1 + self.c * noise.normal("programming", g_target))


def bell(spread: float = 0.25, size: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return (spread * torch.randn(size, size, generator=generator)).clamp(-1, 1)


def spec(name: Any) -> NoiseModel:
    return structure(name, NoiseModel)


@pytest.mark.parametrize(
    ("factors", "shares"),
    [
        ((1.0, 1.0), (0.5, 0.5)),
        pytest.param((1.0, 3.0), (0.5, 0.5 / 3), marks=pytest.mark.slow),
        pytest.param((1.0, 1.0, 1.0), (1 / 3,) * 3, marks=pytest.mark.slow),
    ],
)
def test_errors_in_proportion_are_shared_equally(factors: tuple[float, ...], shares: tuple[float, ...]) -> None:
    """Minimise sum f^2 g^2 where sum f g = d: all f g are equal, d / n, as long as none reaches g_max; the default errs n times as much."""
    limit = len(factors) / sum(factors)  # where the pair of factor 1 is full
    w = (torch.rand(60, 60, generator=torch.Generator().manual_seed(0)) * 2 - 1) * min(limit, 1 / sum(factors))
    found = optimize_weight_programming(w, Proportional(), factors=factors, times=(0.0,), compensated=False)
    conductances: Any = found.to_plain()["conductances"]
    plus = torch.tensor(conductances[::2]).T
    full = 25.0 * sum(factors) if max(map(max, conductances)) > 20 else 0.0
    assert full  # all of the range is used: less of it errs as much, and gains nothing
    for level, split in zip(torch.linspace(-1, 1, len(plus)), plus, strict=True):
        if 0 < level <= min(limit, 1 / sum(factors)):
            expected = torch.tensor([share * float(level) * full for share in shares])
            assert torch.allclose(split, expected, atol=0.15)
    assert found.gain == pytest.approx(len(factors), rel=0.05)
    mean_square = float(w.square().mean()) * 0.01 / len(factors)
    assert found.errors == pytest.approx((mean_square,), rel=0.05)


@pytest.mark.parametrize(
    ("noise_model", "factors", "g_max", "margin"),
    [
        ("hermes", (1.0, 1.0), 20.0, 1.25),
        pytest.param("hermes", (1.0, 3.0), 20.0, 1.1, marks=pytest.mark.slow),
        pytest.param("state_independent", (1.0, 1.0), 25.0, 1.4, marks=pytest.mark.slow),
    ],
)
def test_the_split_errs_less_over_time_than_the_default_one(
    noise_model: str, factors: tuple[float, ...], g_max: float, margin: float
) -> None:
    found = optimize_weight_programming(bell(), noise_model, factors=factors, g_max_uS=g_max, seed=0)
    assert found.gain > margin
    assert found.times == (1.0, 3600.0, 86400.0, 30 * 86400.0, 365 * 86400.0)
    # On weights and draws that the search did not see.
    other = bell(size=80).flip(0) * 0.9
    usual = structure({"type": "n_pair", "factors": list(factors), "g_max_uS": g_max}, ConductanceConverter)
    default, optimised = (weight_errors(each, spec(noise_model), other, found.times, seed=77) for each in (usual, found.converter))
    assert float(default.sum() / optimised.sum()) > margin
    assert found.converter.devices == 2 * len(factors)


@pytest.mark.slow
def test_filling_one_pair_first_is_all_but_best_for_phase_change_memory() -> None:
    # Its errors grow less than in proportion, so that few devices of high conductance err less than many of low.
    assert optimize_weight_programming(bell(), "pcm", factors=(1.0, 3.0)).gain == pytest.approx(1.0, abs=0.02)


@pytest.mark.slow
def test_the_result_is_a_converter_for_configs_and_chips() -> None:
    torch.manual_seed(0)
    model = ohmlet.convert(nn.Sequential(nn.Linear(64, 32, bias=False)), "pcm_inference").model
    ohmlet.retarget(
        model, {"tile.noise_model": "state_independent", "tile.conductance_converter": {"type": "dual_pair", "factors": [1, 1]}}
    )
    found = optimize_weight_programming(model, "state_independent", factors=[[1.0, 1.0], [1.0, 3.0]])
    x = torch.rand(100, 64)
    exact = model.train()(x).detach()

    def error() -> float:
        chip = ohmlet.program(model, 4, seed=1)
        return sum(float((chip.at(t)(x) - exact).square().mean()) for t in found.times)

    before = error()
    ohmlet.retarget(model, {"tile.conductance_converter": found.to_plain()})
    assert error() < 0.8 * before
    assert found.converter == structure(found.to_plain(), ConductanceConverter)


def search(noise_model: NoiseModel, factors: tuple[float, ...], levels: int = 6, g_max: float = 25.0) -> SplitSearch:
    moments = Moments.of(noise_model, ConductanceWindow(0.0, g_max), (1.0, 3.15e7), 0)
    share = torch.full((levels - 1, BETWEEN), 1 / (BETWEEN * (levels - 1)), dtype=torch.float64)
    nodes = torch.linspace(0, 1, levels, dtype=torch.float64)
    return SplitSearch(moments, factors, 1.0, nodes, share, True, Stream(torch.tensor(key(0)), path="search"))


def test_evolution_finds_what_a_grid_over_all_splits_finds() -> None:
    found = search(spec("hermes"), (1.0, 2.0), g_max=20.0)
    alpha = torch.tensor([1.0, 1.4], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    start = found.projected(20 * torch.rand(6, 32, 4, generator=generator, dtype=torch.float64))
    best = found.evolved(start, alpha, found.noise)[:, 0]
    cost = found.cost(best, found.levels, alpha)
    points = torch.linspace(0, 20, 17, dtype=torch.float64)
    grid = torch.tensor(list(itertools.product(points.tolist(), repeat=3)), dtype=torch.float64)
    for level in range(6):
        # The plus of the second pair follows from the three others.
        last = (float(found.levels[level]) * found.full - grid[:, 0] + grid[:, 1] + 2 * grid[:, 2]) / 2
        inside = (last >= 0) & (last <= 20)
        splits = torch.cat((grid[:, :2], last[:, None], grid[:, 2:]), 1)[inside]
        least = float(found.cost(splits, found.levels[level].expand(len(splits)), alpha).min())
        assert float(cost[level]) <= least * 1.002


def test_splits_amount_to_their_weights_within_the_window() -> None:
    found = search(spec("pcm"), (1.0, 2.0, 4.0))
    wild = torch.rand(6, 50, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 60 - 20
    splits = found.projected(wild)
    assert float(splits.min()) >= 0.0
    assert float(splits.max()) <= 25.0
    amount = (splits * torch.tensor([1.0, -1, 2, -2, 4, -4], dtype=torch.float64)).sum(-1)
    assert torch.allclose(amount, (found.levels * 175.0)[:, None].expand(-1, 50), atol=1e-5)
    # None nearer: moving along the constraint only leads away.
    moved = found.projected(splits)
    assert torch.allclose(moved, splits, atol=1e-5)
    assert torch.allclose(found.filled()[:, ::2] @ torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64), found.levels * 175.0)


def test_the_path_is_the_best_of_all_paths() -> None:
    found = search(spec("pcm"), (1.0, 1.0), levels=4)
    choices = found.projected(25 * torch.rand(4, 5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    alpha = torch.tensor([1.0, 1.3], dtype=torch.float64)

    def total(path: Tensor) -> float:
        g, wanted = found.between(path)
        return float((found.share * found.cost(g, wanted, alpha)).sum())

    best = min(total(torch.stack([choices[i, c] for i, c in enumerate(each)])) for each in itertools.product(range(5), repeat=4))
    assert total(found.path(choices, alpha)) == pytest.approx(best, rel=1e-12)


def test_moments_are_those_of_the_noise_model() -> None:
    model = structure({"type": "state_independent", "prog_coeff": [0.5], "drift_nu_std": 0.0, "read_noise_scale": 0.0}, NoiseModel)
    moments = Moments.of(model, WINDOW, (0.0, 1e6), 3)
    decay = ((1e6 + 20) / 20) ** -0.1
    mean, variance = moments.at(torch.tensor([5.0, 12.34, 25.0], dtype=torch.float64))
    assert mean.tolist() == pytest.approx(torch.tensor([[5.0, 5 * decay], [12.34, 12.34 * decay], [25, 25 * decay]]).double(), abs=0.05)
    assert variance.sqrt().mean(0).tolist() == pytest.approx([0.5, 0.5 * decay], rel=0.05)
    # At 0 the half below is cut off: mean sigma / sqrt(2 pi).
    assert float(moments.mean[0, 0]) == pytest.approx(0.5 / math.sqrt(2 * math.pi), rel=0.08)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weights": torch.zeros(3, 3)}, r"weights must be finite numbers in \[-1, 1\], not all 0"),
        ({"weights": torch.full((3, 3), 1.5)}, "reach from 1.5 to 1.5"),
        ({"weights": torch.zeros(0, 3)}, r"shape \(0, 3\) and are none"),
        ({"factors": (1.0, -1.0)}, "'factors' are numbers above 0"),
        ({"factors": ()}, "'factors' are numbers above 0"),
        ({"times": ()}, "'times' needs at least one time"),
        ({"times": ("-1 h",)}, "not negative"),
        ({"levels": 1}, "'levels' must be a whole number of at least 2: 1"),
        ({"g_min_uS": 30.0}, "'g_min_uS' must be below 'g_max_uS'"),
        ({"noise_model": "pmc"}, "unknown noise_model 'pmc'"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(changes: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"weights": bell(), "noise_model": "pcm"} | changes
    with pytest.raises(ConfigError, match=message):
        optimize_weight_programming(**arguments)
