"""Sweeps: what a run leaves, that it goes on after being stopped, that failures are told, and that processes may die."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ohmlet.errors import ConfigError
from ohmlet.experiment.checkpoint import Interrupted
from ohmlet.experiment.comparison import Comparison, load
from ohmlet.experiment.comparison_report import final
from ohmlet.experiment.comparison_run import ComparisonRun
from ohmlet.experiment.progress import Quiet
from ohmlet.experiment.sweep import Swept
from ohmlet.experiment.sweep_run import SweepRun
from tests.experiment.conftest import SMALL as CHIPS
from tests.experiment.sweep_small import STEP, Interrupting, content, small

pytest.importorskip("optuna")

DRAWN: dict[str, Any] = {
    "over": {STEP: {"low": 0.01, "high": 0.5, "log": True}, "training.batch_size": {"low": 10, "high": 30}},
    "objective": "sgd",
}
FUNCTIONS = """
import os, signal
from pathlib import Path
from torch import nn


def network(width, marker, always):
    if width == 3 and (always or not Path(marker).exists()):
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.Linear(width, 10))
"""


@pytest.fixture(scope="module", autouse=True)
def _without_learning_curves() -> Iterator[None]:
    """Trials draw no pictures of their own here, which take longer than their trainings."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ohmlet.experiment.comparison_report.draw", lambda _, path: path.touch())
        yield


def closed_form(swept: Swept, index: int, point: dict[str, Any], *_: object) -> dict[str, Any]:
    """Stand in for a trial: best at a step of 0.1 and batches of 25."""
    del index
    value = 1 - abs(math.log10(point[STEP]) + 1) / 4 - abs(point["training.batch_size"] - 25) / 40
    return {"curves": {name: {"3": value} for name in swept.curves()}, "samples": 10, "on": "test"}


def text_of(folder: Path) -> str:
    return (folder / "results.json").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    SweepRun(small(), folder, Quiet())()
    return folder


