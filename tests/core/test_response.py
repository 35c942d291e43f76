"""Pulse responses as measured, against the closed forms of devices without noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import UnitCell
from ohmlet.response import measure
from ohmlet.response_plot import draw

QUIET = dict.fromkeys(("dw_min_dtod", "dw_min_std", "w_max_dtod", "w_min_dtod", "up_down_dtod"), 0.0)


def device(**settings: Any) -> UnitCell:
    return structure(settings, UnitCell)


def test_soft_bounds_without_noise_approach_their_bound_geometrically() -> None:
    response = measure(device(type="soft_bounds", dw_min=0.02, w_max=0.5, w_min=-0.25, **QUIET), devices=2, engine="reference")
    start = response.up[0, 0]
    closed = 0.5 + (start - 0.5) * (1 - 0.02 / 0.5) ** np.arange(len(response.up))
    assert response.every == 1
    np.testing.assert_allclose(response.up[:, 0], closed, atol=2e-5)
    assert response.saturates
    low, high = response.window
    np.testing.assert_allclose([low[0], high[0]], [-0.25, 0.5], atol=0.01)


def test_the_symmetry_point_is_where_steps_up_and_down_are_equal() -> None:
    # dw (1 - w / w_max) = dw (1 - w / w_min) only at w = 0; steps of other sizes up and down: (a - b) / (a / w_max - b / w_min).
    for up_down, point in ((0.0, 0.0), (0.2, (1.2 - 0.8) / (1.2 / 0.5 + 0.8 / 0.25))):
        settings = {"type": "soft_bounds", "dw_min": 0.01, "w_max": 0.5, "w_min": -0.25, "up_down": up_down, **QUIET}
        found = measure(device(**settings), devices=2, engine="reference").symmetry_point
        assert found is not None
        np.testing.assert_allclose(found, point, atol=0.01)


def test_steps_of_equal_size_have_no_symmetry_point() -> None:
    response = measure(device(type="constant_step", dw_min=0.05, **QUIET), devices=2, engine="reference")
    assert response.symmetry_point is None
    np.testing.assert_allclose(response.steps("up").mean[1:-1], 0.05, atol=1e-6)


def test_the_spread_from_pulse_to_pulse_is_what_the_device_states() -> None:
    response = measure(device(type="constant_step", dw_min=0.002, **{**QUIET, "dw_min_std": 0.5}), devices=6, engine="reference")
    steps = response.steps("up")
    middle = slice(2, -2)
    np.testing.assert_allclose(steps.mean[middle], 0.002, rtol=0.15)
    np.testing.assert_allclose(steps.cycle_to_cycle[middle], 0.001, rtol=0.25)


def test_write_noise_is_no_part_of_a_step() -> None:
    quiet, loud = (measure(device(type="soft_bounds", dw_min=0.01, write_noise_std=std), pulses=64, devices=8) for std in (0.0, 0.2))
    for train in ("up", "down"):
        np.testing.assert_array_equal(quiet.steps(train).mean, loud.steps(train).mean)
        np.testing.assert_array_equal(quiet.at_middle(train), loud.at_middle(train))
    assert np.abs(quiet.up - loud.up).std() > 0.05


@pytest.mark.parametrize("kind", ["vector", "reference_pair", "one_sided"])
def test_write_noise_is_no_part_of_a_step_of_several_devices(kind: str) -> None:
    def cell(noise: float) -> UnitCell:
        # Without drawn reads, the devices of both cells are the same ones and get the same pulses.
        part = {"type": "soft_bounds", "dw_min": 0.01, "w_min": 0.0 if kind == "one_sided" else -0.6, "write_noise_std": noise}
        parts: dict[str, dict[str, Any]] = {
            "vector": {"unit_cell_devices": [part, part]},
            "reference_pair": {"device": part},
            "one_sided": {"minus": part},
        }
        return device(type=kind, **parts[kind])

    quiet, loud = (measure(cell(std), pulses=64, devices=8) for std in (0.0, 0.2))
    for train in ("up", "down"):
        np.testing.assert_array_equal(quiet.at_middle(train), loud.at_middle(train))
        np.testing.assert_array_equal(quiet.steps(train).cycle_to_cycle, loud.steps(train).cycle_to_cycle)
    assert np.abs(quiet.up - loud.up).std() > 0.05


def test_devices_differ_as_they_state() -> None:
    response = measure(device(type="soft_bounds", dw_min=0.02, **{**QUIET, "w_max_dtod": 0.2}), devices=60, engine="reference")
    _, high = response.window
    assert high.std() == pytest.approx(0.2 * 0.6, rel=0.35)
    assert response.window[0].std() < 0.01


def test_a_device_without_bounds_says_so() -> None:
    response = measure(device(type="ideal", granularity_as=0.01), devices=2, engine="reference")
    assert not response.saturates
    assert response.symmetry_point is None
    assert response.summary()["states (window / granularity)"] == "no bound seen"


def test_cells_of_several_devices_answer_too() -> None:
    parts = [{"type": "soft_bounds", "dw_min": 0.02, **QUIET}] * 2
    response = measure(device(type="vector", unit_cell_devices=parts), devices=2, engine="reference")
    np.testing.assert_allclose(response.window[1], 0.6, atol=0.02)


def test_the_same_seed_gives_the_same_response_and_another_one_another() -> None:
    cell = device(type="soft_bounds", dw_min=0.05)
    first, same, other = (measure(cell, devices=2, seed=seed, pulses=50, engine="reference").up for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("options", "words"), [({"devices": 1}, "devices = 1"), ({"pulses": 3}, "pulses = 3")])
def test_too_few_devices_or_pulses_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        measure(device(type="soft_bounds"), engine="reference", **options)


def test_devices_that_no_pulse_moves_are_refused() -> None:
    with pytest.raises(ConfigError, match="no pulse moves ConstantStep"):
        measure(device(type="constant_step", corrupt_devices_prob=1.0), devices=2, pulses=20, engine="reference")


def test_the_picture_is_written(tmp_path: Path) -> None:
    draw(measure(device(type="soft_bounds", dw_min=0.05), devices=3, engine="reference"), "soft bounds", tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
