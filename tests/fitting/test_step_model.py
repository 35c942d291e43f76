"""The model of traces: the kernels' trajectories, exact derivatives, the filter against a plain one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from ohmlet.cells import build_array
from ohmlet.errors import ConfigError
from ohmlet.fitting.filtering import filtered, sensitivities
from ohmlet.fitting.least_squares import covariances, log_determinant
from ohmlet.fitting.population import population
from ohmlet.fitting.step_model import StepModel
from ohmlet.interfaces.device import ArraySite, Device
from ohmlet.interfaces.pulses import PulsedUpdate
from ohmlet.nn.kernels import kernels_of
from ohmlet.registry import registry
from ohmlet_kernels.noise import Stream

QUIET = {"dw_min_dtod": 0.0, "dw_min_std": 0.0, "w_max_dtod": 0.0, "w_min_dtod": 0.0, "up_down_dtod": 0.0}
WAYS = np.array([0] + [1] * 30 + [-1] * 50 + [0] + [1] * 20, dtype=np.int8)
DEVICES: dict[str, dict[str, Any]] = {
    "soft_bounds": {"dw_min": 0.03, "up_down": 0.2},
    "exp_step": {"dw_min": 0.03, "A_up": 0.2, "gamma_up": 3.0},
    "pow_step": {"dw_min": 0.06, "pow_gamma": 1.5, "pow_gamma_dtod": 0.0},
    "piecewise_step": {"dw_min": 0.03, "piecewise_up": (1.0, 0.8, 0.3), "piecewise_down": (0.2, 0.7, 1.5)},
}


def made(name: str, **settings: Any) -> Device:
    device: Device = registry("device").get(name)(**{**QUIET, **DEVICES[name], **settings})
    return device


@pytest.mark.parametrize("name", DEVICES)
def test_trajectories_are_those_of_an_array(name: str) -> None:
    device, key = made(name), torch.tensor(1)
    array = build_array(device, ArraySite(1, 1, key, kernels_of("reference"), lambda w, x, noise: x @ w.mT))
    once, own = PulsedUpdate(desired_bl=1, update_management=False, update_bl_management=False), []
    for number, way in enumerate(WAYS.tolist()):
        if way:
            d = torch.tensor([[float(way)]])
            array.pulse(-torch.ones(1, 1), d, array.granularity, once, Stream(key, torch.tensor([number]), path="pulses"))
        own.append(float(array.weights()))
    model = StepModel(device)
    seen = np.full((len(WAYS), 1), np.nan)
    seen[0] = 0.0
    _, after = model.follow(model.inputs(device)[None], WAYS[:, None], seen, None)
    np.testing.assert_allclose(after[:, 0, 0], own, atol=1e-6)


@pytest.mark.parametrize("name", DEVICES)
def test_sensitivities_are_differences(name: str) -> None:
    device = made(name, dw_min_std=0.3)
    model = StepModel(device)
    inputs, random = model.inputs(device), np.random.default_rng(0)
    seen = 0.1 * random.normal(size=(len(WAYS), 1))
    seen[3] = np.nan
    gains = np.full((*seen.shape, 1), 0.2)
    before, _ = model.follow(inputs[None], WAYS[:, None], seen, gains)
    line = model.linearised(inputs[None], WAYS[:, None], before)
    found = sensitivities(line, np.eye(len(inputs))[None], gains, seen)
    for place in range(len(inputs)):
        nudge = np.zeros(len(inputs))
        nudge[place] = 1e-6
        ends = [model.follow((inputs + sign * nudge)[None], WAYS[:, None], seen, gains)[1][:, 0, 0] for sign in (1, -1)]
        np.testing.assert_allclose(found[:, 0, place], (ends[0] - ends[1]) / 2e-6, atol=1e-6, rtol=1e-5)


def test_noise_enters_as_the_step_says() -> None:
    device = made("soft_bounds", dw_min_std=0.3)
    model = StepModel(device)
    before = np.array([[[0.0]], [[0.2]], [[0.2]]])
    line = model.linearised(model.inputs(device)[None], np.array([[0], [1], [-1]], dtype=np.int8), before)
    expected = [0.0, 0.03 * 1.2 * (1 - 0.2 / 0.6) * 0.3, -0.03 * 0.8 * (1 + 0.2 / 0.6) * 0.3]
    np.testing.assert_allclose(line.by_noise[:, 0, 0, 0], expected, rtol=1e-12)


def test_the_filter_of_a_linear_device_is_the_plain_one() -> None:
    """With steps on straight lines nothing is approximated: the joint normal distribution of all reads has the same likelihood."""
    device = made("soft_bounds", dw_min_std=0.3)
    model, ways = StepModel(device), np.array([0, 1, 1, 1, 0, 1], dtype=np.int8)
    seen = np.array([0.05, 0.07, np.nan, 0.14, 0.13, 0.18])[:, None]
    r, a, b = 0.02**2, 1 - 0.036 / 0.6, 0.036
    before, after = model.follow(model.inputs(device)[None], ways[:, None], seen, None)
    line = model.linearised(model.inputs(device)[None], ways[:, None], before)
    found = filtered(line, after, before, seen, r)
    w, mean, q = 0.05, [0.05], [0.0]
    for way in ways[1:]:
        q.append((0.3 * b * (1 - w / 0.6)) ** 2 if way else 0.0)
        w = a * w + b if way else w
        mean.append(w)
    spread = np.zeros((6, 6))
    variance = r
    for i in range(6):
        if i:
            variance = (a * a if ways[i] else 1.0) * variance + q[i]
        spread[i, i] = variance
        for j in range(i + 1, 6):
            spread[i, j] = spread[j, i] = spread[i, j - 1] * (a if ways[j] else 1.0)
    read = [1, 3, 4, 5]
    joint = spread[np.ix_(read, read)] + r * np.eye(4)
    off = (seen[:, 0] - np.array(mean))[read]
    expected = 0.5 * (off @ np.linalg.solve(joint, off) + np.linalg.slogdet(2 * np.pi * joint)[1])
    assert found.loss == pytest.approx(expected, rel=1e-9)


def test_devices_with_uniform_draws_have_no_smooth_step() -> None:
    class Stochastic(type(made("soft_bounds"))):  # type: ignore[misc]
        uniforms = 1

    with pytest.raises(ConfigError, match="draws uniform numbers"):
        StepModel(Stochastic())


def test_covariances_of_shared_and_own_settings_are_those_of_the_whole() -> None:
    random, shared = np.random.default_rng(0), np.array([False, True, False])
    parts = random.normal(size=(4, 9, 3))
    matrix = parts.transpose(0, 2, 1) @ parts
    # The whole problem: one shared parameter, then two of each device.
    whole = np.zeros((9, 9))
    for device in range(4):
        place = np.array([1 + 2 * device, 0, 2 + 2 * device])
        whole[np.ix_(place, place)] += matrix[device]
    inverse = np.linalg.inv(whole)
    found = covariances(matrix, shared)
    for device in range(4):
        place = np.array([1 + 2 * device, 0, 2 + 2 * device])
        np.testing.assert_allclose(found[device], inverse[np.ix_(place, place)], rtol=1e-9)
    assert log_determinant(matrix, shared) == pytest.approx(np.linalg.slogdet(whole)[1])


def test_what_no_read_depends_on_has_no_finite_variance() -> None:
    found = covariances(np.array([[[4.0, 0.0], [0.0, 0.0]]]), np.zeros(2, dtype=np.bool_))
    assert found[0, 0, 0] == pytest.approx(0.25)
    assert np.isinf(found[0, 1, 1])


def test_populations_of_equal_errors_have_the_textbook_spread() -> None:
    values = np.array([1.0, 2.0, 4.0, 5.0, 8.0])
    found = population(values, np.full(5, 1.5))
    assert found.mean == pytest.approx(4.0)
    assert found.spread == pytest.approx(np.sqrt(values.var(ddof=1) - 1.5**2))
    assert found.mean_std == pytest.approx(values.std(ddof=1) / np.sqrt(5))
    # (N - 1) s^2 / chi^2 quantiles of 4 degrees of freedom, less the variance of an estimate.
    assert found.spread_high == pytest.approx(np.sqrt(4 * values.var(ddof=1) / 0.484419 - 1.5**2), rel=1e-4)
    assert population(values, np.full(5, 20.0)).spread == 0.0
