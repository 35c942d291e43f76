"""Noise models beside `pcm` against scalar devices in float64, hand-computed values and their published statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.config import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow, NoiseModel
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.custom_drift_pcm import CustomDriftPCM
from ohmlet_noise_models.formulas import interpolate, polynomial, written
from ohmlet_noise_models.hermes import Hermes
from ohmlet_noise_models.pcm import PCM
from ohmlet_noise_models.reram_cmo import ReRAMCMO
from ohmlet_noise_models.reram_wan2022 import ReRAMWan2022
from ohmlet_noise_models.state_independent import StateIndependent
from tests.oracle import noise_models as oracle
from tests.oracle.pcm import mean_of_absolute, mean_of_positive_part

DAY = 86400.0
TABLE: dict[str, Any] = {"g_uS": (0.0, 10.0, 25.0), "nu_mean": (0.08, 0.05, 0.02), "nu_std": (0.03, 0.02, 0.01)}
SCALES: dict[str, Any] = {"prog_noise_scale": 0.5, "read_noise_scale": 2.0, "drift_scale": 0.7}

LIVES: dict[str, tuple[NoiseModel, Any, ConductanceWindow]] = {
    "hermes": (Hermes(), oracle.Hermes(2, 20.7), ConductanceWindow(0.0, 20.7)),
    "hermes, one device": (Hermes(num_devices=1), oracle.Hermes(1, 10.35), ConductanceWindow(0.0, 10.35)),
    "hermes, smaller window": (Hermes(**SCALES), oracle.Hermes(2, 8.0, 0.5, 2.0, 0.7), ConductanceWindow(1.0, 8.0)),
    "state_independent": (StateIndependent(), oracle.StateIndependent(25.0), ConductanceWindow(0.0, 25.0)),
    "state_independent, polynomial": (
        StateIndependent(prog_coeff=(0.2, 0.5, -0.3), read_noise_scale=0.1, drift_scale=0.5),
        oracle.StateIndependent(40.0, (0.2, 0.5, -0.3), 0.1, 0.5),
        ConductanceWindow(0.0, 40.0),
    ),
    "custom_drift_pcm": (CustomDriftPCM(**TABLE), oracle.CustomDriftPCM(), ConductanceWindow(0.0, 25.0)),
    "reram_cmo": (ReRAMCMO(), oracle.ReRAMCMO(False), ConductanceWindow(9.0, 88.2)),
    "reram_cmo, wide": (ReRAMCMO(acceptance_range=2, **SCALES), oracle.ReRAMCMO(True, 0.5, 2.0, 0.7), ConductanceWindow(9.0, 88.2)),
}


def stream(key: int = 3, path: str = "program") -> Stream:
    return Stream(torch.tensor(key), None, torch.tensor([0]), path)


def targets(window: ConductanceWindow) -> Tensor:
    parts = torch.tensor([[0.0, 0.001, 0.05, 0.0944, 0.0946], [0.159, 0.17, 0.304, 0.306, 0.31], [0.5, 0.7, 0.9, 0.99, 1.0]])
    return window.g_min + (window.g_max - window.g_min) * parts.to(torch.float64)


class Given(Stream):
    """A stream whose normals are these, whatever the purpose."""

    def normal(self, purpose: str, like: Tensor) -> Tensor:
        return torch.full_like(like, -0.7 if purpose == "read" else 1.3)


def given() -> Given:
    return Given(*stream())


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("t", [0.0, 1.0, 60.0, 3600.0, 365 * DAY])
def test_a_device_equals_the_oracle_given_the_same_normals(name: str, t: float) -> None:
    model, device, window = LIVES[name]
    target, noise = targets(window), given()
    g = model.program(target, window, noise)
    coefficients = model.drift_coefficients(target, window, noise)
    assert coefficients is not None
    drifted = model.drift(g, coefficients, t, window)
    read = model.read(drifted, g, t, window, noise)
    for i, wanted in np.ndenumerate(target.numpy()):
        programmed = device.programmed(wanted, 1.3)
        after = device.drifted(programmed, device.coefficient(wanted, 1.3), t)
        assert float(g[i]) == pytest.approx(programmed, rel=1e-12)
        assert float(coefficients[i]) == pytest.approx(device.coefficient(wanted, 1.3), rel=1e-12)
        assert float(drifted[i]) == pytest.approx(after, rel=1e-12)
        assert float(read[i]) == pytest.approx(device.read(after, programmed, t, -0.7), rel=1e-12)


@pytest.mark.parametrize("xi", [-2.0, -0.4, 1.3])
@pytest.mark.parametrize("t", [0.0, 1.0, DAY, 2 * DAY])
@pytest.mark.parametrize(("g_max", "scale"), [(40.0, 1.0), (25.0, 0.5)])
def test_relaxing_reram_equals_the_oracle(g_max: float, scale: float, t: float, xi: float) -> None:
    model, device, window = ReRAMWan2022(noise_scale=scale), oracle.ReRAMWan2022(g_max, scale), ConductanceWindow(0.0, g_max)

    class Fixed(Stream):
        def normal(self, purpose: str, like: Tensor) -> Tensor:
            return torch.full_like(like, xi)

    target = targets(window)
    g = model.program(target, window, Fixed(*stream()))
    coefficients = model.drift_coefficients(target, window, stream())
    seen = model.read(model.drift(g, coefficients, t, window), g, t, window, stream())
    for i, wanted in np.ndenumerate(target.numpy()):
        assert float(seen[i]) == pytest.approx(device.at(wanted, t, xi), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("later", [1, 2])
def test_errors_of_relaxing_reram_only_grow(later: int) -> None:
    """So that a device cut off at zero after a second stays there, and the spread at each time is the measured one."""
    g_r = torch.linspace(0, 1, 1001, dtype=torch.float64)
    rows = ReRAMWan2022().spread
    assert bool((polynomial(rows[later][1:], g_r) > polynomial(rows[0][1:], g_r)).all())


def test_hand_computed_values() -> None:
    half = torch.tensor([[20.0]], dtype=torch.float64)
    window = ConductanceWindow(0.0, 40.0)
    # 0.348 + 8.015 - 10.96325 + 5.674125 - 1.0509375
    assert float(ReRAMWan2022().sigma(ReRAMWan2022().spread[0], half, window)) == pytest.approx(2.0229375, rel=1e-12)
    # c_0 + c_1 + c_2 + c_3 at full conductance, one standard deviation 1.3 up
    full = torch.tensor([[20.7]], dtype=torch.float64)
    assert float(Hermes().program(full, ConductanceWindow(0.0, 20.7), given())) == pytest.approx(20.7 + 1.3 * 1.09269857, rel=1e-12)
    # Half of full conductance, two devices: mu = 0.0736 - 0.0063 - 0.0109, s = 0.0073 + 0.00465 - 0.00295
    nu = Hermes().drift_coefficients(full / 2, ConductanceWindow(0.0, 20.7), given())
    assert float(nu) == pytest.approx(0.0564 + 1.3 * 0.009, rel=1e-12)


def test_cmo_values_of_the_publication() -> None:
    window, fifty = ConductanceWindow(9.0, 88.2), torch.tensor([[50.0]], dtype=torch.float64)
    assert (float(ReRAMCMO(acceptance_range=2).program(fifty, window, given())) - 50) / 1.3 == pytest.approx(0.576, abs=5e-4)
    assert (float(ReRAMCMO().program(fifty, window, given())) - 50) / 1.3 == pytest.approx(0.054, abs=5e-4)
    ten_years = 10 * 365 * DAY
    mean = float(ReRAMCMO().drift(fifty, torch.zeros_like(fifty), ten_years, window)) - 50
    up = float(ReRAMCMO().drift(fifty, torch.ones_like(fifty), ten_years, window)) - 50
    assert mean == pytest.approx(-1.74, abs=5e-3)
    assert up - mean == pytest.approx(1.23, abs=5e-3)
    assert (50 - float(ReRAMCMO().read(fifty, fifty, 1.0, window, given()))) / 0.7 == pytest.approx(0.171, abs=5e-4)


def many(g: float) -> Tensor:
    return torch.full((200, 1000), g, dtype=torch.float64)


@pytest.mark.parametrize("name", LIVES)
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_programmed_conductances_have_the_moments_of_the_oracle(name: str, part: float) -> None:
    model, device, window = LIVES[name]
    target = window.g_min + part * (window.g_max - window.g_min)
    # Far above zero, where nothing is cut off, one standard deviation shows the spread.
    spread = device.programmed(target, 1e-3) / 1e-3 - target / 1e-3
    mean, std = mean_of_positive_part(target, spread)
    g = model.program(many(target), window, stream())
    assert float(g.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(g.numel()))
    assert float(g.std()) == pytest.approx(std, rel=5 / math.sqrt(2 * g.numel()))


@pytest.mark.parametrize(("model", "target", "mean", "std"), [
    (Hermes(), 10.35, 0.0564, 0.009),
    (StateIndependent(), 10.0, 0.1, 0.05),
    (CustomDriftPCM(**TABLE), 5.0, 0.065, 0.025),
    (CustomDriftPCM(**TABLE), 25.0, 0.02, 0.01),
])  # fmt: skip
def test_exponents_have_their_moments(model: NoiseModel, target: float, mean: float, std: float) -> None:
    window = ConductanceWindow(0.0, 20.7 if isinstance(model, Hermes) else 25.0)
    nu = model.drift_coefficients(many(target), window, stream())
    assert nu is not None
    mean, std = mean_of_absolute(mean, std)
    assert float(nu.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(nu.numel()))
    assert float(nu.std()) == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize("t", [1.0, DAY, 2 * DAY])
@pytest.mark.parametrize("target", [0.0, 4.0, 20.0, 38.0])
def test_relaxing_reram_spreads_as_measured_at_each_time(target: float, t: float) -> None:
    model, window = ReRAMWan2022(), ConductanceWindow(0.0, 40.0)
    g = model.program(many(target), window, stream())
    seen = model.drift(g, model.drift_coefficients(many(target), window, stream()), t, window)
    mean, std = mean_of_positive_part(target, oracle.ReRAMWan2022(40.0).spread(target, t))
    assert float(seen.mean()) == pytest.approx(mean, abs=5 * std / math.sqrt(seen.numel()))
    assert float(seen.std()) == pytest.approx(std, rel=0.01)


def test_a_relaxed_cmo_device_stays_low() -> None:
    window, g = ConductanceWindow(9.0, 88.2), many(50.0)
    zeta = ReRAMCMO().drift_coefficients(g, window, stream())
    day, year = (ReRAMCMO().drift(g, zeta, t, window).flatten() for t in (DAY, 365 * DAY))
    assert float(torch.corrcoef(torch.stack((day, year)))[0, 1]) == pytest.approx(1.0)


def test_cmo_devices_are_read_within_their_window() -> None:
    window = ConductanceWindow(9.0, 88.2)
    low, high = (ReRAMCMO(read_noise_scale=5.0).read(many(g), many(g), 1.0, window, stream()) for g in (9.0, 88.2))
    assert (float(low.min()), float(high.max())) == pytest.approx((9.0, 88.2))
    assert float((low == low.min()).double().mean()) == pytest.approx(0.5, abs=0.01)


def test_the_default_table_of_exponents_is_that_of_pcm() -> None:
    window, model = ConductanceWindow(0.0, 25.0), CustomDriftPCM()
    g = torch.tensor([list(model.g_uS)], dtype=torch.float64).clamp_min(1e-9)
    assert torch.allclose(model.drift_coefficients(g, window, given()), PCM().drift_coefficients(g, window, given()), atol=1e-4)


def test_the_first_read_out_of_hermes_follows_its_number_of_devices() -> None:
    config = ohmlet.AnalogConfig.parse(
        {"tile": {"type": "inference", "noise_model": "hermes", "conductance_converter": {"type": "single_pair", "g_max_uS": 10.0}}}
    )
    one = config.override({"tile.noise_model.num_devices": 1})
    assert [each.tile.noise_model.t_0 for each in (config, one)] == [300.0, 200.0]  # type: ignore[attr-defined]
    assert Hermes(num_devices=1, t_first=50.0).t_0 == 50.0
    with pytest.raises(ConfigError, match=r"Hermes describes conductances from 0 to 20.7 uS .* uses 0 to 25 uS"):
        ohmlet.AnalogConfig.parse({"tile": {"type": "inference", "noise_model": "hermes"}})
    assert (Hermes().limits.g_max, Hermes(num_devices=1).limits.g_max) == (20.7, 10.35)


def test_coefficients_of_another_chip() -> None:
    target, window = targets(ConductanceWindow(0.0, 10.0)), ConductanceWindow(0.0, 10.0)
    own = Hermes(prog_coeff=(0.26348, 1.965, -1.1731), g_max_reference_uS=25.0)
    assert torch.allclose(own.program(target, window, stream()), PCM().program(target, window, stream()))
    g = PCM(prog_coeff=(0.5, 1.0)).program(target, window, given())
    assert torch.allclose(g, target + 1.3 * (0.5 + target / 10.0) * 10.0 / 25.0)


@pytest.mark.parametrize(("model", "window", "words"), [
    (Hermes(), (0.0, 25.0), r"Hermes describes conductances from 0 to 20.7 uS and the conductance converter uses 0 to 25 uS"),
    (Hermes(num_devices=1), (0.0, 20.7), "from 0 to 10.35 uS"),
    (CustomDriftPCM(g_uS=(2.0, 20.0), nu_mean=(0.1, 0.05), nu_std=(0.0, 0.0)), (0.0, 20.0), "from 2 to 20 uS"),
    (CustomDriftPCM(), (0.0, 30.0), "from 0 to 25 uS"),
    (ReRAMCMO(), (0.0, 88.2), "from 9 to 88.2 uS"),
])  # fmt: skip
def test_a_window_beyond_what_was_measured_is_refused(model: NoiseModel, window: tuple[float, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        model.program(torch.zeros(2, 2), ConductanceWindow(*window), stream())


@pytest.mark.parametrize("t", [0.5, 3600.0, 1e9])
def test_relaxing_reram_refuses_times_that_were_not_measured(t: float) -> None:
    model, window, g = ReRAMWan2022(), ConductanceWindow(0.0, 40.0), torch.full((2, 2), 20.0)
    with pytest.raises(ConfigError, match=r"known at 0 s, 1 s, 86400 s, 172800 s after the first read-out and at no other time"):
        model.drift(g, g, t, window)


@pytest.mark.parametrize(("name", "settings", "words"), [
    ("reram_cmo", {"acceptance_range": 0.02}, r"'acceptance_range' 0.02 % was not measured; known, in percent: 0.2, 2"),
    ("reram_cmo", {"programming": [[0.2, 0.1]]}, "needs a range, c_0 and c_1"),
    ("custom_drift_pcm", {"nu_mean": [0.1, 0.1]}, r"need one number per row: 5, 2, 5"),
    ("custom_drift_pcm", {**TABLE, "g_uS": [0.0, 25.0, 10.0]}, "'g_uS' must ascend"),
    ("custom_drift_pcm", {**TABLE, "g_uS": [0.0]}, "needs at least 2 numbers"),
    ("pcm", {"prog_coeff": [0.1, -0.2]}, r"'prog_coeff' gives a standard deviation of -0.1 uS"),
    ("pcm", {"prog_coeff": []}, "needs at least 1 numbers"),
    ("pcm", {"prog_coeff": [0.1, "0.2"]}, "write it without quotes"),
    ("state_independent", {"prog_coeff": [-0.1]}, "standard deviation of -0.1 uS"),
    ("hermes", {"num_devices": 3}, "'num_devices' must be <= 2: 3"),
    ("hermes", {"g_max_reference_uS": 25.0}, "'g_max_reference_uS' 25 has no effect without 'prog_coeff'"),
    ("reram_wan2022", {"spread": [[1.0, 0.0]]}, "standard deviation of 0 uS"),
    ("reram_wan2022", {"spread": [[1.0]]}, "needs a time and at least one coefficient"),
    ("reram_wan2022", {"spread": [[2.0, 1.0], [1.0, 1.0]]}, "must be above 0 and ascend"),
    ("reram_wan2022", {"spread": []}, "must be rows of finite numbers"),
])  # fmt: skip
def test_settings_that_make_no_sense_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        structure({"type": name, **settings}, NoiseModel)


def test_chips_refuse_a_converter_beyond_the_model_and_times_that_it_does_not_know() -> None:
    def chip(noise_model: str, converter: dict[str, Any]) -> Any:
        tile = {"type": "inference", "noise_model": noise_model, "conductance_converter": converter, "drift_compensation": "global"}
        return ohmlet.program(ohmlet.convert(nn.Linear(4, 3), {"tile": tile, "seed": 1}).model)

    with pytest.raises(ConfigError, match=r"Hermes describes conductances from 0 to 20\.7 uS"):
        chip("hermes", {"type": "single_pair"})
    relaxing = chip("reram_wan2022", {"type": "single_pair", "g_max_uS": 40.0})
    assert relaxing.at("1 d")(torch.ones(2, 4)).shape == (1, 2, 3)
    with pytest.raises(ConfigError, match="at no other time: 3600 s"):
        relaxing.at("1 h")


def test_formulas() -> None:
    x = torch.tensor([-1.0, 0.0, 0.5, 1.5, 9.0], dtype=torch.float64)
    assert polynomial((1.0, 2.0, 3.0), x).tolist() == [2.0, 1.0, 2.75, 10.75, 262.0]
    assert polynomial((4.0,), x).tolist() == [4.0] * 5
    assert interpolate(x, (0.0, 1.0, 2.0), (10.0, 20.0, 0.0)).tolist() == [10.0, 10.0, 15.0, 10.0, 0.0]
    assert interpolate(x.expand(2, 5).T, (0.0, 2.0), (0.0, 1.0)).shape == (5, 2)
    assert written((-0.5, 1.0, -2.0), "g") == "-0.5 + 1 g - 2 g^2"
