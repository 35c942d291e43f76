"""Phase-change memory against a scalar device in float64 and against the published statistics."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import ConductanceWindow
from ohmlet_kernels.noise import Stream
from ohmlet_noise_models.compensation_global import GlobalCompensation
from ohmlet_noise_models.compensation_none import NoCompensation
from ohmlet_noise_models.pcm import PCM
from ohmlet_noise_models.single_pair import SinglePair
from tests.oracle import pcm as oracle

TARGETS = torch.tensor([[0.0, 1e-6, 0.01, 0.3, 1.0, 2.0], [3.7, 6.25, 12.5, 18.0, 24.9, 25.0]], dtype=torch.float64)
TIMES = [0.0, 1e-3, 1.0, 60.0, 3600.0, 86400.0, 365 * 86400.0]
MANY = [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)]


def stream(key: int = 3) -> Stream:
    return Stream(torch.tensor(key), None, torch.tensor([0]), "program")


@pytest.mark.parametrize("g_max", [25.0, 10.0, 90.0])
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("key", range(5))
def test_programming_and_exponents_equal_the_oracle_given_the_same_normals(g_max: float, scale: float, key: int) -> None:
    model, window, targets = PCM(prog_noise_scale=scale, drift_scale=scale), ConductanceWindow(0.0, g_max), TARGETS * g_max / 25
    g = model.program(targets, window, stream(key))
    nu = model.drift_coefficients(targets, window, stream(key))
    for i, target in np.ndenumerate(targets.numpy()):
        xi, zeta = (float(stream(key).normal(purpose, targets)[i]) for purpose in ("programming", "drift exponent"))
        assert float(g[i]) == pytest.approx(oracle.programmed(target, g_max, xi, scale), rel=1e-12, abs=1e-12)
        assert float(nu[i]) == pytest.approx(oracle.exponent(target, g_max, zeta, scale), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("t", TIMES)
@pytest.mark.parametrize("scale", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("g_max", [25.0, 90.0])
def test_drift_and_read_noise_equal_the_oracle_given_the_same_normals(t: float, scale: float, g_max: float) -> None:
    model, window, g = PCM(read_noise_scale=scale), ConductanceWindow(0.0, g_max), TARGETS * g_max / 25
    nu = torch.linspace(0, 0.2, g.numel(), dtype=torch.float64).view_as(g)
    drifted = model.drift(g, nu, t, window)
    read = model.read(drifted, g, t, window, stream())
    for i, programmed in np.ndenumerate(g.numpy()):
        expected = oracle.drifted(programmed, float(nu[i]), t)
        assert float(drifted[i]) == pytest.approx(expected, rel=1e-12, abs=1e-12)
        normal = float(stream().normal("read", g)[i])
        assert float(read[i]) == pytest.approx(oracle.read(expected, programmed, g_max, t, normal, scale), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("devices", MANY)
@pytest.mark.parametrize("g_r", [0.0, 0.05, 0.2, 0.5, 0.8, 1.0])
def test_programmed_conductances_have_the_published_moments(g_r: float, devices: int) -> None:
    target = torch.full((devices // 1000, 1000), 25.0 * g_r, dtype=torch.float64)
    g = PCM().program(target, ConductanceWindow(0.0, 25.0), stream())
    spread = -1.1731 * g_r**2 + 1.9650 * g_r + 0.2635
    mean, std = oracle.mean_of_positive_part(25.0 * g_r, spread)
    # The published table states the constant 0.2635 for 0.26348; one per cent is the acceptance of the table itself.
    assert float(g.mean()) == pytest.approx(mean, rel=0.01, abs=5 * std / math.sqrt(devices))
    assert float(g.std()) == pytest.approx(std, rel=0.01)
    assert float(g.min()) >= 0.0


@pytest.mark.parametrize("devices", MANY)
@pytest.mark.parametrize("g_r", [0.0, 0.05, 0.2, 0.5, 0.8, 1.0])
def test_exponents_have_the_published_moments(g_r: float, devices: int) -> None:
    target = torch.full((devices // 1000, 1000), 25.0 * g_r, dtype=torch.float64)
    nu = PCM().drift_coefficients(target, ConductanceWindow(0.0, 25.0), stream())
    mean, std = oracle.mean_of_absolute(*oracle.exponent_statistics(25.0 * g_r, 25.0))
    assert float(nu.mean()) == pytest.approx(mean, rel=0.01)
    assert float(nu.std()) == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize("devices", MANY)
@pytest.mark.parametrize("t", [0.0, 1.0, 86400.0])
@pytest.mark.parametrize("g_r", [0.05, 0.2, 0.5, 1.0])
def test_read_outs_have_the_published_spread(g_r: float, t: float, devices: int) -> None:
    g = torch.full((devices // 1000, 1000), 25.0 * g_r, dtype=torch.float64)
    read = PCM().read(0.8 * g, g, t, ConductanceWindow(0.0, 25.0), stream())
    q = min(0.0088 / g_r**0.65, 0.2)
    spread = 0.8 * 25.0 * g_r * q * math.sqrt(math.log((t + 20 + 250e-9) / (2 * 250e-9)))
    mean, std = oracle.mean_of_positive_part(0.8 * 25.0 * g_r, spread)
    assert float(read.mean()) == pytest.approx(mean, rel=0.01)
    assert float(read.std()) == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize("nu", [0.0, 0.031, 0.05, 0.1])
@pytest.mark.parametrize("t_0", [20.0, 1.0])
def test_drift_is_a_straight_line_in_logarithms_whose_slope_is_the_exponent(nu: float, t_0: float) -> None:
    model, g = PCM(t_0=t_0), torch.tensor([[10.0]], dtype=torch.float64)
    times = np.logspace(-2, 9, 23)
    window = ConductanceWindow(0.0, 25.0)
    drifted = [float(model.drift(g, torch.full_like(g, nu), float(t), window)) for t in times]
    slope, offset = np.polyfit(np.log((times + t_0) / t_0), np.log(drifted), 1)
    assert slope == pytest.approx(-nu, abs=1e-12)
    assert math.exp(offset) == pytest.approx(10.0)


def test_without_coefficients_nothing_drifts() -> None:
    g = TARGETS
    assert torch.equal(PCM().drift(g, None, 1e6, ConductanceWindow(0.0, 25.0)), g)


def test_a_device_at_zero_is_read_as_zero() -> None:
    zero = torch.zeros(2, 2)
    assert torch.equal(PCM().read(zero, zero, 1.0, ConductanceWindow(0.0, 25.0), stream()), zero)


def test_equal_keys_give_equal_devices_and_the_two_devices_of_a_pair_differ() -> None:
    window, noise = ConductanceWindow(0.0, 25.0), stream()
    first = PCM().program(TARGETS, window, noise)
    assert torch.equal(first, PCM().program(TARGETS, window, noise))
    assert not torch.equal(first, PCM().program(TARGETS, window, noise._replace(event=torch.tensor([1]))))


@pytest.mark.parametrize(("g_min", "g_max"), [(0.0, 25.0), (3.0, 25.0), (9.0, 88.2)])
def test_a_single_pair_holds_a_weight_as_a_difference_and_gives_it_back(g_min: float, g_max: float) -> None:
    pair = SinglePair(g_min_uS=g_min, g_max_uS=g_max)
    w = torch.linspace(-1, 1, 41, dtype=torch.float64).view(1, 41)
    g = pair.to_conductances(w)
    assert pair.devices == len(g) == 2
    for j, value in enumerate(w[0].tolist()):
        plus, minus = g_min + (g_max - g_min) * max(value, 0.0), g_min + (g_max - g_min) * max(-value, 0.0)
        assert g[:, 0, j].tolist() == pytest.approx([plus, minus], rel=1e-14)
    assert torch.allclose(pair.to_weights(g), w, atol=1e-15)
    assert (pair.window.g_min, pair.window.g_max) == (g_min, g_max)


def test_a_pair_without_a_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'g_min_uS' must be below 'g_max_uS': 25\.0 >= 25\.0"):
        SinglePair(g_min_uS=25.0, g_max_uS=25.0)


def test_global_compensation_is_the_ratio_of_mean_absolute_outputs_of_one_hot_inputs() -> None:
    generator = torch.Generator().manual_seed(1)
    before = torch.randn(3, 5, 7, dtype=torch.float64, generator=generator)
    after = 0.6 * before
    compensation = GlobalCompensation()

    def crossbar(w: Tensor) -> Tensor:
        readout = compensation.read_out(lambda inputs: inputs @ w.mT, 7, w)
        assert readout.shape == (3, 1, 1)
        return readout

    expected = [sum(abs(float(w)) for w in matrix.flatten()) / 35 for matrix in before]
    assert crossbar(before).flatten().tolist() == pytest.approx(expected, rel=1e-12)
    assert compensation.factor(crossbar(before), crossbar(after)).flatten().tolist() == pytest.approx([1 / 0.6] * 3, rel=1e-12)


def test_a_crossbar_that_reads_nothing_is_not_compensated_without_end() -> None:
    compensation, w = GlobalCompensation(), torch.zeros(4, 4)
    zero = compensation.read_out(lambda inputs: inputs @ w.mT, 4, w)
    assert float(zero) == pytest.approx(1e-4)
    assert float(compensation.factor(zero, zero)) == 1.0
    assert NoCompensation().read_out(lambda inputs: inputs, 4, w) is None  # type: ignore[func-returns-value]
