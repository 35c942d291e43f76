"""What a sweep says of itself: table, best points, pictures of one, two and three axes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from ohmlet.experiment.sweep_plot import draw
from ohmlet.experiment.sweep_report import best_command, notes, rows_of, write_csv
from tests.experiment.sweep_small import STEP, small

AXES: dict[str, list[Any]] = {"states": [4, 40, 400], "model.activation": ["relu", "tanh"], "training.epochs": [1, 2]}


def results(count: int, sampler: str = "grid") -> dict[str, Any]:
    """Return results over the first axes: sgd has 60 and 62 % at 40 states, less by 10 points elsewhere."""
    names = list(AXES)[:count]
    trials: list[dict[str, Any]] = []
    for index, values in enumerate(itertools.product(*list(AXES.values())[:count])):
        mean = 0.6 if values[0] == 40 else 0.5
        accuracy = {"digital": {"3": 0.9, "4": 0.9}, "sgd": {"3": mean, "4": mean + 0.02}, "tiki_taka": {"3": 0.3, "4": 0.3}}
        trials.append({"index": index, "point": dict(zip(names, values, strict=True)), "accuracy": accuracy, "objective": mean})
    return {
        "name": "small",
        "sampler": sampler,
        "axes": names,
        "logarithmic": [],
        "curves": ["digital", "sgd", "tiki_taka"],
        "objective": "mean of sgd, tiki_taka",
        "seeds": [3, 4],
        "evaluated_on": "test",
        "samples": 200,
        "trials": trials,
        "best": 1,
    }


def test_the_table_has_mean_and_spread_over_seeds_and_what_failed() -> None:
    found = results(1)
    found["trials"][2] = {"index": 2, "point": {"states": 400}, "error": "the loss became inf"}
    # 0.6 and 0.62: mean 0.61, standard deviation 0.02 / sqrt(2).
    assert rows_of(found) == [
        ["4", "90.0±0.0", "51.0±1.4", "30.0±0.0"],
        ["40", "90.0±0.0", "61.0±1.4", "30.0±0.0"],
        ["400", "failed", "", ""],
    ]
    words = notes(small(), found)
    assert words[0] == "point 2 failed: the loss became inf"
    assert "0.50 points" in words[1]
    assert "best sgd: 61.0±1.4 at states 40" in words
    assert "run it with other seeds" in words[-1]


def test_the_best_point_is_a_command_that_runs_it_alone() -> None:
    assert best_command(small(), results(1), "a.yaml", "best.yaml") == f"ohmlet run a.yaml --set sweep=null --set '{STEP}=0.05'"
    many = {"states": {"set": "compare.*.tile.update_algorithm.*.w_m*_dtod", "scale": True, "values": [4, 40]}}
    assert best_command(small(over=many), results(1), "a.yaml", "out/best.yaml") == "ohmlet run out/best.yaml"


def test_an_error_stands_in_the_csv_beside_its_point(tmp_path: Path) -> None:
    found = results(2)
    found["trials"] = [{"index": 0, "point": {"states": 4, "model.activation": "relu"}, "error": "no, it\nfailed"}]
    write_csv(found, tmp_path / "trials.csv")
    assert (tmp_path / "trials.csv").read_text() == (
        'index,states,model.activation,curve,seed,accuracy,error\n0,4,relu,,,,"no, it\nfailed"\n'
    )


@pytest.mark.parametrize(("count", "sampler"), [(1, "grid"), (1, "tpe"), (2, "grid"), (2, "tpe"), (3, "grid")])
def test_pictures_show_what_was_found(count: int, sampler: str, tmp_path: Path) -> None:
    draw(results(count, sampler), tmp_path / "one.png")
    other = results(count, sampler)
    other["trials"][0]["accuracy"]["sgd"] = {"3": 0.1, "4": 0.2}
    other["trials"][0]["objective"] = 0.15
    draw(other, tmp_path / "two.png")
    one, two = (imread(tmp_path / f"{name}.png") for name in ("one", "two"))
    assert one.std() > 0.05
    assert one.shape != two.shape or (one != two).any()


def test_a_heat_map_leaves_points_that_failed_empty(tmp_path: Path) -> None:
    found = results(2)
    found["trials"][3] = {"index": 3, "point": found["trials"][3]["point"], "error": "failed"}
    draw(found, tmp_path / "map.png")
    assert (tmp_path / "map.png").stat().st_size > 10_000
