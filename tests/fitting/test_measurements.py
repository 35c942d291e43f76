"""Files of measurements: what they say, and what is told of those that make no sense."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ohmlet.errors import ConfigError
from ohmlet.fitting import DriftTraces, ProgrammingErrors, PulseTraces, read


def file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "m.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_pulse_without_a_read_is_still_a_pulse(tmp_path: Path) -> None:
    text = "device,pulse,direction,conductance_mS\nA,0,,0.010\nA,1,up,0.011\nA,2,up,\nA,5,down,nan\nA,6,-1,0.009\nB,10,,0.02\nB,10,,0.021\n"
    found = read(file(tmp_path, text))
    assert isinstance(found, PulseTraces)
    first, second = found.traces
    assert first.direction.tolist() == [0, 1, 1, -1, -1, -1, -1]
    np.testing.assert_allclose(first.seen, [10, 11, np.nan, np.nan, np.nan, np.nan, 9])
    assert second.direction.tolist() == [0, 0]
    assert (found.unit, second.device, first.pulses) == ("uS", "B", 6)


def test_counters_of_pulses_up_and_down_and_interleaved_devices(tmp_path: Path) -> None:
    text = "# bench 3\ndevice;up;down;weight\n1;0;0;0.1\n2;4;4;-0.5\n1;2;0;0.2\n2;4;5;-0.6\n1;2;1;0.15\n"
    found = read(file(tmp_path, text))
    assert isinstance(found, PulseTraces)
    assert [trace.direction.tolist() for trace in found.traces] == [[0, 1, 1, -1], [0, -1]]
    assert found.unit == "weight"


def test_what_came_before_the_first_read_is_left_out(tmp_path: Path) -> None:
    found = read(file(tmp_path, "pulse,direction,weight\n0,,\n1,up,\n2,up,0.2\n3,up,0.3\n"))
    assert isinstance(found, PulseTraces)
    assert found.traces[0].direction.tolist() == [0, 1]


def test_units_of_drift_and_programming(tmp_path: Path) -> None:
    drift = read(file(tmp_path, "device,time_ms,conductance_nS\na,1000,5000\na,2000,\na,3000,4000\n"))
    assert isinstance(drift, DriftTraces)
    _, t, g = drift.traces[0]
    assert (t.tolist(), g.tolist()) == ([1.0, 3.0], [5.0, 4.0])
    errors = read(file(tmp_path, "target_S,measured_uS\n1e-5,10.5\n2e-5,\n"))
    assert isinstance(errors, ProgrammingErrors)
    np.testing.assert_allclose([errors.target, errors.measured], [[10.0], [10.5]])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"m\.csv is empty: its first line names the columns"),
        ("weight\n1\n", r"line 1: one column, 'weight': name at least two"),
        ("pulse,direction,weight\n", r"line 1: no rows below"),
        ("pulse,direction,conductance_kS\n0,,1\n", r"line 1: column 'conductance_kS' has an unknown unit 'kS'; known: nS, uS"),
        ("pulse,direction,conductance\n0,,1\n", r"line 1: column 'conductance' states no unit: write conductance_nS"),
        ("pulses,direction,weight\n0,,1\n", r"line 1: unknown column 'pulses'; did you mean 'pulse'"),
        ("weight,weight\n0,1\n", r"line 1: weight is given twice, in columns 1 and 2"),
        (
            "device,weight\n0,1\n",
            r"no kind of measurement has the columns device, weight; known, besides device: pulse, direction, weight; ",
        ),
        ("pulse,direction,weight\n0,,a lot\n", r"line 2: weight is no number: 'a lot'"),
        ("pulse;direction;weight\n0;;0,5\n", r"line 2: weight is no number: '0,5'; write a decimal point"),
        ("pulse,direction,weight\n0,,inf\n", r"line 2: weight must be finite: 'inf'"),
        ("pulse,direction,weight\n0,,1\n1,up\n", r"line 3: 2 values, the first line names 3 columns"),
        ("pulse,direction,conductance_uS\n0,,1\n1,up,-2\n", r"line 3: conductance must be at least 0: '-2'"),
        ("pulse,direction,weight\n0,,1\n2,up,1\n1,up,1\n", r"line 4: pulse goes back from 2 to 1: .*; where another device begins, give a"),
        ("device,pulse,direction,weight\na,2,,1\na,1,up,1\n", r"line 3: pulse goes back from 2 to 1: it counts the pulses of a device$"),
        ("pulse,direction,weight\n0,,1\n1,,1\n", r"line 3: direction must be up or down \(also \+1 and -1\): ''"),
        ("pulse,direction,weight\n0,,1\n1,sideways,1\n", r"line 3: direction must be up or down .*: 'sideways'"),
        ("pulse,direction,weight\n0,,1\n1.5,up,1\n", r"line 3: pulse must be a whole number of pulses: 1\.5"),
        ("pulse,direction,weight\n0,,1\n,up,1\n", r"line 3: pulse is missing"),
        ("up,down,weight\n0,0,1\n1,1,1\n", r"line 3: 1 pulses up and 1 down since the row before: give a row after each direction"),
        ("device,pulse,direction,weight\na,0,,1\n,1,up,1\n", r"line 3: names no device"),
        ("device,pulse,direction,weight\na,0,,1\nb,0,,\nb,1,up,\n", r"line 3: device 'b' was never read"),
        ("time_s,conductance_uS\n0,1\n1,1\n", r"line 2: time must be above zero: it counts from programming"),
        ("time_s,conductance_uS\n2,1\n1,1\n", r"line 3: time goes back or stands: 1 s \(device '1', before 2 s\)"),
        ("time_s,conductance_uS\n2,0\n", r"line 2: conductance is 0, which has no logarithm"),
        ("target_uS,measured_uS\n-1,0\n", r"line 2: target must be at least 0: '-1'"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(file(tmp_path, text))


def test_all_problems_are_told_at_once_and_many_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read(file(tmp_path, "pulse,direction,weight\n" + "0,,x\n" * 20))
    assert len(caught.value.problems) == 13
    assert re.search("8 further problems", caught.value.problems[-1])


def test_a_file_that_is_no_text_or_not_there(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00\x80")
    for name in ("b.csv", "absent.csv"):
        with pytest.raises(ConfigError, match="cannot be read"):
            read(tmp_path / name)


def test_arrays_that_are_no_traces_are_refused() -> None:
    with pytest.raises(ConfigError, match="directions are"):
        PulseTraces.of([0, 2], [0.0, 1.0])
    with pytest.raises(ConfigError, match="was never read"):
        PulseTraces.of([0, 1], [np.nan, np.nan])
