"""The example that calibrates input ranges: in small, and as its text says of it."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from click.testing import Result

Runs = Callable[..., Result]


def accuracies(output: str) -> dict[str, float]:
    return {words.strip(): float(value) for words, value in re.findall(r"^(\S.*?) +([\d.]+) %$", output, re.MULTILINE)}


def test_it_calibrates_and_says_what_it_did(run: Runs) -> None:
    output = run("calibrate_ranges", "--epochs", 1, "--aware-epochs", 1).output
    found = accuracies(output)
    assert len(found) == 7
    assert "crossbar  before  after  clipped  inputs" in output
    assert "1.block0" in output
    assert found["calibrated, quantile 1"] > found["on crossbars, ranges of 30"]


@pytest.mark.slow
def test_calibration_brings_back_most_and_training_the_rest(run: Runs) -> None:
    found = accuracies(run("calibrate_ranges").output)
    assert found["digital"] > 94
    assert found["on crossbars, ranges of 30"] < 40
    assert found["calibrated, quantile 0.99"] > found["digital"] - 4
    assert found["and trained with the hardware"] >= found["calibrated, quantile 1"] - 1
