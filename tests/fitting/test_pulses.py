"""Devices fitted to pulse responses: known settings come back within the confidence that is stated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve, frozen

from ohmlet.config import files, structure
from ohmlet.errors import ConfigError
from ohmlet.fitting import Fit, PulseTraces, fit, ranking
from ohmlet.interfaces.device import CellParameter, Device, HiddenState, UnitCell
from ohmlet.registry import registry
from ohmlet.spec import number
from tests.fitting import synthetic

ops: Any = None


@frozen(kw_only=True)
class Cubic(Device):
    """Third-party steps that fall with the cube of the weight, and a second state that tires them."""

    dw_min: float = number(0.01, "step at w = 0", gt=0)
    reach: float = number(1.0, "weight at which steps vanish", gt=0)
    sigma: float = number(0.3, "spread of steps from pulse to pulse", ge=0)
    tiring: float = number(0.1, "loss of step per pulse", gt=0)

    def cells(self) -> dict[str, CellParameter]:
        return {"dw": CellParameter(mean=self.dw_min)}

    def hidden(self) -> dict[str, HiddenState]:
        return {"vigour": HiddenState(initial=1.0)}

    def parameters(self) -> dict[str, float]:
        return {"reach": self.reach, "sigma": self.sigma, "tiring": self.tiring}

    @staticmethod
    def step(w: Any, up: Any, noise: Any, cell: Any, hidden: Any, params: Any) -> tuple[Any, Any]:
        r = w / params.reach
        size = cell.dw * hidden.vigour * ops.where(up, 1 - r * r * r, -1 - r * r * r)
        return w + size * (1 + params.sigma * noise[0]), (hidden.vigour * (1 - params.tiring),)


@contextmanager
def registered() -> Iterator[None]:
    registry("device").register("cubic", Cubic)
    try:
        yield
    finally:
        registry.cache_clear()


def device(name: str, **settings: Any) -> Device:
    made: Device = registry("device").get(name)(**settings)
    return made


def off(found: Fit, **true: float) -> dict[str, float]:
    """Return how many standard errors estimates are off."""
    return {name: (found[name].value - value) / found[name].std for name, value in true.items()}


def within(found: Fit, sigmas: float = 3.5, **true: float) -> None:
    for name, sigma in off(found, **true).items():
        assert abs(sigma) < sigmas, f"{found[name]} should be {true[name]}"
        assert found[name].low < found[name].value < found[name].high


@pytest.fixture(scope="module")
def soft() -> Fit:
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.024, 0.016, 0.7, -0.5)))
    return fit(synthetic.traces(step, 1, bounds=(-0.5, 0.7)), device("soft_bounds"), starts=2)


def test_soft_bounds_come_back(soft: Fit) -> None:
    within(soft, dw_min=0.02, up_down=0.2, w_max=0.7, w_min=-0.5, dw_min_std=0.3, read_noise=0.01)
    assert soft.figures["r2"] > 0.99
    assert soft.figures["chi2"] == pytest.approx(1.0, abs=0.1)
    assert soft.figures["whiteness"] > 0.001
    assert (soft.figures["reads"], soft.figures["devices"]) == (200, 1)


def test_one_device_says_nothing_of_how_devices_differ(soft: Fit) -> None:
    assert not soft["dw_min_dtod"].determined
    assert "one device shows no spread" in str(soft["dw_min_dtod"])
    assert math.isnan(soft["w_max_dtod"].value)
    assert soft.spec.dw_min_dtod == 0.3  # type: ignore[attr-defined]


def test_the_spec_is_one_that_a_config_reads(soft: Fit, tmp_path: Path) -> None:
    soft.save(tmp_path / "spec.yaml")
    content = files.read(tmp_path / "spec.yaml")
    assert structure(content, UnitCell) == soft.spec
    text = (tmp_path / "spec.yaml").read_text()
    assert "from arrays" in text
    assert "up_down: " in text
    soft.save(tmp_path / "spec.yaml")
    (tmp_path / "mine.yaml").write_text("type: soft_bounds\n")
    with pytest.raises(ConfigError, match="was not written by a fit"):
        soft.save(tmp_path / "mine.yaml")


def test_linear_steps_come_back() -> None:
    found = synthetic.traces(synthetic.linear_step(np.array([0.02]), 0.4, 0.6, 0.6, -0.6), 1, bounds=(-0.6, 0.6), read=0.004)
    made = fit(found, device("linear_step"), starts=2)
    within(made, dw_min=0.02, gamma_up=0.4, gamma_down=0.6, w_max=0.6, w_min=-0.6, dw_min_std=0.3)


def test_power_steps_come_back_where_the_bounds_are_known() -> None:
    found = synthetic.traces(synthetic.pow_step(np.array([0.05]), 1.7, 0.6, -0.6), 1, bounds=(-0.6, 0.6))
    start = device("pow_step", w_max=0.6, w_min=-0.6)
    within(fit(found, start, free=("dw_min", "pow_gamma", "up_down", "dw_min_std"), starts=2), dw_min=0.05, pow_gamma=1.7, up_down=0.0)


def test_exponential_steps_come_back_and_what_is_redundant_is_told() -> None:
    found = synthetic.traces(synthetic.exp_step(np.array([0.02]), 0.3, 0.2, 2.0, 3.0, 0.5, 4.0), 1, bounds=(-2, 2), read=0.005)
    start = device("exp_step", w_max=2.0, w_min=-2.0, A_up=0.1, A_down=0.1, gamma_up=3.0, gamma_down=3.0, a=0.5, b=0.0)
    names = ("dw_min", "A_up", "A_down", "gamma_up", "gamma_down", "a", "b", "dw_min_std")
    made = fit(found, start, free=names, starts=2)
    within(made, dw_min=0.02, A_up=0.3, A_down=0.2, gamma_up=2.0, gamma_down=3.0, dw_min_std=0.3)
    for name in ("a", "b"):
        assert not made[name].determined
        assert "other settings have the same effect" in made[name].note


def test_a_third_party_device_with_a_state_of_its_own_comes_back() -> None:
    random, w, vigour, seen = np.random.default_rng(5), 0.0, 1.0, [0.0]
    for way in synthetic.WAYS:
        w += way * 0.02 * vigour * (1 - way * (w / 0.8) ** 3) * (1 + 0.3 * random.normal())
        vigour *= 1 - 0.004
        seen.append(w)
    reads = np.array(seen) + 0.005 * random.normal(size=len(seen))
    found = PulseTraces.of(np.insert(synthetic.WAYS, 0, 0), reads)
    with registered():
        made = fit(found, Cubic(), starts=2)
    within(made, dw_min=0.02, reach=0.8, tiring=0.004, sigma=0.3, read_noise=0.005)


def test_missed_reads_cost_precision_only() -> None:
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.024, 0.016, 0.7, -0.5)))
    whole = synthetic.traces(step, 1, bounds=(-0.5, 0.7), seed=2)
    seen = whole.traces[0].seen.copy()
    seen[1::2] = np.nan
    made = fit(PulseTraces((evolve(whole.traces[0], seen=seen),), "weight", "half"), device("soft_bounds"), starts=1)
    within(made, w_max=0.7, w_min=-0.5, dw_min=0.02, up_down=0.2)
    assert made.figures["reads"] == 100


def test_conductances_become_weights_of_the_window() -> None:
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.024, 0.016, 0.7, -0.5)))
    w = synthetic.traces(step, 1, bounds=(-0.5, 0.7))
    g = PulseTraces(tuple(evolve(trace, seen=10 + 8 * trace.seen) for trace in w.traces), "uS", "g")
    made = fit(g, device("soft_bounds"), window=(2.0, 18.0), starts=1)
    within(made, w_max=0.7, w_min=-0.5, dw_min=0.02)
    assert "weights -1 to 1 are 2 to 18 uS" in made.yaml()
    with pytest.raises(ConfigError, match="has no effect on reads that are weights"):
        fit(w, device("soft_bounds"), window=(2.0, 18.0))


def test_devices_that_are_wrong_rank_behind() -> None:
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.05, 0.05, 0.6, -0.6)))
    found = synthetic.traces(step, 1, bounds=(-0.6, 0.6))
    ranked = ranking([fit(found, device(name), starts=1) for name in ("constant_step", "soft_bounds")])
    assert [each.name for each, _ in ranked] == ["soft_bounds", "constant_step"]
    assert ranked[0][1] == 0.0
    assert ranked[1][1] > 50


def test_a_bound_that_no_read_comes_near_is_undetermined() -> None:
    found = synthetic.traces(
        synthetic.linear_step(np.array([0.005]), 0.0, 0.0, 1.0, -1.0), 1, ways=synthetic.WAYS[:60], bounds=(-5, 5), read=0.002
    )
    made = fit(found, device("constant_step"), starts=1)
    assert not made["w_max"].determined
    assert not made["w_min"].determined
    assert not made["up_down"].determined
    assert "undetermined" in made.yaml()


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("vector", {}, "made of several devices"),
        ("soft_bounds", {"free": ["dw_mni"]}, "has no number called 'dw_mni' to fit; did you mean 'dw_min'"),
        ("soft_bounds", {"free": ["dw_min_dtod"]}, "dw_min_dtod is how devices differ"),
        ("soft_bounds", {"free": ["lifetime"]}, "the reads tell none of lifetime: lifetime: no read depends on it"),
        ("soft_bounds", {"estimator": "guess"}, "estimator must be filter or trajectory"),
        ("soft_bounds", {"estimator": "trajectory", "read_noise": 0.1}, "is for the filter"),
        ("pcm:noise", {}, "unknown device"),
        ("state_independent", {}, "name a device"),
    ],
)
def test_what_cannot_be_fitted_is_told(name: str, arguments: dict[str, Any], message: str) -> None:
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.05, 0.05, 0.6, -0.6)))
    found = synthetic.traces(step, 1, ways=synthetic.WAYS[:20], bounds=(-0.6, 0.6))
    with pytest.raises(ConfigError, match=message):
        fit(found, name, starts=1, **arguments)


def test_reads_without_pulses_are_refused() -> None:
    with pytest.raises(ConfigError, match="no read follows a pulse"):
        fit(PulseTraces.of([0, 0, 0], [0.1, 0.2, 0.1]), "soft_bounds")


def population(devices: int, seed: int) -> PulseTraces:
    """Soft bounds whose steps and bounds differ by 20 %, and up_down by 0.05."""
    random = np.random.default_rng(100 + seed)
    gain, w_max, w_min = (1 + 0.2 * random.normal(size=(3, devices))) * np.array([[0.03], [0.6], [-0.6]])
    asymmetry = 0.03 * (0.1 + 0.05 * random.normal(size=devices))
    step = synthetic.soft_bounds(gain + asymmetry, gain - asymmetry, w_max, w_min)
    return synthetic.traces(step, devices, bounds=(w_min, w_max), seed=seed)


def test_the_spread_of_devices_is_without_that_of_their_estimates() -> None:
    made = fit(population(12, 0), device("soft_bounds"), starts=1)
    for name, true in {"dw_min_dtod": 0.2, "w_max_dtod": 0.2, "w_min_dtod": 0.2, "up_down_dtod": 0.05}.items():
        assert made[name].low <= true <= made[name].high, str(made[name])
    within(made, dw_min=0.03, w_max=0.6, w_min=-0.6, up_down=0.1)
    assert made.figures["devices"] == 12


@pytest.mark.slow
def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 144 intervals of 95 % some 137 hold it, 126 is four standard deviations below."""
    true = {"dw_min": 0.02, "up_down": 0.2, "w_max": 0.7, "w_min": -0.5, "dw_min_std": 0.3, "read_noise": 0.01}
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.024, 0.016, 0.7, -0.5)))
    held = 0
    for seed in range(24):
        made = fit(synthetic.traces(step, 1, bounds=(-0.5, 0.7), seed=seed), device("soft_bounds"), starts=1)
        held += sum(made[name].low <= value <= made[name].high for name, value in true.items())
    assert held >= 126, held
