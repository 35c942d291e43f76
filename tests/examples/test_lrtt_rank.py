"""The example that sweeps the rank of LR-TT: in small, and, marked slow, as its page says of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.examples.conftest import loaded

Runs = Callable[..., Result]
ROW = re.compile(r"│ (\w+) +│ +(\d*) +│ +(\d*) +│ +([\d.]+) +│ +([\d.]+) +│")


def rows(output: str) -> dict[tuple[str, str, str], tuple[float, float]]:
    """Return cells per weight and accuracy, by mode, mini-batches and rank."""
    return {(mode, every, rank): (float(cells), float(accuracy)) for mode, every, rank, cells, accuracy in ROW.findall(output)}


def test_it_trains_prints_and_draws(run: Runs, tmp_path: Path) -> None:
    small = ("--rank", 1, "--rank", 3, "--every", 4, "--epochs", 2, "--batch", 120, "--seed", 0, "--processes", 1)
    found = rows(run("lrtt_rank", *small, "--plot", tmp_path / "r.png").output)
    assert list(found) == [
        ("sgd", "", ""), ("tiki_taka", "", ""),
        ("restart", "4", "1"), ("restart", "4", "3"), ("keep", "4", "1"), ("keep", "4", "3"),
    ]  # fmt: skip
    weights, sides = 64 * 64 + 64 * 10, (64 + 64) + (64 + 10)
    for (_, _, rank), (cells, _) in list(found.items())[2:]:
        assert cells == pytest.approx(1 + int(rank) * sides / weights, abs=0.005)
    assert [path.name for path in tmp_path.iterdir()] == ["r.png"]


def test_cells_are_those_of_the_arrays() -> None:
    script = loaded("lrtt_rank")
    assert script.cells(script.Job("sgd", 0, 0, 0)) == 1
    assert script.cells(script.Job("tiki_taka", 0, 0, 0)) == 2
    assert script.cells(script.Job("keep", 8, 1, 0)) == pytest.approx(1 + 8 * 202 / 4736)


@pytest.mark.slow
def test_rank_and_time_between_transfers_are_worth_what_the_page_says(run: Runs, tmp_path: Path) -> None:
    arguments = ("--rank", 1, "--rank", 8, "--every", 1, "--every", 100, "--processes", 1, "--plot", tmp_path / "r.png")
    found = {job: accuracy for job, (_, accuracy) in rows(run("lrtt_rank", *arguments).output).items()}
    assert found["restart", "100", "8"] > found["restart", "100", "1"] + 20
    assert found["restart", "100", "8"] > found["restart", "1", "8"] + 20
    assert found["keep", "1", "8"] > found["keep", "1", "1"] + 10
    assert found["keep", "1", "8"] > found["keep", "100", "8"] + 10
    assert found["tiki_taka", "", ""] > found["keep", "1", "8"] > 88
