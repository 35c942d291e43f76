"""A stranger's package: found, composed by name, measured, and put through the kits; it is not installed, it only looks so."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.installed import write_metadata_of

PACKAGE = Path(__file__).parent.parent / "outside_package"
SCRIPT = Path(__file__).with_name("outside_script.py")


def run(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python where the package looks installed."""
    path = os.pathsep.join([str(folder), str(PACKAGE)])
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("site")
    write_metadata_of(PACKAGE / "pyproject.toml", made)
    return made


@pytest.fixture(scope="module")
def measured(folder: Path) -> dict[str, Any]:
    done = run(folder, SCRIPT)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_registry_lists_it_with_its_distribution_and_version(measured: dict[str, Any]) -> None:
    assert measured["listed"] == {
        "gaussian": "ohmlet-tutorial==0.3.1 (ohmlet_tutorial.gaussian:Gaussian)",
        "repeated": "ohmlet-tutorial==0.3.1 (ohmlet_tutorial.repeated:Repeated)",
        "two_pass": "ohmlet-tutorial==0.3.1 (ohmlet_tutorial.two_pass:TwoPass)",
    }


def test_command_line_lists_it(folder: Path) -> None:
    done = run(folder, "-m", "ohmlet", "list", "noise_model")
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "gaussian" in line)
    assert "ohmlet-tutorial" in line
    assert "0.3.1" in line


def test_registered_plugins_pass_their_kits(measured: dict[str, Any]) -> None:
    assert measured["failures"] == []
    assert measured["skipped"] == [
        "two_pass test_conductances_stand_for_weights: the tile reads weights, on a chip as well",
        "two_pass test_learning: the tile does not learn in memory",
    ]


def test_its_own_tests_pass(folder: Path) -> None:
    """What its author wrote: a class with a fixture per plugin. Its tile does not learn and reads weights; nothing else may be skipped."""
    done = run(folder, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--rootdir", PACKAGE, PACKAGE / "tests")
    assert done.returncode == 0, done.stdout
    assert re.search(r"\d+ passed, 2 skipped in", done.stdout), done.stdout
    assert re.search(r"^SKIPPED \[1\] .*the tile does not learn in memory$", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"^SKIPPED \[1\] .*the tile reads weights, on a chip as well$", done.stdout, re.MULTILINE), done.stdout


def test_config_that_names_the_plugins_round_trips(measured: dict[str, Any]) -> None:
    assert measured["round_trip"] is True


def test_programming_errors_have_the_stated_spread(measured: dict[str, Any]) -> None:
    noise = measured["noise"]
    standard_error = 0.5 / math.sqrt(noise["devices"])
    assert noise["devices"] > 200_000
    assert abs(noise["bias"]) < 5 * standard_error
    assert abs(noise["sigma"] - 0.5) < 5 * standard_error / math.sqrt(2)


def test_drift_has_the_stated_exponent(measured: dict[str, Any]) -> None:
    assert measured["noise"]["slope"] == pytest.approx(-0.06, abs=1e-6)
    assert measured["noise"]["slope_spread"] < 1e-6


def test_compensation_undoes_the_drift(measured: dict[str, Any]) -> None:
    assert measured["noiseless"]["mean"] == pytest.approx((1.0 + 86400.0 / 20.0) ** 0.06, rel=1e-5)
    assert measured["noiseless"]["spread"] < 1e-5


def test_averaging_sixteen_read_outs_quarters_the_spread(measured: dict[str, Any]) -> None:
    """Over 500 instances each spread is known to 3 %, their ratio to 4.5 %; five of these are allowed."""
    assert measured["once"]["spread"] / measured["sixteen"]["spread"] == pytest.approx(4.0, rel=0.22)


def test_two_passes_give_the_product(measured: dict[str, Any]) -> None:
    assert measured["product"]["error"] < 1e-5


def test_each_pass_adds_its_own_noise(measured: dict[str, Any]) -> None:
    """Two independent passes: sqrt(2) times the noise of one, in units of the largest weight; 20 000 outputs, five standard errors."""
    expected = 0.1 * math.sqrt(2) * measured["product"]["scale"]
    assert measured["product"]["spread"] == pytest.approx(expected, rel=5 / math.sqrt(2 * 20_000))
