"""Times as people write them."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ohmlet.errors import ConfigError
from ohmlet.units import seconds, spoken

from .conftest import refused

SPELLINGS = {
    1e-6: ["1 us", "1us", "1 µs", "1 μs", "1 microsecond", "1000e-9 s"],
    1e-3: ["1 ms", "1 millisecond", "1e-3", "0.001 s"],
    1.0: ["1", "1.", "1 s", "1 sec", "1 second", "1e0 seconds", " 1  s ", "+1 s"],
    60.0: ["1 min", "1 m", "1 minute", "60 secs", "1 MINUTE"],
    3600.0: ["1 h", "1 hr", "1 hour", "1 Hour", "60 mins", "60 minutes", "3.6e3"],
    86400.0: ["1 d", "1 day", "24 hours", "24 hrs"],
    604800.0: ["1 w", "1 week", "7 days"],
    2592000.0: ["1 month", "30 days"],
    31536000.0: ["1 y", "1 yr", "1 year", "365 days"],
    0.0: ["0", "0 s", "0 years", "-0 s"],
}


@pytest.mark.parametrize(("words", "expected"), [(words, expected) for expected, spellings in SPELLINGS.items() for words in spellings])
def test_words_are_seconds(words: str, expected: float) -> None:
    assert seconds(words) == pytest.approx(expected, rel=1e-15)


@pytest.mark.parametrize("number", [0, 1, 3600, 1.5, 0.0])
def test_numbers_are_seconds(number: float) -> None:
    assert seconds(number) == number


@pytest.mark.parametrize("time", [-0.0, "-0 s"])
def test_zero_has_no_sign(time: float | str) -> None:
    assert math.copysign(1.0, seconds(time)) == 1.0


@pytest.mark.parametrize(
    "words", ["", "s", "soon", "1 fortnight", "1 h 30 min", "1,5 h", "1 Ms", "1 M", "1 ss", "1 mss", "nan", "inf", "0x1 s", "1 h\n2"]
)
def test_text_that_is_no_time(words: str) -> None:
    with pytest.raises(ConfigError, match=r"^not a time: .*; write seconds as a number, or a number and a unit \(us, ms, s, min, h, "):
        seconds(words)


@pytest.mark.parametrize("words", ["1.2.3 s", ". s", "..", "1..2"])
def test_number_with_two_points(words: str) -> None:
    with pytest.raises(ConfigError, match=r"^not a time: .*; '[.0-9]+' is no number$"):
        seconds(words)


@pytest.mark.parametrize("time", [True, None, [1], {"h": 1}, 1j, b"1 h"])
def test_value_that_is_no_time(time: Any) -> None:
    with pytest.raises(ConfigError, match=r"^not a time: .*; write seconds as a number"):
        seconds(time)


@pytest.mark.parametrize(
    "time",
    [-1, -1e-9, "-1 h", math.nan, math.inf, -math.inf, 10**400, -(10**400), pytest.param(10**5000, id="huge"), "1e400 s", "1e308 years"],
)
def test_time_that_never_comes(time: Any) -> None:
    with pytest.raises(ConfigError, match=r"^a time must be finite and not negative: "):
        seconds(time)


def test_long_text_is_quoted_in_part() -> None:
    with pytest.raises(ConfigError, match=r"^not a time: 'x{79}\.\.\. \(str\); ") as caught:
        seconds("x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("time_s", "words"),
    [
        (0.0, "0 s"),
        (1e-6, "1 us"),
        (0.25, "250 ms"),
        (1.0, "1 s"),
        (90.0, "90 s"),
        (60.0, "1 min"),
        (3600.0, "1 h"),
        (86400.0, "1 day"),
        (172800.0, "2 days"),
        (604800.0, "1 week"),
        (2592000.0, "1 month"),
        (31536000.0, "1 year"),
        (315360000.0, "10 years"),
        (1e-9, "1e-09 s"),
    ],
)
def test_seconds_are_spoken_in_their_largest_whole_unit(time_s: float, words: str) -> None:
    assert spoken(time_s) == words


@given(st.floats(0.0, 1e12))
def test_spoken_times_are_read_back(time_s: float) -> None:
    assert seconds(spoken(time_s)) == pytest.approx(time_s, rel=1e-5)


@given(st.text())
def test_any_text_is_a_time_or_refused(text: str) -> None:
    error = refused(lambda: seconds(text))
    assert error is None or "\n" not in str(error)
