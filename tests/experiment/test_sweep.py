"""The file of a sweep: its points, what it is at each of them, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ohmlet.errors import ConfigError
from ohmlet.experiment.comparison import Comparison
from ohmlet.experiment.schema import Experiment
from ohmlet.experiment.sweep import Swept, load, read
from tests.experiment.conftest import SMALL as CHIPS
from tests.experiment.sweep_small import SMALL, STEP, content, small

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_grid_has_all_combinations_the_last_axis_fastest() -> None:
    swept = small(over={"training.batch_size": [20, 30], "states": {"set": STEP, "divide": 2.0, "values": [4, 40]}})
    assert [tuple(point.values()) for point in swept.sweep.points()] == [(20, 4), (20, 40), (30, 4), (30, 40)]
    at = swept.at({"training.batch_size": 30, "states": 40})
    assert isinstance(at, Comparison)
    assert at.training.batch_size == 30
    cells = at.of("tiki_taka").tile.update_algorithm.arrays()  # type: ignore[attr-defined]
    assert [cell.dw_min for cell in cells.values()] == [0.05, 0.05]


@pytest.mark.parametrize(
    ("section", "method", "size"),
    [
        ({"over": {"training.batch_size": [20, 30]}}, "grid", 2),
        ({"over": {"training.batch_size": {"low": 20, "high": 30}}}, "tpe", 20),
        ({"over": {"training.batch_size": {"low": 20, "high": 30, "step": 5}}}, "grid", 3),
        ({"over": {"training.batch_size": [20, 30]}, "sampler": "random", "trials": 7}, "random", 7),
    ],
)
def test_the_sampler_is_a_grid_where_all_values_are_known(section: dict[str, Any], method: str, size: int) -> None:
    sweep = Swept.parse({**SMALL, "sweep": section}).sweep
    assert (sweep.method, sweep.size) == (method, size)


def test_scale_sets_each_place_to_its_own_multiple() -> None:
    swept = small(over={"variation": {"set": "compare.sgd.tile.update_algorithm.*.w_*_dtod", "scale": True, "values": [0, 0.5]}})
    start = "compare.sgd.tile.update_algorithm.device"
    assert swept.changes({"variation": 0.5}) == {f"{start}.w_max_dtod": pytest.approx(0.1), f"{start}.w_min_dtod": pytest.approx(0.05)}


def test_a_sweep_of_chips_has_a_curve_for_each_variant_and_method_and_is_judged_by_hardware_aware_ones() -> None:
    swept = Swept.parse({**CHIPS, "sweep": {"over": {"hardware.tile.forward.out_noise": [0.0, 0.1]}, "seeds": [1, 2]}})
    assert swept.curves() == ["nominal direct", "loud direct", "nominal hardware-aware", "loud hardware-aware"]
    assert swept.judged() == ["nominal hardware-aware", "loud hardware-aware"]
    assert swept.seeds == (1, 2)
    at = swept.at({"hardware.tile.forward.out_noise": 0.1})
    assert at.hardware.tile.forward.out_noise == 0.1  # type: ignore[attr-defined]


def test_sweep_null_is_what_the_file_is_without_it() -> None:
    assert isinstance(read({**SMALL, "sweep": None}, "file"), Comparison)
    assert isinstance(read({"model": "mlp"}, "file"), Experiment)


def test_the_whole_sweep_as_plain_data_reads_back() -> None:
    swept = small()
    again = Swept.parse(swept.to_plain())
    assert again.to_plain() == swept.to_plain()
    assert again.changes({"states": 40}) == swept.changes({"states": 40}) == {STEP: 0.05}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"over": {}}, "'over' names nothing to vary"),
        ({"over": {"trainig.batch_size": [1]}}, "unknown key 'trainig', did you mean 'training'?"),
        ({"over": {"compare.*.tile.update_algorithm.*.dw_mim": [0.1]}}, "did you mean 'dw_min'?"),
        ({"over": {STEP: [0.1, -0.1]}}, "'dw_min' must be > 0: -0.1"),
        ({"over": {STEP: []}}, "the list is empty"),
        ({"over": {STEP: {"low": 2, "high": 1}}}, "'low' 2 must be less than 'high' 1"),
        ({"over": {STEP: {"low": -1.0, "high": 1}}}, "'dw_min' must be > 0: -1.0"),
        ({"over": {"seed": [1, 2]}}, "'seed' cannot be swept: the seeds of each point are `seeds`"),
        ({"over": {"processes": [1, 2]}}, "'processes' cannot be swept"),
        ({"over": {"variation": {"set": "compare.sgd.tile.update_algorithm.*.slope_*_dtod", "scale": True, "values": [2]}}}, "no effect"),
        ({"over": {STEP: {"low": 0.1, "high": 1}}, "sampler": "grid"}, "a grid needs the values of 'compare.*"),
        ({"trials": 5}, "'trials' 5 has no effect on a grid, which has 3 points"),
        ({"seed": 5}, "'seed' 5 has no effect on a grid"),
        ({"sampler": "gird"}, "'sampler' must be one of auto, grid, tpe, random: 'gird'"),
        ({"objective": "sgdd"}, "no accuracy is called 'sgdd', did you mean 'sgd'?"),
        ({"processes": 0}, "'processes' must be >= 1"),
        ({"compare": {}}, "'compare' needs at least one"),
        ({"over": {"model.hidden": [[4]], "training.epochs": list(range(1, 1000)), "data.split_seed": list(range(99))}}, "at most 10000"),
    ],
)
def test_files_that_make_no_sense_are_refused_with_the_reason(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        small(**changes)
    assert words in str(error.value)


def test_settings_without_effect_on_a_comparison_are_refused_all_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        Swept.parse({**SMALL, "processes": 2, "sweep": {**SMALL["sweep"], "seeds": [1]}})
    assert "sweep.seeds [1] has no effect on a comparison" in error.value.problems[0]
    assert "set sweep.processes instead" in error.value.problems[1]


def test_all_problems_of_experiment_and_sweep_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as error:
        Swept.parse({**content(trials=0), "trainig": {}})
    assert len(error.value.problems) == 2


@pytest.mark.parametrize(("name", "places"), [("states", 5), ("granularity", 2), ("variation", 25)])
def test_the_examples_are_valid_and_vary_every_device(name: str, places: int) -> None:
    swept = load(EXAMPLES / f"sweep_{name}.yaml")
    assert isinstance(swept, Swept)
    (axis,) = swept.sweep.over
    assert len(swept.places(axis)) == places
    assert len(swept.seeds) >= 3
