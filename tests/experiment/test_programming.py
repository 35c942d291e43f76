"""Closed-loop programming and stuck devices in an experiment file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ohmlet.errors import ConfigError
from ohmlet.experiment.progress import Quiet
from ohmlet.experiment.run import Run
from ohmlet.experiment.schema import Experiment
from tests.experiment.conftest import SMALL


def experiment(**evaluation: Any) -> Experiment:
    return Experiment.parse({**SMALL, "evaluation": {**SMALL["evaluation"], **evaluation}})


def test_a_run_programs_as_the_file_says_and_keeps_how_it_converged(tmp_path: Path) -> None:
    made = experiment(
        write={"model": {"type": "increment", "gain": 0.8}, "tolerance_uS": 0.4, "read_noise_uS": 0.1, "max_iterations": 12},
        faults={"stuck_on": 0.02},
    )
    assert Experiment.parse(made.to_plain()) == made
    results = Run(made, tmp_path / "run", Quiet())()
    found = json.loads((tmp_path / "run" / "results.json").read_text("utf-8"))["programming"]
    assert found == json.loads(json.dumps(results["programming"]))
    variants = {row["variant"] for row in results["accuracy_on_chips"]}
    assert {key.partition("|")[0] for key in found} == variants
    for rows in found.values():
        assert all(row["iterations"] == 12 and 0.9 < row["accepted"] < 1.0 and 0.005 < row["stuck"] < 0.04 for row in rows)
    assert Run.finished(made, tmp_path / "run", Quiet())["programming"] == found


def test_a_run_without_a_loop_reports_none(tmp_path: Path) -> None:
    assert "programming" not in Run(experiment(), tmp_path / "run", Quiet())()


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        ({"write": {"tolerance": 1}}, "unknown key 'tolerance'"),
        ({"faults": {"stuck_on": 2.0}}, "'stuck_on' must be <= 1"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_with_its_place(evaluation: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"{message}.*evaluation"):
        experiment(**evaluation)
