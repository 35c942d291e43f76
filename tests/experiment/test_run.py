"""Runs: what they write, that they repeat, that they go on after being stopped anywhere."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve

from ohmlet.errors import ConfigError
from ohmlet.experiment.checkpoint import Interrupted, whole
from ohmlet.experiment.optimizers import SGD
from ohmlet.experiment.progress import Quiet, Stage
from ohmlet.experiment.report import table
from ohmlet.experiment.run import Run
from ohmlet.experiment.schema import Evaluation, Experiment, Phase, Training
from ohmlet.hooks import hookimpl, manager


class StopAt(Quiet):
    """Sends the process a real Ctrl-C after some units of a stage."""

    def __init__(self, name: str, after: int) -> None:
        self.name, self.after = name, after

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        del total, done
        stage, counted = Stage(), [0]

        def advance(count: int = 1) -> None:
            counted[0] += count
            if name == self.name and counted[0] == self.after:
                os.kill(os.getpid(), signal.SIGINT)

        stage.advance = advance  # type: ignore[method-assign]
        yield stage


def text_of(folder: Path) -> str:
    return (folder / "results.json").read_text()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.experiment.conftest import SMALL

    folder = tmp_path_factory.mktemp("finished")
    Run(Experiment.parse(SMALL), folder, Quiet())()
    return folder


def test_a_run_writes_results_settings_plot_and_report_and_removes_its_checkpoint(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {"results.json", "experiment.yaml", "accuracy.png", "report.md"}
    assert (finished / "accuracy.png").read_bytes().startswith(b"\x89PNG")


def test_results_hold_every_cell_with_mean_and_spread_of_its_instances(finished: Path) -> None:
    results = json.loads(text_of(finished))
    rows = results["accuracy_on_chips"]
    assert len(rows) == 2 * 2 * 2 * 2  # variants, trainings, compensation, times
    for row in rows:
        values = torch.tensor(row["instances"], dtype=torch.float64)
        assert len(values) == 3
        assert row["mean"] == pytest.approx(float(values.mean()))
        assert row["std"] == pytest.approx(float(values.std()))
    assert {row["time_s"] for row in rows} == {0.0, 3600.0}


def test_results_hold_no_times_of_day_and_no_paths(finished: Path) -> None:
    results = json.loads(text_of(finished))
    assert set(results) == {
        "schema", "ohmlet", "name", "seed", "evaluated_on", "samples", "accuracy_before_programming", "accuracy_on_chips",
    }  # fmt: skip
    assert str(finished) not in text_of(finished)


def test_the_resolved_settings_run_to_the_same_results(finished: Path, tmp_path: Path) -> None:
    Run(Experiment.load(finished / "experiment.yaml"), tmp_path, Quiet())()
    assert text_of(tmp_path) == text_of(finished)


def test_another_seed_gives_other_results(small: Experiment, finished: Path, tmp_path: Path) -> None:
    Run(evolve(small, seed=4), tmp_path, Quiet())()
    assert json.loads(text_of(tmp_path))["accuracy_on_chips"] != json.loads(text_of(finished))["accuracy_on_chips"]


@pytest.mark.parametrize(
    ("stage", "after"),
    [("digital training", 1), ("digital training", 12), ("digital training", 18), ("hardware-aware training", 4), ("evaluating chips", 5)],
)
def test_a_run_stopped_by_ctrl_c_goes_on_to_the_same_results(
    stage: str, after: int, small: Experiment, finished: Path, tmp_path: Path
) -> None:
    torch.manual_seed(99)  # whatever else the process has drawn
    with pytest.raises(Interrupted):
        Run(small, tmp_path, StopAt(stage, after))()
    assert (tmp_path / "checkpoint.pt").exists()
    assert not (tmp_path / "results.json").exists()
    torch.manual_seed(7)
    again = Run(small, tmp_path, Quiet())
    assert again.resumed
    again()
    assert text_of(tmp_path) == text_of(finished)
    assert not (tmp_path / "checkpoint.pt").exists()


def test_a_second_ctrl_c_stops_at_once(small: Experiment, tmp_path: Path) -> None:
    class Twice(StopAt):
        @contextmanager
        def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            yield Stage()

    with pytest.raises(KeyboardInterrupt):
        Run(small, tmp_path, Twice("", 0))()


def test_an_unfinished_run_with_other_settings_is_refused_unless_started_fresh(small: Experiment, tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        Run(small, tmp_path, StopAt("digital training", 1))()
    other = evolve(small, seed=5)
    with pytest.raises(ConfigError, match="unfinished run with other settings; start over with --fresh"):
        Run(other, tmp_path, Quiet())
    assert not Run(other, tmp_path, Quiet(), fresh=True).resumed


def test_a_damaged_checkpoint_is_named(small: Experiment, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes(b"half a checkpoint")
    with pytest.raises(ConfigError, match=r"checkpoint\.pt cannot be read .* --fresh"):
        Run(small, tmp_path, Quiet())


def test_a_loss_that_is_not_finite_says_which_learning_rate_to_lower(small: Experiment, tmp_path: Path) -> None:
    wild = evolve(small, training=Training(digital=Phase(epochs=3, batch_size=100, optimizer=SGD(lr=1e30))))
    with pytest.raises(ConfigError, match=r"the loss became .* lower training\.digital\.optimizer\.lr"):
        Run(wild, tmp_path, Quiet())()


def test_without_fine_tuning_only_direct_mapping_is_evaluated(small: Experiment, tmp_path: Path) -> None:
    plain = evolve(small, training=Training(digital=Phase(epochs=1)), evaluation=Evaluation(instances=1, times=(1.0,), uncompensated=False))
    results = Run(plain, tmp_path, Quiet())()
    assert [row["training"] for row in results["accuracy_on_chips"]] == ["direct"]
    assert results["accuracy_on_chips"][0]["std"] == 0.0


def test_a_run_computes_on_the_threads_it_states_and_gives_them_back(small: Experiment, tmp_path: Path) -> None:
    before, seen = torch.get_num_threads(), []

    class Watching(Quiet):
        @contextmanager
        def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
            seen.append(torch.get_num_threads())
            yield Stage()

    quick = evolve(small, threads=1, training=Training(digital=Phase(epochs=1)), evaluation=Evaluation(instances=1, times=(1.0,)))
    Run(quick, tmp_path, Watching())()
    assert seen == [1, 1]
    assert torch.get_num_threads() == before


def test_rules_keep_layers_digital(small: Experiment, tmp_path: Path) -> None:
    only_last = evolve(
        small, rules={"1": "digital"}, training=Training(digital=Phase(epochs=1)), evaluation=Evaluation(instances=1, times=(1.0,))
    )
    run = Run(only_last, tmp_path, Quiet())
    run()
    assert json.loads(text_of(tmp_path))["accuracy_on_chips"]


def test_hook_ohmlet_run_finished_and_ohmlet_report_sections(small: Experiment, tmp_path: Path) -> None:
    seen: list[str] = []

    class Listener:
        @hookimpl
        def ohmlet_run_finished(self, run: Run) -> None:
            seen.append(f"{run.experiment.name} {sorted(run.results)[0]} {run.folder.name}")

        @hookimpl
        def ohmlet_report_sections(self, run: Run) -> list[tuple[str, str]]:
            return [("Energy", f"{run.results['samples']} samples cost nothing")]

    quick = evolve(small, training=Training(digital=Phase(epochs=1)), evaluation=Evaluation(instances=1, times=(1.0,)))
    listener = Listener()
    manager().register(listener)
    try:
        Run(quick, tmp_path, Quiet())()
    finally:
        manager().unregister(listener)
    assert seen == [f"small accuracy_before_programming {tmp_path.name}"]
    assert "## Energy\n\n180 samples cost nothing" in (tmp_path / "report.md").read_text()


def direct_rows(results: dict[str, Any]) -> list[Any]:
    return [row["instances"] for row in results["accuracy_on_chips"] if row["training"] == "direct"]


def test_direct_mapping_meets_neither_clip_nor_noise_of_hardware_aware_training(small: Experiment, tmp_path: Path) -> None:
    """Its weights are the digitally trained ones, whatever `hardware.tile.training` says."""
    quick = evolve(small, training=Training(digital=Phase(epochs=1)), evaluation=Evaluation(instances=3, times=(1.0,)))
    harsh = {"modifier": {"type": "add_normal", "std": 0.3}, "clip": {"type": "layer_gaussian", "sigma": 0.1}}
    clipped = evolve(quick, hardware=quick.hardware.override({"tile.training": harsh}))
    bare = evolve(quick, hardware=quick.hardware.override({"tile.training": {}}))
    assert direct_rows(Run(clipped, tmp_path / "clipped", Quiet())()) == direct_rows(Run(bare, tmp_path / "bare", Quiet())())


def test_a_run_on_validation_samples_evaluates_these_and_trains_on_neither(small: Experiment, tmp_path: Path) -> None:
    quick = {
        "training": {"digital": {"epochs": 1}},
        "evaluation": {"instances": 2, "times": [1], "on": "validation"},
        "data": {"type": "digits", "test_fraction": 0.5, "validation_fraction": 0.25},
    }
    seen: list[int] = []

    class Counting(Quiet):
        @contextmanager
        def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
            seen.append(total)
            yield Stage()

    results = Run(Experiment.parse({**small.to_plain(), **quick}), tmp_path, Counting())()
    assert (results["evaluated_on"], results["samples"]) == ("validation", 450)
    assert seen[0] == -(-449 // 32)
    assert "validation accuracy in %" in table(results).title  # type: ignore[operator]


def test_validation_samples_are_asked_for_where_there_are_none(small: Experiment, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"evaluation\.on is 'validation', but the data keep no samples for it: set data\.validation_fraction"
    ):
        Run(evolve(small, evaluation=Evaluation(on="validation")), tmp_path, Quiet())()


def test_a_finished_run_is_not_run_again_and_one_with_other_settings_is_not_mistaken_for_it(
    small: Experiment, finished: Path, tmp_path: Path
) -> None:
    class Untouched(Quiet):
        def stage(self, name: str, total: int, done: int = 0) -> Any:
            raise AssertionError(name)

    assert Run.finished(small, finished, Untouched()) == json.loads(text_of(finished))
    with pytest.raises(ConfigError, match="holds the results of other settings"):
        Run.finished(evolve(small, seed=9), finished, Quiet())
    with pytest.raises(Interrupted):
        Run.finished(small, tmp_path, StopAt("digital training", 3))
    Run.finished(small, tmp_path, Quiet())
    assert text_of(tmp_path) == text_of(finished)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text("old")

    def interrupted() -> None:
        with whole(path) as new:
            new.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("results.json", "old")]
    with whole(path) as new:
        new.write_text("new")
        assert path.read_text() == "old"
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("results.json", "new")]
