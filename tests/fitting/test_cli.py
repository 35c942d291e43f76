"""`ohmlet fit`: files in, a spec, a picture and a table out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ohmlet.cli.main import main, ohmlet_group
from ohmlet.config import files
from ohmlet.errors import ConfigError
from ohmlet.fitting import fit, read
from ohmlet.fitting import least_squares as search
from tests.fitting import synthetic

EXAMPLE = Path(__file__).parents[2] / "examples" / "fit_measurements.py"


@pytest.fixture
def traces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    step = synthetic.soft_bounds(*(np.array([each]) for each in (0.05, 0.05, 0.6, -0.6)))
    trace = synthetic.traces(step, 1, ways=synthetic.WAYS[20:140], bounds=(-0.6, 0.6)).traces[0]
    rows = [
        f"{n},{'down' if way < 0 else 'up' if way else ''},{g:.5f}"
        for n, (way, g) in enumerate(zip(trace.direction, trace.seen, strict=True))
    ]
    Path("traces.csv").write_text("pulse,direction,weight\n" + "\n".join(rows) + "\n")
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(ohmlet_group, ["fit", *arguments])


def test_the_best_of_several_devices_is_written(traces: Path) -> None:
    result = run("traces.csv", "--device", "constant_step", "--device", "soft_bounds", "--starts", "1", "--out", "mine.yaml")
    assert result.exit_code == 0, result.output
    assert result.output.index("soft_bounds") < result.output.index("constant_step")
    assert "ranking" in result.output
    assert files.read("mine.yaml")["type"] == "soft_bounds"
    assert Path("mine.png").read_bytes().startswith(b"\x89PNG")
    before = sorted(path.name for path in traces.iterdir())
    assert before == ["mine.png", "mine.yaml", "traces.csv"]
    assert run("traces.csv", "--device", "soft_bounds", "--starts", "1", "--out", "mine.yaml").exit_code == 0
    assert sorted(path.name for path in traces.iterdir()) == before
    explained = CliRunner().invoke(ohmlet_group, ["plot", "mine.yaml", "--devices", "2", "--pulses", "16"])
    assert explained.exit_code == 0, explained.output


def test_files_that_no_fit_wrote_stay(traces: Path) -> None:
    Path("mine.yaml").write_text("type: ideal\n")
    result = run("traces.csv", "--device", "soft_bounds", "--starts", "1", "--free", "w_max,w_min,dw_min", "--out", "mine.yaml")
    assert isinstance(result.exception, ConfigError)
    assert Path("mine.yaml").read_text() == "type: ideal\n"
    Path("other.png").write_bytes(b"a picture")
    result = run("traces.csv", "--device", "soft_bounds", "--starts", "1", "--free", "w_max,w_min,dw_min", "--out", "other.yaml")
    assert isinstance(result.exception, ConfigError)
    assert Path("other.png").read_bytes() == b"a picture"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to fit: --device soft_bounds"),
        (["--device", "soft_bounds", "--out", "x.txt"], "--out x.txt is no spec"),
        (["--device", "soft_bounds", "--out", "absent/x.yaml"], "there is no folder absent"),
        (["--device", "soft_bounds", "--window", "wide"], "--window wide is no pair of conductances"),
        (["--device", "no_such"], "unknown device 'no_such'"),
        (["--noise-model", "pcm"], "name a device"),
    ],
)
def test_wrong_usage_is_one_line(traces: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "traces.csv", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_misspelled_device_is_told_before_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("pulse,colour\n1,red\n")
    for file in (bad, tmp_path / "absent.csv"):
        for wrong, message in (
            (["--device", "soft_bound"], "unknown device 'soft_bound'; did you mean 'soft_bounds'?"),
            (["--device", "soft_bounds", "--window", "wide"], "--window wide is no pair of conductances"),
        ):
            assert main(["fit", str(file), *wrong]) == 2
            assert capsys.readouterr().err.count(message) == 1
        assert main(["fit", str(file), "--device", "soft_bounds"]) == 2
        assert file.name in capsys.readouterr().err


def test_ctrl_c_keeps_the_best_so_far(traces: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step, calls = search._step, []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) > 12:
            raise KeyboardInterrupt
        return step(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "_step", interrupted)
    found = fit(read("traces.csv"), "soft_bounds", starts=1)
    assert found.interrupted
    assert "interrupted: the best values until then" in found.yaml()
    assert found.figures["r2"] > 0.5


def test_the_example_runs_from_any_folder(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE), "--devices", "2", "--pulses", "40", "--out", "here"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "true: 0.03" in done.stdout
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"measurements.csv", "device.yaml", "device.png"}
