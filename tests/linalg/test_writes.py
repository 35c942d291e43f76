"""Cells that are written, pulsed, aged and stored: nobody but those that are meant changes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import ohmlet
from ohmlet.errors import ConfigError, OrderError
from tests.linalg.test_products import IDEAL, IN_MEMORY, PROGRAMMED, SPLIT, numbers

PAIR = {"type": "sgd", "device": {"type": "constant_step", "dw_min": 0.001}}
SPREAD: dict[str, Any] = {"tile": {"type": "in_memory", "update_algorithm": PAIR}}
TIKI_TAKA: dict[str, Any] = {"tile": {"type": "in_memory", "update_algorithm": "ttv2"}}
SMALL: dict[str, Any] = {**PROGRAMMED, "mapping": {"max_in": 3, "max_out": 2}}


def states(a: Any, suffix: str) -> list[torch.Tensor]:
    return [value.clone() for name, value in a.state_dict().items() if name.endswith(suffix)]


@pytest.mark.parametrize("config", [PROGRAMMED, SMALL, SPREAD, TIKI_TAKA, IDEAL, SPLIT])
@pytest.mark.parametrize("imaginary", [False, True])
def test_what_is_not_written_stays_bit_for_bit(config: dict[str, Any], imaginary: bool) -> None:
    m = 0.4 * numbers(5, 7, imaginary=imaginary)
    a = ohmlet.array(m, config, seed=1, largest=None if "in_memory" in str(config) else 1.0)
    before, block = a.cells(), 0.3 * numbers(2, 3, seed=1, imaginary=imaginary)
    a[1:3, [0, 2, 5]] = block
    m[1:3, [0, 2, 5]] = block
    np.testing.assert_array_equal(np.asarray(a), m)
    changed = before != a.cells()
    expected = np.zeros(m.shape, dtype=bool)
    expected[1:3, [0, 2, 5]] = True
    np.testing.assert_array_equal(changed, np.tile(expected, (2, 2)) if imaginary else expected)
    assert np.abs(a.read() - m).max() < 0.15
    if config in (IDEAL, SPLIT):
        np.testing.assert_allclose(a.read(), m, atol=1e-12)


def test_conductances_and_exponents_of_other_cells_stay_and_writing_again_draws_new_errors() -> None:
    a = ohmlet.array(0.5 * numbers(4, 6), PROGRAMMED, seed=1, largest=1.0)
    (g, *_), (nu, *_) = states(a, ".g"), states(a, ".coefficients")
    a[0, :] = 0.25
    (g1, *_), (nu1, *_) = states(a, ".g"), states(a, ".coefficients")
    assert torch.equal(g1[:, :, 1:], g[:, :, 1:])
    assert torch.equal(nu1[:, :, 1:], nu[:, :, 1:])
    a[0, :] = 0.25
    g2 = states(a, ".g")[0]
    # The positive device of each pair holds 0.25 of 25 uS, with an error of its own each time.
    assert float((g2 - g1)[0, :, 0].abs().min()) > 0
    assert float((g2[0, 0, 0] - 6.25).abs().max()) < 4.0


def test_values_broadcast_and_single_places_are_written() -> None:
    m = numbers(3, 4)
    a = ohmlet.array(m, IDEAL, largest=2.0)
    parts: list[tuple[Any, Any]] = [((0, 1), 0.5), (2, [1.0, 2.0, 0.0, -1.0]), ((slice(None), 3), 0.125), ((slice(0, 2), slice(0, 2)), 1.5)]
    for key, value in parts:
        a[key] = value
        m[key] = value
    a.T[1, 0:2] = [0.75, -0.75]
    m.T[1, 0:2] = [0.75, -0.75]
    np.testing.assert_array_equal(np.asarray(a), m)
    np.testing.assert_allclose(a.read(), m, atol=1e-12)
    b, n = ohmlet.array(m + 0j, IDEAL), m + 0j
    b.H[1:3, 0] = [1j, 0.5 - 1j]
    n[0, 1:3] = [-1j, 0.5 + 1j]
    np.testing.assert_array_equal(np.asarray(b), n)


def test_an_outer_product_in_pulses_is_one_on_average() -> None:
    """Steps of 0.001 without a spread: the mean of cells with one expected change is known to five standard errors."""
    device = {
        "type": "constant_step",
        "dw_min": 0.001,
        "dw_min_dtod": 0,
        "dw_min_std": 0,
        "up_down_dtod": 0,
        "w_max_dtod": 0,
        "w_min_dtod": 0,
    }
    a = ohmlet.array(np.zeros((20, 40)), {"tile": {"type": "in_memory", "update_algorithm": {"type": "sgd", "device": device}}}, seed=2)
    u, v = np.full(10, 0.02), np.full(40, 0.25)
    u[0], v[0] = 0.04, 0.5
    a[::2, :].add_outer(u, v)
    held = a.read()
    assert not held[1::2].any()
    np.testing.assert_allclose(np.round(held / 0.001), held / 0.001, atol=1e-3)
    steps = held[2::2, 1:] / 0.001
    # Rows and columns share pulse trains, so no more than nine rows are independent.
    assert abs(steps.mean() - 5) < 5 * steps.mean(1).std() / 3
    assert steps.std() > 0.5
    assert held[0, 0] == pytest.approx(0.02, abs=1e-6)
    np.testing.assert_allclose(np.asarray(a)[0, 1:], 0.01, rtol=1e-6)
    a.T.add_outer(np.eye(40)[:, :1], -np.eye(20)[:, :1] * 0.02)
    assert a.read()[0, 0] < held[0, 0]


def test_time_is_a_pure_view() -> None:
    m, x = numbers(6, 8), numbers(8, 4, seed=1)
    a = ohmlet.array(m, "pcm_inference", seed=1, largest=2.0)
    year = a.at("1 year", compensated=False)
    first = year @ x
    assert np.abs(year.read()).mean() < 0.8 * np.abs(a.read()).mean()
    a[:, 0] = 1.0
    np.testing.assert_array_equal(np.asarray(year), m)
    assert np.abs(year @ x - first).max() > 0
    year_again = ohmlet.array(m, "pcm_inference", seed=1, largest=2.0).at("1 year", compensated=False)
    np.testing.assert_array_equal(year_again @ x, first)
    for refused in (lambda: year.__setitem__((0, 0), 0.0), lambda: year.at(0), lambda: year.add_outer(m[:, 0], m[0])):
        with pytest.raises(OrderError, match="a matrix at one time"):
            refused()
    with pytest.raises(ConfigError, match="its tile has no noise_model"):
        ohmlet.array(m, IDEAL).at(0)


def test_cells_that_learned_drift_as_they_are() -> None:
    """Every device of a pair drifts by one power law, so the weights do; time zero is the cells themselves."""
    drift = {"type": "state_independent", "drift_nu_mean": 0.05, "drift_nu_std": 0.0, "read_noise_scale": 0.0}
    a = ohmlet.array(0.5 * numbers(4, 6), {"tile": {**IN_MEMORY["tile"], "noise_model": drift}}, seed=1)
    a.add_outer(0.1 * numbers(4, seed=1), numbers(6, seed=2))
    np.testing.assert_allclose(a.at(0).read(), a.read(), atol=1e-6)
    np.testing.assert_allclose(a.at(980).read(), a.read() * (1000 / 20) ** -0.05, rtol=1e-5)


@pytest.mark.parametrize("config", [PROGRAMMED, SPREAD])
def test_state_and_pickle_hold_everything(config: dict[str, Any]) -> None:
    m, x = 0.5 * numbers(5, 7), numbers(7, seed=1)
    noisy = {"tile": {**config["tile"], "forward": {"out_noise": 0.05}}}
    a = ohmlet.array(m, noisy, seed=1)
    a[0, 0] = 0.1
    _ = a @ x
    same, copied = pickle.loads(pickle.dumps(a)), copy.deepcopy(a)
    loaded = ohmlet.array(np.zeros((5, 7)), noisy, seed=2)
    loaded.load_state_dict(a.state_dict())
    expected = a @ x
    for other in (same, copied, loaded):
        np.testing.assert_array_equal(np.asarray(other), np.asarray(a))
        np.testing.assert_array_equal(other.read(), a.read())
        np.testing.assert_array_equal(other @ x, expected)


def test_what_does_not_fit_is_refused_with_its_sizes() -> None:
    a = ohmlet.array(numbers(4, 3), IDEAL)
    wrong_values: list[tuple[Callable[[], Any], str]] = [
        (lambda: a @ np.ones(4), r"A @ x of shapes \(4, 3\) and \(4,\): x must be \[3\]"),
        (lambda: np.ones((2, 3)) @ a, r"x @ A of shapes \(2, 3\) and \(4, 3\): x must be \[\.\.\., 4\]"),
        (lambda: a @ 2.0, r"shapes \(4, 3\) and \(\)"),
        (lambda: a.__setitem__((slice(0, 2), 0), np.ones(3)), r"values of shape \(3,\) do not fit a part of shape \(2,\)"),
        (lambda: a @ np.array([1.0, np.nan, np.inf]), "x holds 2 of 3 numbers that are not finite"),
        (lambda: a.__setitem__((0, 0), np.nan), "values holds 1 of 1 numbers"),
        (lambda: ohmlet.array([[np.nan, 1.0]], IDEAL), "the matrix holds 1 of 2 numbers"),
        (lambda: ohmlet.array(np.ones(3), IDEAL), r"a matrix of two sizes, at least 1 each, not \(3,\)"),
        (lambda: ohmlet.array(np.ones((2, 2)), IDEAL, largest=-1.0), "largest must be a positive number, got -1.0"),
        (lambda: np.array(a, copy=False), "copy=False"),
    ]
    for product, words in wrong_values:
        with pytest.raises(ValueError, match=words):
            product()
    wrong_kinds: list[tuple[Callable[[], Any], str]] = [
        (lambda: a.__setitem__((0, 0), 1j), "values are torch.complex128, and this matrix holds float64"),
        (lambda: a @ a, "both factors are on crossbars"),
        (lambda: ohmlet.array([["a", "b"]], IDEAL), "the matrix must hold numbers"),
        (lambda: ohmlet.array([[1j]], IN_MEMORY).add_outer([1.0], [1.0]), "each value in four cells"),
    ]
    for wrong, words in wrong_kinds:
        with pytest.raises(TypeError, match=words):
            wrong()
    with pytest.raises(OrderError, match="only a tile that learns in memory"):
        a.add_outer(np.ones(4), np.ones(3))


def test_indices_that_numpy_would_take_otherwise_are_refused() -> None:
    a = ohmlet.array(numbers(4, 3), IDEAL)
    keys: list[tuple[Any, str]] = [
        (1, "row 1 alone would leave no matrix; write 1:2"),
        ((slice(None), -1), "column -1 alone would leave no matrix; write -1:"),
        (([0, 1], [1, 2]), r"A\[rows\]\[:, columns\]"),
        ([0, 0], "selects a row twice"),
        (slice(4, 4), "selects none of 4 rows"),
        ([5], "rows are 0 to 3"),
        ((0, 0, 0), "no pair of indices"),
        (..., "no pair of indices"),
    ]
    for key, words in keys:
        with pytest.raises(IndexError, match=words):
            a[key]


def test_settings_without_effect_are_refused() -> None:
    m = numbers(4, 3)
    cases: list[tuple[Any, Any, str]] = [
        ({**IDEAL, "mapping": {"learned_scales": "columnwise"}}, {}, "nothing is learned here"),
        ({**IDEAL, "mapping": {"bias": "analog"}}, {}, "a matrix has no bias"),
        ({**IDEAL, "mapping": {"scales": "none"}}, {"largest": 2.0}, "largest 2 has no effect with mapping.scales none"),
        (IN_MEMORY, {"largest": 2.0}, "largest 2 has no effect: the cells of tile InMemory"),
        ({"tile": {"type": "inference", "forward": {"input_range": "learned"}}}, {}, "set it to abs_max"),
    ]
    for config, options, words in cases:
        with pytest.raises(ConfigError, match=words):
            ohmlet.array(m, config, **options)


def test_values_beyond_the_cells_are_refused_and_nothing_is_written() -> None:
    a = ohmlet.array(np.array([[0.5, 0.25], [0.1, 0.2]]), {**PROGRAMMED, "mapping": {"max_out": 1}}, seed=1)
    before = a.read()
    with pytest.raises(ConfigError, match=r"the value 0\.4 is beyond what its cell holds, 0\.2: scales stay.*largest="):
        a[:, 0] = 0.4
    np.testing.assert_array_equal(a.read(), before)
    with pytest.raises(ConfigError, match=r"the value 2 is beyond what its cell holds, 1: set mapping\.scales"):
        ohmlet.array(np.full((2, 2), 2.0), {**PROGRAMMED, "mapping": {"scales": "none"}})
