"""Comparisons: what the file may say, what a run writes, that it goes on after being stopped anywhere, in one process and in two."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ohmlet.errors import ConfigError
from ohmlet.experiment.checkpoint import Interrupted
from ohmlet.experiment.comparison import Comparison, load
from ohmlet.experiment.comparison_report import notes, rows_of
from ohmlet.experiment.comparison_run import ComparisonRun
from ohmlet.experiment.progress import Quiet
from tests.experiment.test_run import StopAt

DEVICE = {"type": "soft_bounds_reference", "dw_min": 0.05, "count_pulses": True}
SMALL: dict[str, Any] = {
    "name": "small",
    "seeds": [3, 4],
    "data": {"type": "digits", "test_fraction": 0.9},
    "model": {"type": "mlp", "hidden": [6]},
    "training": {"epochs": 2, "batch_size": 60, "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.0}, "schedule": "halved"},
    "hardware": {"tile": {"type": "in_memory", "forward": {"out_noise": 0.05}}},
    "compare": {
        "sgd": {"tile.update_algorithm": {"type": "sgd", "device": DEVICE}},
        "agad": {"tile.update_algorithm": {"type": "agad", "fast": DEVICE, "slow": DEVICE, "auto_scale": True}},
    },
}
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_tiki_taka.yaml"


def text_of(folder: Path) -> str:
    return (folder / "results.json").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    ComparisonRun(Comparison.parse(SMALL), folder, Quiet())()
    return folder


def test_a_run_writes_results_settings_curves_and_report_and_removes_its_checkpoints(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"results.json", "experiment.yaml", "learning_curves.png", "report.md"}
    assert (finished / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert "| agad | 4 |" in (finished / "report.md").read_text()


def test_every_variant_and_the_baseline_are_trained_with_every_seed(finished: Path) -> None:
    trainings = json.loads(text_of(finished))["trainings"]
    assert [(each["variant"], each["seed"]) for each in trainings] == [
        (variant, seed) for seed in (3, 4) for variant in ("digital", "sgd", "agad")
    ]
    assert all(len(each["accuracy"]) == 2 for each in trainings)
    assert trainings[1]["accuracy"] != trainings[4]["accuracy"]


def test_pulses_are_counted_by_layer_and_array(finished: Path) -> None:
    digital, sgd, agad = json.loads(text_of(finished))["trainings"][:3]
    assert digital["pulses"] == []
    assert [(row["layer"], row["array"], row["devices"]) for row in sgd["pulses"]] == [("1", "device", 384), ("3", "device", 60)]
    assert [row["array"] for row in agad["pulses"]] == ["fast", "slow", "fast", "slow"]
    # One column of the slow array is written at most once for each vector, of which there are 2 x 180.
    assert all(0 <= row["up"] + row["down"] <= row["devices"] * 360 for row in agad["pulses"] if row["array"] == "slow")
    assert sum(row["up"] + row["down"] for row in agad["pulses"] if row["array"] == "fast") > 0


def test_the_table_is_the_mean_of_the_last_three_epochs_over_seeds() -> None:
    trainings = [
        {"variant": variant, "seed": seed, "accuracy": [0.0, *curve], "pulses": pulses}
        for seed, shift in ((0, 0.0), (1, 0.02))
        for variant, curve, pulses in (
            ("digital", [0.9, 0.9, 0.9], []),
            ("sgd", [0.5 + shift, 0.6 + shift, 0.7 + shift], [{"layer": "1", "array": "device", "devices": 50, "up": 30, "down": 20}]),
        )
    ]
    results = {"name": "n", "seeds": [0, 1], "samples": 200, "vectors": 100, "trainings": trainings}
    # 0.6 and 0.62: mean 0.61, standard deviation 0.02 / sqrt(2); 50 pulses of 50 devices for 100 vectors.
    assert rows_of(results) == [("digital", "90.0±0.0", "", ""), ("sgd", "61.0±1.4", "-29.0±1.4", "device 1.0e-02")]
    assert "0.50 points" in notes(results)[0]


def test_what_has_arrived_of_transfers_is_told_by_variant(tmp_path: Path) -> None:
    """Of each crossbar whose rule keeps account, in results.json, and their mean below the table and in the report."""
    cells = {"type": "constant_step", "dw_min": 0.01, "w_max": 2.0, "w_min": -2.0}
    low = {"type": "lrtt", "rank": 2, "transfer_every": 2, "reinit_gain": 1.0, **dict.fromkeys(("up", "down", "core"), cells)}
    hardware = {**SMALL["hardware"], "mapping": {"max_in": 40}}
    changes = {"hardware": hardware, "compare": {"sgd": SMALL["compare"]["sgd"], "low": {"tile.update_algorithm": low}}, "seeds": [3]}
    run = ComparisonRun(Comparison.parse({**SMALL, **changes}), tmp_path, Quiet())
    run()
    digital, sgd, lrtt = run.results["trainings"]
    assert "transfers" not in digital
    assert "transfers" not in sgd
    # Two crossbars of the first layer, one of the second; 2 epochs of 3 mini-batches.
    assert [(row["layer"], row["transfers"]) for row in lrtt["transfers"]] == [("1", 3), ("1", 3), ("3", 3)]
    rows = lrtt["transfers"]
    mean, worst = sum(row["reached"] for row in rows) / 3, max(row["worst"] for row in rows)
    (line,) = [line for line in notes(run.results) if line.startswith("low: ")]
    assert line.startswith(f"low: {100 * mean:.1f}% of what was transferred has arrived, residual ")
    assert line.endswith(f" at worst {worst:.3g}")
    assert f"- {line}" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize("after", [1, 4, 8, 17])
def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_results(after: int, finished: Path, tmp_path: Path) -> None:
    torch.manual_seed(99)  # whatever else the process has drawn
    with pytest.raises(Interrupted):
        ComparisonRun(Comparison.parse(SMALL), tmp_path, StopAt("training in memory", after))()
    assert not (tmp_path / "results.json").exists()
    again = ComparisonRun(Comparison.parse(SMALL), tmp_path, Quiet())
    assert again.resumed
    again()
    assert text_of(tmp_path) == text_of(finished)


def test_two_processes_come_to_the_results_of_one(finished: Path, tmp_path: Path) -> None:
    ComparisonRun(Comparison.parse({**SMALL, "processes": 2}), tmp_path, Quiet())()
    assert text_of(tmp_path) == text_of(finished)


def test_what_goes_wrong_in_a_process_is_told(tmp_path: Path) -> None:
    wrong = {**SMALL, "processes": 2, "training": {**SMALL["training"], "optimizer": {"type": "sgd", "lr": 1e30}}}
    with pytest.raises(ConfigError, match=r"lower training\.optimizer\.lr"):
        ComparisonRun(Comparison.parse(wrong), tmp_path, Quiet())()


def test_an_unfinished_run_with_other_settings_is_refused_and_fresh_starts_over(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        ComparisonRun(Comparison.parse(SMALL), tmp_path, StopAt("training in memory", 5))()
    other = Comparison.parse({**SMALL, "training": {**SMALL["training"], "epochs": 1}})
    with pytest.raises(ConfigError, match="other settings"):
        ComparisonRun(other, tmp_path, Quiet())
    assert not ComparisonRun(other, tmp_path, Quiet(), fresh=True).resumed


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seeds": []}, "'seeds' are at least one"),
        ({"seeds": [1, 1]}, "given twice"),
        ({"compare": {}}, "'compare' needs at least one"),
        ({"compare": {"digital": {}}}, "'digital'"),
        ({"compare": {"a/b": {}}}, "names become files"),
        ({"compare": {"pcm": {"tile": "inference"}}}, "does not learn in memory"),
        (
            {"compare": {"sgd": {"tile.update_algoritm": "sgd"}}},
            r"compare\.sgd: unknown key 'update_algoritm', did you mean 'update_algorithm'",
        ),
        ({"hardware": {"tile": "in_memory", "seed": 5}}, "hardware.seed 5"),
        ({"sedes": [1]}, "did you mean 'seeds'"),
        ({"schema": 7}, "schema 7"),
    ],
)
def test_files_that_make_no_sense_are_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Comparison.parse({**copy.deepcopy(SMALL), **changes})


def test_the_example_is_valid_and_compares_six_algorithms_on_one_device() -> None:
    example = load(EXAMPLE)
    assert isinstance(example, Comparison)
    assert set(example.compare) == {"sgd", "tiki_taka", "ttv2", "c_ttv2", "agad", "mixed_precision"}
    cells = {cell for name in example.compare for cell in example.of(name).tile.update_algorithm.arrays().values()}  # type: ignore[attr-defined]
    assert len(cells) == 1
    assert len(example.seeds) >= 3
