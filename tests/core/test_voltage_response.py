"""Sweeps and pulse trains of memristors, against closed forms, and their pictures."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from ohmlet.cli.main import ohmlet_group
from ohmlet.config.structure import structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.device import UnitCell
from ohmlet.voltage_response import Train, sweep, trains


def device(**settings: Any) -> UnitCell:
    return structure(settings, UnitCell)


def test_loops_are_pinched_and_run_the_way_that_the_device_does() -> None:
    found = sweep(device(type="vteam"), low=-0.3, high=0.5, period=2e-7, devices=2)
    current, v = found.current[:, 0], found.volts
    # A resistor at every moment, so no current without a voltage.
    np.testing.assert_allclose(current, v * found.g[:, 0], rtol=1e-12)
    assert abs(current[np.argmin(np.abs(v))]) <= 2e-2 * np.abs(v).min() + 1e-15
    # Positive voltages reset this device: at the same voltage more current on the way up than on the way down, in the last cycle.
    last = slice(-found.points_per_cycle, None)
    rising, falling = (np.flatnonzero(np.isclose(v[last], at, atol=2e-3)) for at in (0.25, 0.25))
    assert current[last][rising[0]] > current[last][falling[-1]]
    assert (found.area() > 0).all()


def test_a_resistor_has_no_loop() -> None:
    found = sweep(device(type="vteam"), low=-0.19, high=0.019, devices=1)
    assert float(found.area()[0]) < 1e-4 * np.abs(found.current).max() * 0.19
    assert float(np.ptp(found.g)) < 1e-12


def test_the_area_of_a_loop_is_that_of_both_lobes() -> None:
    # A current of 1 A on the way out and 0 on the way back in each half encloses the amplitude once for each.
    found = sweep(device(type="vteam"), low=-0.3, high=0.5, cycles=1, points=400, devices=1)
    rising = np.concatenate([[False], np.diff(np.abs(found.volts)) > 0])
    square = found.__class__(
        volts=found.volts, current=np.where(rising, np.sign(found.volts), 0.0)[:, None], g=found.g, step_seconds=1.0, points_per_cycle=400
    )
    np.testing.assert_allclose(square.area(), 0.8, rtol=0.02)


def test_trains_follow_one_another() -> None:
    quiet = {"static_dtod": 0.0, "dynamic_dtod": 0.0}
    made = [Train(volts=1.0, seconds=5e-4, count=40), Train(volts=-1.1, seconds=1e-2, count=3)]
    found = trains(device(type="metal_oxide", **quiet), made, devices=2, start_uS=65.0)
    assert found.g.shape == (44, 2)
    np.testing.assert_allclose(1e6 * found.g[[0, 1, 10, 40]], [[each] * 2 for each in (65, 66.963, 84.632, 137.424)], atol=6e-4)
    assert found.g[43, 0] < found.g[40, 0]
    assert found.summary()["after train 1, 40 of 1 V for 0.0005 s"] == "137 ± 0 uS"


def test_devices_of_one_seed_are_the_same() -> None:
    cell, pulse = device(type="metal_oxide"), [Train(volts=1.0, seconds=5e-4, count=2)]
    one, again, other = (trains(cell, pulse, devices=5, seed=seed).g for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("settings", "given", "words"), [
    ({"type": "soft_bounds"}, {}, "SoftBounds is no memristor"),
    ({"type": "vteam"}, {"low": 0.1}, "a sweep from 0.1 to"),
    ({"type": "vteam"}, {"points": 4}, "points = 4"),
    ({"type": "vteam"}, {"period": -1.0}, "period = -1.0 s is no time"),
    ({"type": "vteam"}, {"start_uS": 1.0}, "start = 1 uS lies outside of the window of VTEAM, 1000 to 20000 uS"),
    ({"type": "metal_oxide"}, {"high": 1.3}, "from -1.5 to 1.15 V, and"),
    ({"type": "metal_oxide"}, {"period": 1e-6}, "from 1e-07 to 0.1 s"),
])  # fmt: skip
def test_sweeps_that_show_nothing_are_refused(settings: dict[str, Any], given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        sweep(device(**settings), **given)


def plotted(*arguments: str) -> Any:
    return CliRunner().invoke(ohmlet_group, ["plot", *arguments])


def test_pictures_and_tables_of_the_command(tmp_path: Path) -> None:
    for name, arguments in (
        ("loop.png", ("vteam", "--sweep", "-0.3:0.5", "--period", "2e-7", "--cycles", "1")),
        ("own.svg", ("cubic_iv", "--sweep", "auto")),
        ("train.png", ("metal_oxide", "--pulses-at", "1.0:5e-4:5", "--pulses-at", "-1.0:5e-4:5", "--start", "65")),
    ):
        target = tmp_path / name
        result = plotted(*arguments, "--devices", "3", "--out", str(target))
        assert result.exit_code == 0, result.output
        assert target.stat().st_size > 5000
        assert f"written: {target}" in result.output
        assert "devices" in result.output


@pytest.mark.parametrize(("arguments", "words"), [
    (("vteam", "--period", "1"), "--period has no effect without --sweep"),
    (("vteam", "--start", "5"), "--start has no effect without"),
    (("vteam", "--sweep", "auto", "--pulses-at", "1:1"), "two pictures"),
    (("vteam", "--sweep", "auto", "--pulses", "10"), "--pulses is for trains of write pulses"),
    (("vteam", "--sweep", "1"), "--sweep 1 is not 2 numbers"),
    (("vteam", "--pulses-at", "1:x"), "--pulses-at 1:x is not 2 or 3 numbers"),
    (("soft_bounds", "--sweep", "auto"), "SoftBounds is no memristor"),
])  # fmt: skip
def test_options_without_effect_are_refused(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    result = plotted(*arguments, "--out", str(tmp_path / "x.png"))
    assert result.exit_code
    assert words in str(result.exception) + result.output
    assert not (tmp_path / "x.png").exists()


def test_sweep_defaults_stay_within_what_the_model_covers() -> None:
    found = sweep(device(type="metal_oxide"), devices=1, cycles=1, points=32)
    assert -1.25 <= found.volts.min() < -1.0
    assert 1.0 < found.volts.max() <= 1.15
    assert math.isclose(found.step_seconds, 5e-4)
