"""The command line as a person meets it: help, exit statuses, one-line errors."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ohmlet.cli import main
from ohmlet.hooks import hookimpl, manager

Captured = pytest.CaptureFixture[str]
EXAMPLE = Path(__file__).parents[2] / "examples" / "digits_pcm.yaml"


@pytest.mark.parametrize("command", [[], ["run"], ["list"], ["show"], ["explain"], ["check"], ["plot"]])
def test_every_command_has_help(command: list[str], capsys: Captured) -> None:
    assert main([*command, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Usage: ohmlet")
    assert len(out.splitlines()) > 5


def test_list_names_every_kind_and_where_each_plugin_comes_from(capsys: Captured) -> None:
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["kind", "name", "from", "status", "what"]
    assert any(line.split()[:5] == ["noise_model", "pcm", "ohmlet", "0.1.0", "ok"] for line in lines)


def test_list_tells_what_a_preset_is_and_where_its_numbers_come_from(capsys: Captured) -> None:
    assert main(["list", "preset", "--json"]) == 0
    details = {row["name"]: row["detail"] for row in json.loads(capsys.readouterr().out)}
    assert details["pcm_inference"].startswith("[config, fitted] ")
    assert details["gokmen_vlasov"].startswith("[device, table] ")
    assert not any("?" in detail for detail in details.values())


def test_list_of_a_kind_as_json(capsys: Captured) -> None:
    assert main(["list", "tile", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["name"] for row in rows} >= {"ideal", "inference"}
    assert set(rows[0]) == {"kind", "name", "distribution", "version", "target", "status", "detail"}


def test_list_check_imports_everything_and_finds_it_sound(capsys: Captured) -> None:
    assert main(["list", "--check"]) == 0
    assert "broken" not in capsys.readouterr().out


def test_list_imports_no_torch() -> None:
    code = "import sys; from ohmlet.cli import main; status = main(['list']); assert 'torch' not in sys.modules; sys.exit(status)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_distribution_that_is_switched_off_is_listed_as_off(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OHMLET_DISABLE_PLUGINS", "ohmlet")
    assert main(["list", "tile"]) == 0
    assert "off     switched off by OHMLET_DISABLE_PLUGINS" in capsys.readouterr().out


def test_show_tells_parameters_with_units_and_source(capsys: Captured) -> None:
    assert main(["show", "noise_model", "pcm"]) == 0
    out = capsys.readouterr().out
    assert "t_0 = 20.0 s" in out
    assert "doi:10.1109/ICECS46596.2019.8964852" in out


def test_show_tells_what_is_left_out(capsys: Captured) -> None:
    assert main(["show", "tile", "in_memory"]) == 0
    assert "noise_model = none " in capsys.readouterr().out


def test_show_of_a_preset_tells_status_source_and_the_whole_config(capsys: Captured) -> None:
    assert main(["show", "preset", "pcm_inference"]) == 0
    out = capsys.readouterr().out
    assert "status  fitted" in out
    assert "prog_noise_scale: 1.0" in out


@pytest.mark.parametrize(("kind", "name"), [("device", "soft_bounds"), ("preset", "pcm_inference"), ("device", "ohmlet:soft_bounds")])
def test_show_finds_the_kind_where_there_is_one(kind: str, name: str, capsys: Captured) -> None:
    assert main(["show", name]) == 0
    alone = capsys.readouterr().out
    assert main(["show", kind, name]) == 0
    assert capsys.readouterr().out == alone
    assert alone.startswith(f"{kind} {name.removeprefix('ohmlet:')} ")


def test_explain_a_preset_with_a_changed_value(capsys: Captured) -> None:
    assert main(["explain", "pcm_inference", "--set", "tile.forward.adc.bits=6"]) == 0
    assert "bits = 6 bit" in capsys.readouterr().out


def test_explain_an_experiment_file_explains_its_hardware(capsys: Captured) -> None:
    assert main(["explain", str(EXAMPLE)]) == 0
    assert "noise_model: pcm" in capsys.readouterr().out


def test_check_a_valid_file(capsys: Captured) -> None:
    assert main(["check", str(EXAMPLE)]) == 0
    assert "a valid experiment" in capsys.readouterr().out


def test_check_tells_every_problem_and_exits_with_1(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("tile: {type: inference, forward: {adc: {bitz: 8}, out_noise: '0.1'}}\nmaping: {}\n")
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    assert "unknown key 'bitz', did you mean 'bits'?" in out
    assert "expected a number, got '0.1'; write it without quotes" in out
    assert "unknown key 'maping', did you mean 'mapping'?" in out
    assert "3 problems" in out


@pytest.mark.parametrize(("kind", "name"), [("noise_model", "pcm"), ("conductance_converter", "single_pair"), ("preset", "pcm_inference")])
def test_check_runs_a_plugins_conformance_kit(kind: str, name: str, capsys: Captured) -> None:
    assert main(["check", kind, name]) == 0
    out = capsys.readouterr().out
    assert ", 0 failed, " in out
    assert out.count("pass") >= 5


def test_check_of_a_plugin_with_changed_parameters(capsys: Captured) -> None:
    assert main(["check", "noise_model", "pcm", "--set", "prog_noise_scale=4"]) == 0
    assert main(["check", "noise_model", "pcm", "--set", "prog_noise_scale=-4"]) == 2
    assert "'prog_noise_scale' must be >= 0: -4" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], "no command 'lst'; did you mean 'list'?"),
        (["list", "tyle"], "unknown kind 'tyle'; did you mean 'tile'?"),
        (["show", "tile", "infrence"], "unknown tile 'infrence'; did you mean 'inference'?"),
        (["show", "ideal"], "'ideal' names several plugins: `ohmlet show device ideal`, `ohmlet show tile ideal`"),
        (["show", "soft_bound"], "unknown plugin 'soft_bound'; did you mean 'soft_bounds'?"),
        (["show", "tile"], "'tile' is a kind of plugin: `ohmlet list tile` lists those there are"),
        (["show"], "Missing argument '[KIND] NAME'"),
        (["show", "tile", "ideal", "device"], "give a NAME, or a KIND and a NAME, not 3 words"),
        (["explain", "absent.yaml"], "absent.yaml: no such file"),
        (["explain", "pcm_inferenc"], "neither a config file (.yaml, .yml, .toml, .json) nor a preset; did you mean 'pcm_inference'?"),
        (["explain", "pcm_inference", "--set", "tile.forward.adc"], "expected path=value"),
        (["run", "absent.yaml"], "absent.yaml: no such file"),
        (["run", "x.yaml", "--resume", "--fresh"], "--resume and --fresh exclude each other"),
        (["run"], "Missing argument 'FILE'"),
        (["check", "a", "b", "c"], "give a FILE, or a KIND and a NAME, not 3 words"),
        (["check", "device", "soft"], "unknown device 'soft'"),
        (["run", str(EXAMPLE), "--set", "evaluation.instance=3"], "unknown key 'instance', did you mean 'instances'? @ "),
    ],
)
def test_a_mistake_is_answered_by_one_line_and_status_2(arguments: list[str], words: str, capsys: Captured) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert len(captured.err.splitlines()) == 1
    assert captured.err.startswith("ohmlet: ")
    assert "Traceback" not in captured.err


def test_debug_shows_the_traceback() -> None:
    from ohmlet.errors import ConfigError

    with pytest.raises(ConfigError, match="no such file"):
        main(["run", "absent.yaml", "--debug"])


def quick(*more: str) -> list[str]:
    changes = ["training.digital.epochs=1", "training.hardware_aware.epochs=0", "evaluation.instances=2", "evaluation.times=[1 s]"]
    return [part for change in (*changes, *more) for part in ("--set", change)]


def test_run_prints_the_table_and_where_it_wrote(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["run", str(EXAMPLE), *quick()]) == 0
    out = capsys.readouterr().out
    assert "digital training: test accuracy" in out
    assert " direct " in out
    assert "written: runs/digits_pcm/results.json" in out
    assert (tmp_path / "runs" / "digits_pcm" / "results.json").is_file()


def test_a_second_run_gives_the_same_results(tmp_path: Path, capsys: Captured) -> None:
    for folder in ("a", "b", "a"):
        assert main(["run", str(EXAMPLE), "--quiet", "--out", str(tmp_path / folder), *quick()]) == 0
    assert (tmp_path / "a" / "results.json").read_bytes() == (tmp_path / "b" / "results.json").read_bytes()


def test_resume_without_an_interrupted_run_is_refused(tmp_path: Path, capsys: Captured) -> None:
    assert main(["run", str(EXAMPLE), "--resume", "--out", str(tmp_path), *quick()]) == 2
    assert "holds no interrupted run to resume" in capsys.readouterr().err


def test_run_out_of_a_file_is_refused(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "taken").write_text("")
    assert main(["run", str(EXAMPLE), "--out", str(tmp_path / "taken")]) == 2
    assert "is a file, and results need a folder" in capsys.readouterr().err


def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_resume(tmp_path: Path) -> None:
    import signal
    import time

    command = [sys.executable, "-m", "ohmlet", "run", str(EXAMPLE), "--out", str(tmp_path / "run"), "--set", "training.digital.epochs=2000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        # The settings are written when the run begins to listen.
        for _ in range(600):
            if (tmp_path / "run" / "experiment.yaml").exists():
                break
            time.sleep(0.1)
        time.sleep(1.0)
        running.send_signal(signal.SIGINT)
        out, _ = running.communicate(timeout=60)
    assert running.returncode == 130, out
    again = ["ohmlet", "run", str(EXAMPLE), "--out", str(tmp_path / "run"), "--set", "training.digital.epochs=2000", "--resume"]
    assert f"stopped; resume with: {shlex.join(again)}" in out
    assert "Traceback" not in out
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_hook_ohmlet_add_commands_and_ohmlet_check_config(capsys: Captured, tmp_path: Path) -> None:
    class Extra:
        @hookimpl
        def ohmlet_add_commands(self) -> list[click.Command]:
            return [click.Command("greet", callback=lambda: click.echo("good day"), help="Greet.")]

        @hookimpl
        def ohmlet_check_config(self, config: object) -> list[str]:
            del config
            return ["columns are too long for our process"]

    extra = Extra()
    manager().register(extra)
    try:
        assert main(["greet"]) == 0
        assert main(["--help"]) == 0
        assert main(["check", str(EXAMPLE)]) == 1
    finally:
        manager().unregister(extra)
    out = capsys.readouterr().out
    assert "good day" in out
    assert "greet" in out
    assert "columns are too long for our process" in out


def test_plot_draws_a_device_and_prints_what_was_seen(tmp_path: Path, capsys: Captured) -> None:
    picture = tmp_path / "a.png"
    assert main(["plot", "soft_bounds", "--set", "dw_min=0.05", "--devices", "4", "--pulses", "60", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    out = capsys.readouterr().out
    assert "step stated (granularity)        0.05" in out
    assert "symmetry point" in out


def test_plot_takes_a_file_with_a_device(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("type: constant_step\ndw_min: 0.05\n")
    arguments = ["--devices", "2", "--pulses", "40", "--out", str(tmp_path / "a.svg")]
    assert main(["plot", str(tmp_path / "mine.yaml"), *arguments]) == 0
    assert (tmp_path / "a.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["soft_bouns"], "did you mean 'soft_bounds'?"),
        (["soft_bounds", "--set", "dw_mn=0.1"], "did you mean 'dw_min'?"),
        (["soft_bounds", "--out", "a.txt"], "no picture"),
        (["soft_bounds", "--out", "nowhere/a.png"], "no folder nowhere"),
    ],
)
def test_plot_refuses_what_it_cannot_draw(arguments: list[str], words: str, capsys: Captured) -> None:
    assert main(["plot", *arguments]) == 2
    assert words in capsys.readouterr().err
