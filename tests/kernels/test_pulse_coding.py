"""From inputs and errors to pulses, against number-by-number calculations in float64 and against closed forms of the statistics."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet_kernels.noise import Stream, key
from ohmlet_kernels.pulsed_update import reference
from ohmlet_kernels.pulsed_update.reference import coincidences
from ohmlet_kernels.pulsed_update.trains import managed, trains
from tests.oracle import update as oracle

G = 0.01
MANAGEMENT = list(itertools.product((31, 5), (True, False), (True, False), (True, False), (1.0, 0.5), (0.003, 0.1, 0.7)))


def numbers(samples: int, size: int, seed: int) -> Tensor:
    """Return numbers of both signs, with a zero and a silent sample."""
    drawn = Stream(torch.tensor(key("coding", seed))).normal("v", torch.empty(samples, size))
    drawn[0, 0] = 0.0
    drawn[samples - 1] = 0.0
    return drawn


def lists(v: Tensor) -> list[list[float]]:
    """Return the numbers as float64 sees them."""
    return [[float(each) for each in row] for row in v]


@pytest.mark.parametrize(("bl", "um", "ublm", "fixed", "scale", "lr"), MANAGEMENT)
def test_management(bl: int, um: bool, ublm: bool, fixed: bool, scale: float, lr: float) -> None:
    """Train lengths and factors, sample by sample, with one learning rate and with one for each."""
    x, d = numbers(6, 4, 1), numbers(6, 3, 2)
    pulses = PulsedUpdate(desired_bl=bl, update_management=um, update_bl_management=ublm, fixed_bl=fixed, um_grad_scale=scale)
    lengths, for_x, for_d = managed(x, d, lr, G, pulses.numbers())
    for sample in range(6):
        expected = oracle.managed(lists(x)[sample], lists(d)[sample], lr, G, bl, um, ublm, fixed, scale)
        assert int(lengths[sample]) == expected[0]
        if expected[0]:
            assert math.isclose(float(for_x[sample]), expected[1], rel_tol=1e-12)
            assert math.isclose(float(for_d[sample]), expected[2], rel_tol=1e-12)
    rates = torch.full((6,), lr, dtype=torch.float64)
    for one, each in zip((lengths, for_x, for_d), managed(x, d, rates, G, pulses.numbers()), strict=True):
        assert torch.equal(one, each)


@pytest.mark.parametrize("kind", ["mean_count", "deterministic_implicit"])
@pytest.mark.parametrize("managed_", [True, False])
@pytest.mark.parametrize("resolution", [0.0, 0.07])
def test_counts(kind: str, managed_: bool, resolution: float) -> None:
    """The types without random trains give the counts of the formula."""
    x, d, lr = numbers(8, 5, 3), numbers(8, 4, 4), 0.05
    steps: dict[str, Any] = (
        {"resolution": resolution} if kind == "mean_count" else {"x_resolution": resolution, "d_resolution": 2 * resolution}
    )
    pulses = PulsedUpdate(pulse_type=kind, update_management=managed_, update_bl_management=managed_, **steps)
    made = trains(x, d, lr, G, pulses.numbers(), Stream(torch.tensor(1), torch.arange(8)), reference.pulse_bits)
    for sample in range(8):
        count, up = coincidences(made, sample)
        expected = oracle.counts(kind, lists(x)[sample], lists(d)[sample], lr, G, um=managed_, ublm=managed_, **steps)
        assert torch.where(up, count, -count).tolist() == expected


def changes(x: Tensor, d: Tensor, lr: float, pulses: PulsedUpdate, repetitions: int) -> Tensor:
    """Return the signed pulses [n, out, in] of repetitions of one update."""
    noise = Stream(torch.tensor(key("coding")), torch.arange(repetitions))
    made = trains(x.expand(repetitions, -1), d.expand(repetitions, -1), lr, G, pulses.numbers(), noise, reference.pulse_bits)
    out = []
    for sample in range(repetitions):
        count, up = coincidences(made, sample)
        out.append(torch.where(up, count, -count))
    return torch.stack(out).to(torch.float64)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"update_bl_management": False, "update_management": False},
        {"desired_bl": 40, "resolution": 0.1, "update_bl_management": False},
        {"pulse_type": "stochastic"},
    ],
)
def test_random_trains(settings: dict[str, Any]) -> None:
    """Means, variances and covariances of cells that share a line: BL p q, BL p q (1 - p q) and BL p q q' (1 - p)."""
    x, d, lr, n = torch.tensor([0.9, -0.5, 0.0]), torch.tensor([0.4, -0.8]), 0.2, 1500
    pulses = PulsedUpdate(**settings)
    changed = changes(x, d, lr, pulses, n)
    length, p, q = oracle.train(
        lists(x[None])[0],
        lists(d[None])[0],
        lr,
        G,
        pulses.desired_bl,
        pulses.update_management,
        pulses.update_bl_management,
        resolution=pulses.resolution,
    )
    for i, j in itertools.product(range(2), range(3)):
        both = p[j] * q[i]
        mean = -math.copysign(1, float(x[j] * d[i])) * length * both
        spread = length * both * (1 - both)
        assert abs(float(changed[:, i, j].mean()) - mean) <= 4.5 * math.sqrt(spread / n) + 1e-4 * length
        assert abs(float(changed[:, i, j].var()) - spread) <= 0.2 * spread
    shared = length * p[0] * q[0] * q[1] * (1 - p[0])
    covariance = float(torch.cov(changed[:, :, 0].abs().mT)[0, 1])
    sizes = [length * p[0] * each * (1 - p[0] * each) for each in q]
    assert abs(covariance - shared) <= 4.5 * math.sqrt(2 * sizes[0] * sizes[1] / n)


def test_stochastic_rounding_keeps_the_mean() -> None:
    """Without it a probability below half a step never fires."""
    x, d = torch.tensor([1.0, 0.04]), torch.tensor([0.5])
    coarse: dict[str, Any] = {"resolution": 0.2, "update_bl_management": False, "update_management": False}
    assert changes(x, d, 0.02, PulsedUpdate(**coarse), 300)[:, 0, 1].abs().sum() == 0
    random = changes(x, d, 0.02, PulsedUpdate(**coarse, stochastic_rounding=True), 3000)[:, 0, 1]
    expected = 0.02 * 0.04 * 0.5 / G
    assert abs(float(-random.mean()) - expected) <= 4.5 * float(random.std()) / math.sqrt(3000)


def test_negative_learning_rates_turn_the_direction() -> None:
    """A step up the gradient has the same pulses with the other sign."""
    x, d = numbers(5, 3, 5), numbers(5, 4, 6)
    noise = Stream(torch.tensor(1), torch.arange(5))
    down, up = (trains(x, d, lr, G, PulsedUpdate().numbers(), noise, reference.pulse_bits) for lr in (0.1, -0.1))
    for sample in range(4):
        (one, rises), (other, falls) = coincidences(down, sample), coincidences(up, sample)
        assert torch.equal(one, other)
        assert torch.equal(rises[one > 0], ~falls[one > 0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"x_resolution": 0.1}, "x_resolution has no effect with pulse_type stochastic_compressed"),
        ({"pulse_type": "none", "resolution": 0.1}, "resolution has no effect with pulse_type none"),
        ({"stochastic_rounding": True}, "stochastic_rounding has no effect without a resolution"),
    ],
)
def test_settings_without_effect(settings: dict[str, Any], message: str) -> None:
    """They are refused with what to do."""
    with pytest.raises(ConfigError, match=message):
        PulsedUpdate(**settings)
