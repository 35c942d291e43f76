"""The example at circuit level in small, and, marked slow, as it stands, with what its page says of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from ohmlet.experiment.circuit import CircuitExperiment
from ohmlet.experiment.circuit_run import CircuitRun
from ohmlet.experiment.progress import Quiet
from ohmlet.experiment.sweep import load
from tests.examples.conftest import EXAMPLES

TINY = {"training.epochs": 1, "model.hidden": [2], "programming.tuning.max_sweeps": 2, "evaluation.samples": 4, "threads": 1}


def run(folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    experiment = load(EXAMPLES / "metal_oxide_vmm.yaml", changes)
    assert isinstance(experiment, CircuitExperiment)
    return CircuitRun(experiment, folder, Quiet())()


def test_the_whole_journey_in_small(tmp_path: Path) -> None:
    results = run(tmp_path, TINY)
    assert [row["variant"] for row in results["variants"]] == ["circuit", "ideal wires", "quadratic IR drop", "programming errors alone"]
    errors = {row["variant"]: row["layers"][0]["error"] for row in results["variants"]}
    assert len(set(errors.values())) == 4


@pytest.mark.slow
def test_a_crossbar_of_64_by_64_is_programmed_and_computes_in_two_minutes_of_one_core(tmp_path: Path) -> None:
    began = time.process_time()
    results = run(tmp_path, {})
    assert time.process_time() - began < 120
    (row,), (drop,) = results["programming"], results["full_scale"]
    assert (row["word_lines"], row["bit_lines"]) == (64, 64)
    assert row["within_tolerance"] > 0.98
    assert 15 < row["pulses_per_cell"] < 30
    assert row["disturbed_uS"] == 0
    assert 0.15 < drop["lost_mean"] < 0.25
    accuracy = {each["variant"]: each["accuracy"] for each in results["variants"]}
    assert all(value > results["digital_accuracy"] - 0.03 for value in accuracy.values())
    errors = {each["variant"]: each["layers"][0] for each in results["variants"]}
    # The page: the quadratic approximation sees little of what the wires do.
    assert errors["circuit"]["error"] > 1.8 * errors["quadratic IR drop"]["error"]
    assert errors["circuit"]["gain"] > 1.15 > 1.1 > errors["quadratic IR drop"]["gain"] > errors["programming errors alone"]["gain"]