def test_a_sweep_leaves_all_trials_a_plot_the_best_point_and_a_report(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "trials.csv",
        "results.json",
        "sweep.png",
        "best.yaml",
        "report.md",
        "experiment.yaml",
        "study.db",
        "trials",
    }
    assert (finished / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert (finished / "sweep.png").stat().st_size > 10_000
    report = (finished / "report.md").read_text()
    assert "| 40 |" in report
    assert "- states: `compare.sgd.tile.update_algorithm.device.dw_min`, " in report


def test_a_point_has_the_accuracies_of_the_comparison_alone(finished: Path, tmp_path: Path) -> None:
    at = small().at({"states": 40})
    assert isinstance(at, Comparison)
    alone = ComparisonRun(at, tmp_path, Quiet())()
    trial = json.loads(text_of(finished))["trials"][1]
    assert trial["point"] == {"states": 40}
    for training in alone["trainings"]:
        assert trial["accuracy"][training["variant"]][str(training["seed"])] == final(training)


def test_the_csv_has_a_line_for_each_accuracy(finished: Path) -> None:
    with (finished / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["index", "states", "curve", "seed", "accuracy", "error"]
    assert [(row["states"], row["curve"], row["seed"]) for row in rows] == [
        (states, curve, seed) for states in ("4", "40", "400") for curve in ("digital", "sgd", "tiki_taka") for seed in ("3", "4")
    ]
    assert all(0 <= float(row["accuracy"]) <= 1 for row in rows)


def test_the_best_point_is_that_of_the_objective_and_its_file_can_be_run(finished: Path) -> None:
    results = json.loads(text_of(finished))
    means = [sum(sum(trial["accuracy"][curve].values()) / 2 for curve in ("sgd", "tiki_taka")) / 2 for trial in results["trials"]]
    assert results["best"] == means.index(max(means))
    assert load(finished / "best.yaml") == small().at(results["trials"][results["best"]]["point"])


def test_a_finished_sweep_repeats_nothing(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = text_of(finished)
    monkeypatch.setattr("ohmlet.experiment.sweep_workers.tried", None)
    again = SweepRun(small(), finished, Quiet())
    assert again.resumed
    again()
    assert text_of(finished) == before


@pytest.mark.parametrize("when", [{"points": 2}, {"words": 4}])
def test_a_sweep_stopped_by_ctrl_c_goes_on_to_the_same_results(when: dict[str, int], finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)  # whatever else the process has drawn
    with pytest.raises(Interrupted):
        SweepRun(small(), tmp_path, Interrupting(**when))()
    assert not (tmp_path / "results.json").exists()
    again = SweepRun(small(), tmp_path, Quiet())
    assert again.resumed
    assert sum(again.study.counts()) == 3
    assert again.study.counts()[2] == 0
    again()
    assert text_of(tmp_path) == text_of(finished)


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_drawn_points_are_the_same_after_an_interruption(sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmlet.experiment.sweep_workers.outcome_of", closed_form)
    drawn = small(sampler=sampler, trials=7, **DRAWN)
    whole = SweepRun(drawn, tmp_path / "whole", Quiet())()
    with pytest.raises(Interrupted):
        SweepRun(drawn, tmp_path / "stopped", Interrupting(points=5))()
    assert SweepRun(drawn, tmp_path / "stopped", Quiet())() == whole
    points = [trial["point"] for trial in whole["trials"]]
    assert len({json.dumps(point) for point in points}) == 7
    assert all(0.01 <= point[STEP] <= 0.5 and point["training.batch_size"] in range(10, 31) for point in points)
    other = SweepRun(small(sampler=sampler, seed=1, trials=7, **DRAWN), tmp_path / "other", Quiet())()
    assert [trial["point"] for trial in other["trials"]] != points


def test_tpe_goes_by_the_results_and_random_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmlet.experiment.sweep_workers.outcome_of", closed_form)
    mean = {}
    for sampler in ("tpe", "random"):
        trials = SweepRun(small(sampler=sampler, trials=24, **DRAWN), tmp_path / sampler, Quiet())()["trials"]
        mean[sampler] = sum(trial["objective"] for trial in trials[12:]) / 12
    # Mean distances over both ranges: 0.44 of 4 decades, 6.4 of 40 samples.
    assert mean["random"] == pytest.approx(1 - 0.44 / 4 - 6.4 / 40, abs=0.1)
    assert mean["tpe"] > mean["random"] + 0.08


def test_more_trials_go_on_with_the_same_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmlet.experiment.sweep_workers.outcome_of", closed_form)
    few = SweepRun(small(sampler="random", trials=2, **DRAWN), tmp_path, Quiet())()
    more = SweepRun(small(sampler="random", trials=3, **DRAWN), tmp_path, Quiet())()
    assert more["trials"][:2] == few["trials"]
    assert len(more["trials"]) == 3


def test_an_error_is_recorded_and_the_others_are_tried(tmp_path: Path) -> None:
    wrong = small(over={"training.optimizer.lr": [1e30, 0.1]})
    results = SweepRun(wrong, tmp_path, Quiet())()
    assert "lower training.optimizer.lr" in results["trials"][0]["error"]
    assert results["best"] == 1
    with (tmp_path / "trials.csv").open() as file:
        assert "lower training.optimizer.lr" in next(csv.DictReader(file))["error"]
    assert "point 0 failed: the loss became" in (tmp_path / "report.md").read_text()
    # Another run tries once more what failed, and nothing else.
    again = SweepRun(wrong, tmp_path, Quiet())
    again.study.fill()
    assert again.study.counts() == (1, 1, 0)


def test_a_sweep_of_which_every_point_fails_says_so(tmp_path: Path) -> None:
    results = SweepRun(small(over={"training.optimizer.lr": [1e30]}), tmp_path, Quiet())()
    assert results["best"] is None
    assert not (tmp_path / "sweep.png").exists()


def test_other_settings_are_refused_with_what_differs_and_fresh_starts_over(tmp_path: Path) -> None:
    SweepRun(small(), tmp_path, Quiet())
    with pytest.raises(ConfigError) as error:
        SweepRun(small(seeds=[3, 5], over={"states": {"set": STEP, "divide": 2.0, "values": [4, 40]}}), tmp_path, Quiet())
    assert error.value.problems[1:] == (
        "seeds: [3, 4] in the study, [3, 5] now",
        "sweep.over.states.values: [4, 40, 400] in the study, [4, 40] now",
    )
    SweepRun(small(processes=2), tmp_path, Quiet())  # how many run at a time is none of its business
    assert not SweepRun(small(seeds=[3, 5]), tmp_path, Quiet(), fresh=True).resumed


def test_a_storage_by_its_url_serves_runs_from_several_folders(finished: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    with pytest.raises(Interrupted):
        SweepRun(small(), tmp_path / "one", Interrupting(points=2), storage=url)()
    SweepRun(small(), tmp_path / "other", Quiet(), storage=url)()
    assert text_of(tmp_path / "other") == text_of(finished)
    assert not (tmp_path / "one" / "study.db").exists()
    assert [path.name for path in sorted((tmp_path / "other" / "trials").iterdir())] == ["0002"]


def test_chips_are_swept_with_seeds_of_each_point(tmp_path: Path) -> None:
    over = {"hardware.tile.forward.out_noise": [0.5]}
    plain = {**CHIPS, "sweep": {"over": over, "seeds": [1, 2], "objective": "loud direct"}}
    results = SweepRun(Swept.parse(plain), tmp_path, Quiet())()
    assert results["objective"] == "loud direct"
    for name, (variant, training) in {"loud direct": ("loud", "direct"), "nominal hardware-aware": ("nominal", "hardware_aware")}.items():
        for seed in ("1", "2"):
            seen = json.loads((tmp_path / "trials" / "0000" / f"seed {seed}" / "results.json").read_text())["accuracy_on_chips"]
            rows = [row for row in seen if row["variant"] == variant and row["training"] == training and row["compensated"]]
            assert results["trials"][0]["accuracy"][name][seed] == max(rows, key=lambda row: row["time_s"])["mean"]


def test_two_processes_come_to_the_results_of_one(finished: Path, tmp_path: Path) -> None:
    SweepRun(small(processes=2), tmp_path, Quiet())()
    assert text_of(tmp_path) == text_of(finished)


def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool) -> Swept:
    (tmp_path / "deadly_network.py").write_text(FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    arguments = {"width": 2, "marker": str(tmp_path / "marker"), "always": always}
    model = {"type": "import", "function": "deadly_network:network", "arguments": arguments}
    return Swept.parse(content(model=model, over={"model.arguments.width": [2, 3, 4]}, processes=2))


@pytest.mark.slow
def test_a_killed_process_is_replaced_and_its_point_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = SweepRun(deadly(tmp_path, monkeypatch, always=False), tmp_path / "out", Quiet(), allow_import=True)
    results = run()
    assert ["error" in trial for trial in results["trials"]] == [False, False, False]
    assert run.study.latest()[1].user_attrs["deaths"] == 1


@pytest.mark.slow
def test_a_point_that_kills_every_process_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = SweepRun(deadly(tmp_path, monkeypatch, always=True), tmp_path / "out", Quiet(), allow_import=True)()
    assert results["trials"][1]["error"] == "its process ended with exit status -9, 3 times"
    assert ["error" in trial for trial in results["trials"]] == [False, True, False]
    assert results["best"] in {0, 2}
