"""`ohmlet run` of a file with `sweep`: exit statuses, the table, and one line for what is wrong."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ohmlet.cli import main
from ohmlet.config import files
from tests.experiment.sweep_small import STEP, content

pytest.importorskip("optuna")
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "sweep.yaml"
    files.write(content(over={"states": {"set": STEP, "divide": 2.0, "values": [4, 40]}}, seeds=[3]), path)
    return str(path)


def test_a_sweep_runs_prints_its_table_and_what_runs_the_best_point(file: str, tmp_path: Path, capsys: Captured) -> None:
    out = str(tmp_path / "out")
    assert main(["run", file, "--out", out]) == 0
    printed = capsys.readouterr().out
    assert "2 points (grid) over states, seeds 3" in printed
    assert f"ohmlet run {file} --set sweep=null --set 'compare.*.tile.update_algorithm.*.dw_min=" in printed
    assert main(["run", file, "--out", out, "--resume", "--quiet"]) == 0
    assert "states" in capsys.readouterr().out
    # What it said runs the best point alone.
    assert main(["run", file, "--out", f"{out}2", "--quiet", "--set", "sweep=null", "--set", f"{STEP}=0.5"]) == 0
    assert "tiki_taka" in capsys.readouterr().out


def test_the_exit_status_tells_of_a_point_that_failed(file: str, tmp_path: Path, capsys: Captured) -> None:
    over = "sweep.over={training.optimizer.lr: [0.1, 1.0e+30]}"
    assert main(["run", file, "--out", str(tmp_path / "out"), "--quiet", "--set", over]) == 1
    assert "point 1 failed: the loss became" in capsys.readouterr().out


def test_check_and_explain_take_a_sweep(file: str, capsys: Captured) -> None:
    assert main(["check", file]) == 0
    assert main(["check", file, "--set", "sweep.over.states.values=[0]"]) == 1
    assert "'divide' needs numbers but 0, got 0" in capsys.readouterr().out
    assert main(["explain", file]) == 0
    assert "variant tiki_taka" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--set", "sweep=null", "--storage", "sqlite:///x.db"], "the file has no section 'sweep'"),
        (["--resume"], "holds no sweep to resume"),
        (["--storage", "study.db"], "--storage is the URL of a database"),
        (["--set", "sweep.over.states.values=[]"], "the list is empty"),
        (["--set", "compare.*.tile.forward.nois=1"], "did you mean"),
        (["--set", "sweep.smapler=tpe"], "did you mean 'sampler'?"),
    ],
)
def test_a_mistake_is_answered_by_one_line_and_status_2(
    options: list[str], words: str, file: str, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["run", file, "--out", str(tmp_path / "out"), *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1


def test_without_optuna_one_line_says_what_to_install(file: str, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert main(["run", file, "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'ohmlet[sweep]'" in capsys.readouterr().err
