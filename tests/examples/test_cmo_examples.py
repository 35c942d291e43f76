"""The examples of CMO/HfOx in small, and, marked slow, what is published of the array: which devices learn, and how long it lasts."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from ohmlet.config import files
from ohmlet.experiment.comparison import Comparison, load
from ohmlet.experiment.comparison_report import final
from ohmlet.experiment.comparison_run import ComparisonRun
from ohmlet.experiment.progress import Quiet
from tests.examples.conftest import EXAMPLES

TINY = {"seeds": [0], "processes": 1, "data.test_fraction": 0.9, "training.epochs": 1, "training.batch_size": 60}


def run(name: str, folder: Path, changes: dict[str, Any]) -> dict[str, Any]:
    experiment = load(EXAMPLES / f"{name}.yaml", changes)
    assert isinstance(experiment, Comparison)
    ComparisonRun(experiment, folder, Quiet())()
    results: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return results


def accuracies(results: dict[str, Any]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for training in results["trainings"]:
        found.setdefault(training["variant"], []).append(final(training))
    return {variant: fmean(values) for variant, values in found.items()}


def test_the_whole_journey_in_small(tmp_path: Path) -> None:
    results = run("cmo_all_in_one", tmp_path, TINY | {"chips": {"instances": 2, "times": ["1 s", "10 years"]}})
    assert {path.name for path in tmp_path.iterdir()} >= {"aging.png", "learning_curves.png", "report.md"}
    by_name = {each["variant"]: each for each in results["trainings"]}
    offset, reference = by_name["agad, digital offset"], by_name["agad, reference cell"]
    # The same cells: what weights are read against is the only difference.
    assert offset["accuracy"] == reference["accuracy"]
    assert offset["pulses"] == reference["pulses"] != []
    assert offset["chips"] != reference["chips"]


def test_the_ablation_has_every_device_under_both_algorithms() -> None:
    comparison = Comparison.parse(files.read(EXAMPLES / "cmo_ablation.yaml"))
    for algorithm, field in (("sgd", "device"), ("agad", "fast")):
        devices = [getattr(comparison.of(name).tile, "update_algorithm") for name in comparison.compare if name.startswith(algorithm)]  # noqa: B009
        assert [getattr(each, field).preset for each in devices] == ["reram_cmo_array", "cmo_lownoise", "cmo_100states", "cmo_symmetric"]


@pytest.mark.slow
def test_asymmetry_is_what_defeats_plain_sgd_and_agad_does_not_mind_it(tmp_path: Path) -> None:
    found = accuracies(run("cmo_ablation", tmp_path, {}))
    # Published: plain analog SGD does not learn on the array, AGAD comes near to digital training, symmetry is the dominant lever.
    assert found["sgd, array"] < found["digital"] - 0.3
    assert found["agad, array"] > found["digital"] - 0.04
    gains = {name: found[f"sgd, {name}"] - found["sgd, array"] for name in ("low noise", "100 states", "symmetric")}
    assert gains["symmetric"] > gains["low noise"] + 0.1
    assert gains["symmetric"] > gains["100 states"] + 0.1
    assert all(found[f"agad, {name}"] > found["digital"] - 0.04 for name in ("low noise", "100 states", "symmetric"))


@pytest.mark.slow
def test_ten_years_cost_a_point_against_a_reference_and_most_against_an_offset(tmp_path: Path) -> None:
    results = run("cmo_all_in_one", tmp_path, {"seeds": [0, 1]})
    late = {variant: fmean(fmean(each["chips"][-1]["instances"]) for each in results["trainings"] if each["variant"] == variant)
            for variant in ("agad, digital offset", "agad, reference cell")}  # fmt: skip
    found = accuracies(results)
    assert late["agad, reference cell"] > found["agad, reference cell"] - 0.02
    assert late["agad, digital offset"] < found["agad, digital offset"] - 0.3
