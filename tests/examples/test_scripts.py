"""The example scripts in small, and, marked slow, as they stand, with what their pages say of them."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from click.testing import Result

from ohmlet.experiment.checkpoint import Interrupted
from ohmlet.experiment.run import Run
from tests.examples.conftest import EXAMPLES, loaded

Runs = Callable[..., Result]
SCRIPTS = ("char_lstm", "digits_recipe", "sensitivity", "tiny_gpt2")


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_explains_itself(name: str, run: Runs) -> None:
    assert "Usage:" in run(name, "--help").output


def test_a_script_runs_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "char_lstm.py"), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--aware-steps" in done.stdout


def test_char_lstm_in_small(run: Runs, tmp_path: Path) -> None:
    small = ("--hidden", 8, "--steps", 3, "--aware-steps", 2, "--instances", 2)
    result = run("char_lstm", *small, "--json", tmp_path / "r.json")
    assert re.search(r"lstm +LSTM +analog +32x24 +2 ", result.output)
    assert "bits per character, mean±spread of 2 chips" in result.output
    written = json.loads((tmp_path / "r.json").read_text())
    assert list(written["chips"]) == ["direct", "hw-aware"]
    # An untrained network guesses among the text's 39 characters.
    assert written["digital"] == pytest.approx(math.log2(39), abs=0.5)
    run("char_lstm", *small, "--json", tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "r.json").read_text()
    assert len(list(tmp_path.iterdir())) == 2


def test_a_text_that_is_too_short_is_refused(run: Runs, tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short " * 20)
    assert "a tenth of it must be longer than 40 characters" in run("char_lstm", "--text", tmp_path / "short.txt", status=1).output


def test_bits_are_minus_the_logarithm_of_the_probability() -> None:
    import torch

    language = loaded("language")
    logits = torch.tensor([0.5, 0.25, 0.125, 0.125]).log().expand(3, 2, 2, 4)  # chips, batch, time, characters
    found = language.bits(logits, torch.tensor([[0, 1], [2, 3]]))
    assert found.tolist() == [[1.5, 3.0]] * 3


def test_tiny_gpt2_in_small(run: Runs) -> None:
    pytest.importorskip("transformers", reason="needs transformers, which `pip install ohmlet[dev]` brings")
    result = run("tiny_gpt2", "--width", 8, "--layers", 1, "--steps", 2, "--aware-steps", 2, "--instances", 2)
    assert re.search(r"h\.0\.attn\.c_attn +Conv1D +analog", result.output)
    assert "5 analog layers on 5 crossbars, 0 left digital for want of one" in result.output
    assert "is no multiple of 4" in run("tiny_gpt2", "--width", 6, status=2).output


def test_tiny_gpt2_says_what_it_needs(run: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "not installed: pip install transformers" in run("tiny_gpt2", status=1).output


def test_sensitivity_in_small(run: Runs, tmp_path: Path) -> None:
    result = run("sensitivity", "--epochs", 1, "--instances", 2, "--plot", tmp_path / "s.png")
    assert [line.split()[:2] for line in result.output.splitlines()[4:9]] == [
        ["conv1", "72"], ["conv2", "1152"], ["conv3", "2304"], ["full4", "2048"], ["full5", "320"]
    ]  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["s.png"]


def test_recipes_are_chosen_on_validation_images_and_a_stopped_study_goes_on(
    run: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = loaded("digits_recipe")
    jobs = recipe.choices(("mlp",), (100,), 1)
    assert len(jobs) == len(recipe.NOISES) * len(recipe.CLIPS)
    for changes in jobs.values():
        assert changes["evaluation.on"] == "validation"
        assert changes["data.validation_fraction"] > 0
    out = ("--out", tmp_path, "--network", "mlp", "--epochs", 1)
    with monkeypatch.context() as stopping:

        def stopped(*_: object) -> Any:
            raise Interrupted

        stopping.setattr(Run, "__call__", stopped)
        with pytest.raises(Interrupted):
            run("digits_recipe", "margins", *out, "--seed", 0)
    first = run("digits_recipe", "margins", *out, "--seed", 0).output
    assert re.search(r"mlp 8 x noise: direct .* hw-aware .* gain .* each seed [+-]\d", first)
    monkeypatch.setattr(Run, "__call__", stopped)
    again = run("digits_recipe", "margins", *out, "--seed", 0).output
    assert re.sub(r"\(\d+ s\)", "", again) == re.sub(r"\(\d+ s\)", "", first)


@pytest.mark.slow
@pytest.mark.parametrize(("network", "floors"), [("cnn", (8.0, 30.0)), ("mlp", (2.0, 12.0))])
def test_hardware_aware_training_gains_what_the_page_says_at_four_and_eight_times_the_noise(
    network: str, floors: tuple[float, float], tmp_path: Path
) -> None:
    """At least 2 and 12 points after a year, the margins measured with another simulator for the mlp; every seed gains."""
    recipe = loaded("digits_recipe")
    jobs = recipe.repetitions((network,), (0, 1, 2, 3, 4), None)
    # A chip at one time is the same whatever other times are looked at.
    only = {name: {**changes, "evaluation.times": ["1 year"]} for name, changes in jobs.items()}
    found = [accuracies for _, accuracies in recipe.done(only, tmp_path)]
    for variant, floor in zip(("4 x noise", "8 x noise"), floors, strict=True):
        gains = [run[variant]["hardware_aware"] - run[variant]["direct"] for run in found]
        print(f"{network}, {variant}: gains {', '.join(f'{gain:+.1f}' for gain in gains)}, mean {fmean(gains):.1f}")  # noqa: T201
        assert fmean(gains) >= floor
        assert min(gains) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["char_lstm", "tiny_gpt2"])
def test_a_language_model_trained_for_the_hardware_needs_fewer_bits_at_every_time(name: str, run: Runs, tmp_path: Path) -> None:
    if name == "tiny_gpt2":
        pytest.importorskip("transformers", reason="needs transformers, which `pip install ohmlet[dev]` brings")
    run(name, "--json", tmp_path / "r.json")
    found = json.loads((tmp_path / "r.json").read_text())
    means = {method: {t: fmean(chips) for t, chips in by_time.items()} for method, by_time in found["chips"].items()}
    print(name, found["digital"], means)  # noqa: T201
    assert found["digital"] < 1.3
    assert found["digital"] < means["hw-aware"]["1 s"] < means["hw-aware"]["1 year"]
    for t, direct in means["direct"].items():
        assert means["hw-aware"][t] < direct - 0.05
