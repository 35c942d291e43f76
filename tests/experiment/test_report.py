"""What a run says of its results: no claim beyond the spread."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest

from ohmlet.experiment.report import draw, table, verdicts


def results(direct: float, aware: float, spread: float, digital: float = 0.97) -> dict[str, Any]:
    rows = [
        {
            "variant": "nominal",
            "training": name,
            "compensated": True,
            "time_s": t,
            "mean": mean - 1e-12 * t,
            "std": spread,
            "instances": [mean] * 25,
        }
        for name, mean in (("direct", direct), ("hardware_aware", aware))
        for t in (0.0, 3600.0)
    ]
    return {"name": "r", "evaluated_on": "test", "accuracy_before_programming": {"digital": digital}, "accuracy_on_chips": rows}


@pytest.mark.parametrize(
    ("direct", "aware", "spread", "words"),
    [
        (0.80, 0.90, 0.02, r"\+10\.0 ± 0\.6 points, a gain$"),
        (0.90, 0.80, 0.02, r"-10\.0 ± 0\.6 points, a loss$"),
        (
            0.965,
            0.97,
            0.001,
            r"\+0\.5 ± 0\.0 points, too little to claim: direct mapping loses only 0\.5 points",
        ),
        (0.80, 0.83, 0.2, r"\+3\.0 ± 5\.7 points, too little to claim$"),
    ],
)
def test_a_gain_is_claimed_only_beyond_two_errors_and_two_points(direct: float, aware: float, spread: float, words: str) -> None:
    line, caution = verdicts(results(direct, aware, spread))
    assert line.startswith("nominal, with drift compensation: hardware-aware minus direct at 1 h = ")
    assert re.search(words, line), line
    assert caution.startswith("the errors are those of the chips, not of the training")


def test_the_table_shows_mean_and_spread_at_each_time() -> None:
    from rich.console import Console

    written = io.StringIO()
    Console(width=150, file=written).print(table(results(0.8, 0.9, 0.02)))
    text = written.getvalue()
    assert "80.0±2.0" in text
    assert "90.0±2.0" in text
    assert "0 s" in text
    assert "1 h" in text


def test_a_plot_is_drawn_also_for_time_zero(tmp_path: Path) -> None:
    draw(results(0.8, 0.9, 0.02), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
