"""What the command line tells of a preset's device: family, window, conditions, source; also where it is that of another preset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ohmlet.cli import main

Captured = pytest.CaptureFixture[str]


def test_list_of_presets_has_a_line_of_facts_below_each(capsys: Captured) -> None:
    assert main(["list", "preset"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:2] == ["preset", "ag_asi"])
    assert "[device, table]" in lines[at]
    facts = lines[at + 1]
    assert facts.startswith(
        "    family: RRAM; window: 0.003077 to 0.03846 uS; write: up 3.2 V 300 us, down -2.8 V 300 us; read: at 500 mV; source: Jo"
    )


def test_a_config_shows_the_window_of_the_device_it_is_based_on(capsys: Captured) -> None:
    assert main(["list", "preset", "--json"]) == 0
    facts = {row["name"]: row["facts"] for row in json.loads(capsys.readouterr().out)}
    assert facts["photonic_inference"]["write"] == facts["photonic_pcm"]["write"] == "electrical heater, 1.7 nJ per dB to erase"
    assert facts["ecram_agad"]["family"] == "ECRAM"
    assert facts["reram_es"]["window"] == "not known"


def test_show_tells_the_same(capsys: Captured) -> None:
    assert main(["show", "preset", "fefet_hzo"]) == 0
    out = capsys.readouterr().out
    for line in (
        "family  FeFET",
        "status  table",
        "window  0.03973 to 1.788 uS",
        "write   up 3.65 V 75 ns, down -2.95 V 75 ns",
        "read    not known",
    ):
        assert f"\n{line}\n" in out


def test_plot_of_a_two_state_device_counts_its_states(capsys: Captured, tmp_path: Path) -> None:
    assert main(["plot", "stt_mram", "--out", str(tmp_path / "stt.png"), "--devices", "8"]) == 0
    rows = dict(line.rsplit("  ", 1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    found = {words.strip(): value.strip() for words, value in rows.items()}
    assert found["states (distinct weights)"] == "2"
    assert found["pulses up that switch"] == "1"
    assert (tmp_path / "stt.png").is_file()
