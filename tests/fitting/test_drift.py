"""Drift exponents and programming errors: known numbers come back, with the error of each device's estimate taken out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ohmlet.errors import ConfigError
from ohmlet.fitting import DriftTraces, ProgrammingErrors, fit
from ohmlet.registry import registry

TIMES = np.array([10.0, 30.0, 100.0, 1e3, 1e4, 1e5])


def drifting(devices: int, nu: float, spread: float, k: float = 0.0, noise: float = 0.02, seed: int = 0) -> DriftTraces:
    """Return g_0 (t / 10 s)^-nu_i (1 + noise xi) with nu_i = nu + spread xi - k ln(g_0 / 10 uS)."""
    random = np.random.default_rng(seed)
    g_0 = np.exp(random.uniform(np.log(2), np.log(25), devices))
    exponent = nu + spread * random.normal(size=devices) - k * np.log(g_0 / 10)
    g = g_0[:, None] * (TIMES / 10) ** -exponent[:, None] * np.exp(noise * random.normal(size=(devices, len(TIMES))))
    return DriftTraces(tuple((str(number), TIMES, row) for number, row in enumerate(g)), "synthetic")


def test_mean_and_spread_of_exponents_come_back() -> None:
    found = fit(drifting(60, 0.06, 0.01), "state_independent")
    for name, true in {"drift_nu_mean": 0.06, "drift_nu_std": 0.01, "read_noise_relative": 0.02}.items():
        assert found[name].low <= true <= found[name].high, str(found[name])
    assert found.spec.t_0 == 10.0  # type: ignore[attr-defined]
    assert found["nu_k"].low < 0 < found["nu_k"].high
    assert found["nu_k"].note == "not seen"
    assert found.figures["r2"] > 0.9


def test_noise_of_reads_is_no_spread_of_devices() -> None:
    found = fit(drifting(60, 0.06, 0.0, noise=0.05), "state_independent")
    raw = np.polyfit(np.log(TIMES), np.log(np.array([g for _, _, g in drifting(60, 0.06, 0.0, noise=0.05).traces])).T, 1)[0].std(ddof=1)
    assert found["drift_nu_std"].value < 0.5 * raw
    assert found["drift_nu_std"].low == 0.0


def test_exponents_that_depend_on_the_conductance_become_a_table() -> None:
    found = fit(drifting(200, 0.06, 0.006, k=0.02), "custom_drift_pcm")
    spec: Any = found.spec
    assert len(spec.g_uS) == 5
    assert spec.nu_mean == pytest.approx(0.06 - 0.02 * np.log(np.array(spec.g_uS) / 10), abs=0.005)
    assert spec.nu_std == pytest.approx([0.006] * 5, abs=0.003)
    assert found["nu_k"].low <= 0.02 <= found["nu_k"].high


def test_the_drift_of_a_device_is_one_of_weights() -> None:
    found = fit(drifting(80, 0.06, 0.01, k=0.02), "soft_bounds", window=(0.0, 25.0))
    drift: Any = found.spec.drift  # type: ignore[attr-defined]
    assert drift.nu_k == pytest.approx(0.02, abs=0.004)
    assert (drift.t_0, drift.wg_ratio, drift.g_offset) == (10.0, 0.08, 12.5)
    assert drift.nu - drift.nu_k * (math.log(10.0) - drift.log_g0) == pytest.approx(0.06, abs=0.004)


@pytest.mark.parametrize(
    ("devices", "name", "arguments", "message"),
    [
        (20, "soft_bounds", {}, "give the window"),
        (20, "reram_wan2022", {}, "has no drift to fit"),
        (20, "state_independent", {"window": (0.0, 1.0)}, "window has no effect on a noise model"),
        (20, "state_independent", {"free": ["t_0"]}, "free has no effect on DriftTraces"),
        (2, "custom_drift_pcm", {}, "2 devices are too few for a table"),
    ],
)
def test_what_has_no_effect_or_no_place_is_told(devices: int, name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(drifting(devices, 0.06, 0.01), name, **arguments)


def test_two_reads_a_device_tell_no_drift_from_noise() -> None:
    with pytest.raises(ConfigError, match="no device was read at three times"):
        fit(DriftTraces((("a", np.array([1.0, 2.0]), np.array([3.0, 2.0])),), "two"), "state_independent")


def programmed(count: int, seed: int = 0) -> ProgrammingErrors:
    random = np.random.default_rng(seed)
    target = np.repeat(np.linspace(0.5, 25.0, 20), count)
    sigma = 0.3 + 1.6 * target / 25 - 0.9 * (target / 25) ** 2
    return ProgrammingErrors(target, np.maximum(target + sigma * random.normal(size=len(target)), 0.0), "synthetic")


def test_the_polynomial_of_programming_errors_comes_back() -> None:
    found = fit(programmed(150), "pcm")
    for power, true in enumerate((0.3, 1.6, -0.9)):
        each = found[f"prog_coeff[{power}]"]
        assert abs(each.value - true) < 3.5 * each.std
        assert each.std < 0.3
    spec: Any = found.spec
    assert spec.g_max_reference_uS == 25.0
    assert spec.prog_coeff == pytest.approx([found[f"prog_coeff[{power}]"].value for power in range(3)], rel=1e-5)
    assert found["bias_uS"].low < 0.02 < found["bias_uS"].high + 0.1
    assert found.figures["chi2"] == pytest.approx(1.0, abs=0.1)


def test_conductances_cut_off_at_zero_do_not_shrink_the_spread() -> None:
    random = np.random.default_rng(1)
    target = np.full(4000, 0.5)
    target[::2] = 3.0
    measured = np.maximum(target + 1.0 * random.normal(size=len(target)), 0.0)
    found = fit(ProgrammingErrors(target, measured, "low"), registry("noise_model").get("state_independent")())
    assert found.figures["cut_off_at_zero"] > 400
    c: Any = found.spec
    for g_r in (0.5 / 3, 1.0):
        assert c.prog_coeff[0] + c.prog_coeff[1] * g_r == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("errors", "name", "message"),
    [
        (programmed(5), "soft_bounds", "belong to a noise model"),
        (programmed(5), "reram_wan2022", "has no prog_coeff to fit"),
        (ProgrammingErrors(np.array([1.0, 2.0]), np.array([1.0, 2.1]), "few"), "pcm", "2 errors at 2 targets do not tell 2 coefficients"),
        (ProgrammingErrors(np.linspace(1, 9, 30), np.linspace(1, 9, 30), "exact"), "pcm", "there is no error to fit"),
    ],
)
def test_programming_errors_that_tell_nothing(errors: ProgrammingErrors, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(errors, name)
