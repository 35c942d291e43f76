"""Charge-trap flash and multilevel ReRAM: single devices by hand, spreads and drifts as published."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.reram_milo import ReRAMMilo
from ohmlet_noise_models.sonos import SONOS

DAY = 86400.0
WINDOW = ConductanceWindow(0.0, 16.0)
SPREAD = {0: (19.88665, 176.3115), 1: (25.59102, 186.85544), 3: (31.04318, 198.90332), 5: (34.57909, 207.34309)}
"""A and B in nA, on some of the days."""


def stream(path: str = "program") -> Stream:
    return Stream(torch.tensor(3), None, torch.tensor([0]), path)


class Given(Stream):
    """A stream whose normals are these, whatever the purpose."""

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        return torch.full_like(like, {"programming": 0.8, "wandering": -1.1, "read": 0.5}[purpose])


def sigma(day: int, current: float) -> float:
    a, b = SPREAD[day]
    return a * (1 - math.exp(-current / b))


@pytest.mark.parametrize("target", [0.0, 0.3, 4.0, 11.0])
def test_a_sonos_device_by_hand(target: float) -> None:
    """On day five, with the polynomial of that day written out."""
    model, g = SONOS(), torch.tensor([[target]], dtype=torch.float64)
    programmed = model.program(g, WINDOW, Given(*stream()))
    i = target * 100
    i_p = i + sigma(0, i) * 0.8
    assert float(programmed) == pytest.approx(i_p / 100, rel=1e-12)
    terms = (
        1.15294,
        1.03149e-2,
        -6.05199e-5,
        1.76086e-8,
        -6.4669e-9,
        3.39044e-11,
        -7.53872e-14,
        8.98185e-17,
        -6.00346e-20,
        2.12615e-23,
        -3.11099e-27,
    )
    mean = max(i_p + sum(c * i_p**power for power, c in enumerate(terms)), 0.0)
    i_5 = max(mean + math.sqrt(sigma(5, mean) ** 2 - sigma(0, mean) ** 2) * -1.1, 0.0)
    coefficients = model.drift_coefficients(g, WINDOW, Given(*stream()))
    drifted = model.drift(programmed, coefficients, 5 * DAY, WINDOW)
    assert float(drifted) == pytest.approx(i_5 / 100, rel=1e-9)
    seen = max(i_5 + 12.58037 * (1 - math.exp(-i_5 / 215.36557)) * 0.5, 0.0)
    assert float(model.read(drifted, programmed, 5 * DAY, WINDOW, Given(*stream()))) == pytest.approx(seen / 100, rel=1e-9)


@pytest.mark.parametrize("day", SPREAD)
@pytest.mark.parametrize("current", [100.0, 400.0, 1200.0])
def test_spreads_of_currents_are_those_published_for_each_day(day: int, current: float) -> None:
    target = torch.full((300, 300), current / 100, dtype=torch.float64)
    model = SONOS()
    programmed = model.program(target, WINDOW, stream())
    drifted = model.drift(programmed, model.drift_coefficients(target, WINDOW, stream()), day * DAY, WINDOW) * 100
    # The slope of the mean drift squeezes what was there by a few per cent.
    assert float(drifted.std()) == pytest.approx(sigma(day, float(drifted.mean())), rel=0.04)


@pytest.mark.parametrize(("current", "published"), [(400.0, -17.4), (800.0, -37.9), (1200.0, -52.6)])
def test_mean_drift_of_five_days_is_that_published(current: float, published: float) -> None:
    """Values of the polynomial, worked out apart; currents fall by some five per cent."""
    g = torch.tensor([[current / 100]], dtype=torch.float64)
    found = SONOS(noise_scale=0.0).drift(g, None, 5 * DAY, WINDOW) * 100 - current
    assert float(found) == pytest.approx(published, abs=0.05)
    assert -0.06 < float(found) / current < -0.03


def test_drift_does_not_swing_at_the_end_of_the_range() -> None:
    """The published polynomial falls by 240 nA between 1400 and 1600 nA, where its fit ends."""
    g = torch.linspace(0.0, 16.0, 400, dtype=torch.float64)[None]
    for day in range(1, 6):
        moved = SONOS(noise_scale=0.0).drift(g, None, day * DAY, WINDOW) - g
        assert float(moved.min()) * 100 > -65.0


def test_devices_stay_on_their_side_from_day_to_day() -> None:
    target = torch.full((50, 50), 8.0, dtype=torch.float64)
    model = SONOS()
    programmed, zeta = model.program(target, WINDOW, stream()), model.drift_coefficients(target, WINDOW, stream())
    days = torch.stack([model.drift(programmed, zeta, day * DAY, WINDOW).flatten() for day in (3, 5)])
    assert float(torch.corrcoef(days)[0, 1]) > 0.98


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ({"type": "sonos", "spread": [[0.0, 1.0, 1.0]]}, "needs a row for day 0 and for each day"),
        ({"type": "sonos", "read_noise": [1.0]}, "spreads need A and a positive B"),
        ({"type": "reram_milo", "c_1": -0.1}, "make an error below zero"),
    ],
)
def test_what_makes_no_sense_is_refused(cell: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        structure(cell, NoiseModel)


def test_other_times_and_conductances_are_refused() -> None:
    with pytest.raises(ConfigError, match="at no other time"):
        SONOS().drift(torch.ones(1, 1), None, 0.5 * DAY, WINDOW)
    for model, window in ((SONOS(), ConductanceWindow(0.0, 20.0)), (ReRAMMilo(), ConductanceWindow(0.0, 225.0))):
        with pytest.raises(ConfigError, match="describes conductances from"):
            model.program(torch.ones(1, 1), window, stream())


@pytest.mark.parametrize(("g", "published"), [(60.0, 4.2359), (150.0, 3.41627), (220.0, 2.77878)])
def test_the_error_of_multilevel_reram_is_the_straight_line(g: float, published: float) -> None:
    made = ReRAMMilo().program(torch.full((300, 300), g, dtype=torch.float64), ConductanceWindow(50.0, 225.0), stream())
    assert float(made.std()) == pytest.approx(published, rel=0.02)
    assert float(made.mean()) == pytest.approx(g, abs=0.06)
