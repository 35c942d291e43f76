"""The examples of analog linear algebra, and what their page says of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from tests.examples.conftest import loaded

Runs = Callable[..., Result]


def expected_weight_error(points: int, alpha: float, offset: bool) -> float:
    """Return the mean of |error| of entries exp(-2 pi i jk / n) whose parts have errors alpha a xi and alpha b xi', by quadrature.

    a and b are |cos| and |sin| in pairs of devices and 1 + cos and 1 - sin with an offset, whose errors count double.
    """
    k = np.arange(points)
    angle = 2 * np.pi * np.outer(k, k).ravel() / points
    cos, sin = np.cos(angle), -np.sin(angle)
    a, b = (1 + cos, 1 + sin) if offset else (np.abs(cos), np.abs(sin))
    # |(a xi, b xi')| has the mean radius sqrt(pi/2) times the mean over directions of sqrt(a^2 cos^2 + b^2 sin^2).
    direction = (np.arange(720) + 0.5) * np.pi / 720
    over = np.sqrt((a[:, None] * np.cos(direction)) ** 2 + (b[:, None] * np.sin(direction)) ** 2).mean()
    return float(alpha * np.sqrt(np.pi / 2) * over)


def test_refinement_converges_where_the_crossbar_alone_does_not(run: Runs, tmp_path: Path) -> None:
    output = run("linear_solver", "--size", 32, "--plot", tmp_path / "s.png").output
    best = {name.strip(): float(value) for name, value in re.findall(r"^(.{16}) best relative residual ([\d.e+-]+)", output, re.MULTILINE)}
    assert best["analog, refined"] < 1e-10
    assert best["digital"] < 1e-10
    assert 1e-3 < best["analog alone"] < 1
    assert "1e-10 after " in output
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]


def test_refinement_that_does_not_get_there_says_so(run: Runs, tmp_path: Path) -> None:
    output = run("linear_solver", "--size", 16, "--rounds", 2, "--plot", tmp_path / "s.png").output
    assert "refinement has not come to 1e-10" in output


def test_refinement_on_too_bad_a_crossbar_says_so(run: Runs, tmp_path: Path) -> None:
    config = tmp_path / "bad.yaml"
    config.write_text("tile: {type: inference, noise_model: {type: pcm, prog_noise_scale: 30.0}}", encoding="utf-8")
    output = run("linear_solver", "--size", 32, "--config", config, "--rounds", 10, "--plot", tmp_path / "s.png").output
    assert "refinement diverges" in output


def test_refinement_with_exact_products_takes_one_round_of_as_many_steps_as_unknowns() -> None:
    solver = loaded("linear_solver")
    matrix, b = solver.system(6, 0)
    residuals = solver.refined(lambda x: matrix @ x, matrix, b, 1, 6)
    assert residuals[0] == 1.0
    assert residuals[1] < 1e-10


def test_dft_prints_and_draws(run: Runs, tmp_path: Path) -> None:
    output = run("dft", "--points", 8, "--seeds", 2, "--alpha", 0.1, "--plot", tmp_path / "d.png").output
    assert re.search(r"pair +│ 0\.1 +│ 0\.\d{4} ± ", output)
    assert re.search(r"offset +│ 0\.1 +│ 0\.\d{4} ± ", output)
    assert [path.name for path in tmp_path.iterdir()] == ["d.png"]


@pytest.mark.parametrize(("converter", "published", "spread"), [("single_pair", 0.21174, 0.0016), ("single_device", 0.34417, 0.0025)])
def test_dft_has_the_weight_errors_of_the_published_setting(converter: str, published: float, spread: float) -> None:
    """T7, weights: CrossSim 3.2's twelve programmings within three standard errors of the difference to twelve here, and quadrature."""
    found = loaded("dft").measured(64, converter, 0.25, range(12)).weights
    mean, error = np.mean(found), np.hypot(np.std(found), spread) / np.sqrt(12)
    assert abs(mean - published) < 3 * error
    assert abs(mean - expected_weight_error(64, 0.25, converter == "single_device")) < 3 * np.std(found) / np.sqrt(12)


def test_processes_have_their_rate_and_their_correlation() -> None:
    x = loaded("correlation").processes(40, 20, 0.25, 0.1, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(x.mean(0), 0.1, atol=0.01)
    found = np.corrcoef(x.T)
    assert np.mean(found[:20, :20][~np.eye(20, dtype=bool)]) == pytest.approx(0.25, abs=0.01)
    assert np.mean(found[:20, 20:]) == pytest.approx(0.0, abs=0.002)
    assert np.mean(found[20:, 20:][~np.eye(20, dtype=bool)]) == pytest.approx(0.0, abs=0.002)


def test_correlated_processes_are_found(run: Runs, tmp_path: Path) -> None:
    output = run("correlation", "--count", 200, "--correlated", 40, "--steps", 200, "--plot", tmp_path / "c.png").output
    exact, devices = (float(each) for each in re.findall(r"told apart ([\d.]+)%", output))
    assert exact > 90
    assert 70 < devices < exact
    assert [path.name for path in tmp_path.iterdir()] == ["c.png"]
    assert "leave no uncorrelated one" in run("correlation", "--count", 4, "--correlated", 4, status=2).output


def test_without_a_correlation_nothing_is_found() -> None:
    correlation = loaded("correlation")
    values = np.random.default_rng(0).standard_normal(2000)
    assert correlation.told_apart(values, 1000) == pytest.approx(0.5, abs=5 / np.sqrt(12 * 500))
    assert correlation.told_apart(np.array([2.0, 1.0, 1.0, 0.0]), 2) == 0.875


@pytest.mark.slow
def test_the_scripts_as_they_stand_print_what_their_page_says(run: Runs, tmp_path: Path) -> None:
    solver = run("linear_solver", "--plot", tmp_path / "s.png").output
    (rounds, factor), *_ = re.findall(r"1e-10 after (\d+) rounds of 4 products, a factor ([\d.]+) each", solver)
    assert int(rounds) == pytest.approx(18, abs=2)
    assert float(factor) == pytest.approx(0.26, abs=0.04)
    assert re.search(r"analog alone +best relative residual 2\.\de-01", solver)
    for copies, apart, found in ((1, 94.0, 61), (16, 99.2, 92)):
        lines = run("correlation", "--copies", copies, "--plot", tmp_path / "c.png").output
        exact, devices = re.findall(r"told apart ([\d.]+)%; of the 100 largest ([\d.]+)%", lines)
        assert [float(each) for each in exact] == [99.8, 95.0]
        assert [float(each) for each in devices] == pytest.approx([apart, found], abs=2.0)
