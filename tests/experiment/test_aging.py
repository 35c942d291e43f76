"""Trained cells on chips over time: what the file may say, what is evaluated, and what a run writes of it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ohmlet.errors import ConfigError
from ohmlet.experiment import aging
from ohmlet.experiment.comparison import Comparison, load
from ohmlet.experiment.comparison_report import notes
from ohmlet.experiment.comparison_run import ComparisonRun
from ohmlet.experiment.progress import Quiet
from tests.experiment.test_comparison import SMALL

AGED: dict[str, Any] = copy.deepcopy(SMALL) | {"chips": {"instances": 3, "times": [0, "1 h", "10 years"]}}
AGED["hardware"]["tile"] |= {"noise_model": "reram_cmo", "conductance_converter": "single_device"}
ROWS: dict[str, list[dict[str, Any]]] = {
    "digital": [{"accuracy": [0.9]}, {"accuracy": [0.8]}],
    "sgd": [
        {"accuracy": [0.1, 0.6], "chips": [{"time_s": 1.0, "instances": [0.5, 0.6]}, {"time_s": 3600.0, "instances": [0.1, 0.1]}]},
        {"accuracy": [0.1, 0.7], "chips": [{"time_s": 1.0, "instances": [0.6, 0.7]}, {"time_s": 3600.0, "instances": [0.3, 0.3]}]},
    ],
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aged")
    ComparisonRun(Comparison.parse(AGED), folder, Quiet())()
    return folder


def test_a_run_evaluates_the_cells_that_training_left(finished: Path) -> None:
    results = json.loads((finished / "results.json").read_text())
    for training in results["trainings"]:
        if training["variant"] == "digital":
            assert "chips" not in training
            continue
        assert [row["time_s"] for row in training["chips"]] == [0.0, 3600.0, 10 * 365 * 86400.0]
        assert all(len(row["instances"]) == 3 for row in training["chips"])
        # Nothing has relaxed at time zero: all instances are the same cells, and read like the last epoch but for output noise.
        first = training["chips"][0]["instances"]
        assert first == pytest.approx([training["accuracy"][-1]] * 3, abs=0.03)
    assert {"aging.png", "report.md"} <= {path.name for path in finished.iterdir()}
    assert (finished / "aging.png").read_bytes().startswith(b"\x89PNG")
    text = (finished / "report.md").read_text()
    assert "|  | trained in memory | 0 s | 1 h | 10 years |" in text
    assert "| agad |" in text.partition("## Over time")[2]
    assert "accuracy in % over time after training, mean±spread of 2 x 3 chips:" in notes(results)
    assert load(finished / "experiment.yaml") == Comparison.parse(AGED)


def test_the_same_file_gives_the_same_chips(finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)  # whatever else the process has drawn
    ComparisonRun(Comparison.parse(AGED), tmp_path, Quiet())()
    assert (tmp_path / "results.json").read_text() == (finished / "results.json").read_text()


def test_the_table_is_the_mean_over_chips_and_seeds() -> None:
    # 0.5, 0.6, 0.6, 0.7: mean 0.6, standard deviation sqrt(0.02 / 3); 0.1, 0.1, 0.3, 0.3: sqrt(0.04 / 3).
    assert aging.lines(ROWS) == [
        ["", "trained in memory", "1 s", "1 h"],
        ["sgd", "65.0±7.1", "60.0±8.2", "20.0±11.5"],
    ]
    assert aging.lines({"digital": ROWS["digital"]}) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hardware": SMALL["hardware"]}, "'chips' needs to know what becomes of the cells of variant 'sgd': give it a tile.noise_model"),
        ({"chips": {"times": []}}, "'times' needs at least one time"),
        ({"chips": {"times": ["soon"]}}, "soon"),
        ({"chips": {"instances": 0}}, "'instances' must be >= 1: 0"),
    ],
)
def test_chips_that_cannot_be_are_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Comparison.parse({**AGED, **changes})


def test_programming_and_aging_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "both.json"
    path.write_text(json.dumps({**AGED, "evaluation": {}}))
    with pytest.raises(ConfigError, match="`chips` lets trained cells age"):
        load(path)
