"""The preset kit catches presets that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

import itertools
from importlib.metadata import EntryPoint
from typing import Any, ClassVar

import pytest

from ohmlet.interfaces.preset import Preset
from ohmlet.registry import Entry, register, registry
from tests.testing.faults import assert_caught, caught, untested

CALLS = itertools.count()


class Good(Preset):
    """PCM with twice the programming noise."""

    gives: ClassVar[str] = "noise_model"
    source: ClassVar[str] = "Nandakumar et al., ICECS (2019), doi:10.1109/ICECS46596.2019.8964852"
    status: ClassVar[str] = "illustrative"

    def build(self) -> Any:
        return registry("noise_model").get("pcm")(prog_noise_scale=2.0)


class GivesNothing(Good):
    """Says no kind that exists."""

    gives = "noise"


class Guessed(Good):
    """Says no status that exists."""

    status = "guessed"


class Unsourced(Good):
    """Names nothing that can be found."""

    source = "personal communication"


class NoFamily(Good):
    """Says no family that exists."""

    family = "vacuum tube"


class HalfWindow(Good):
    """Says where its window ends and not where it begins."""

    g_max_uS = 25.0  # noqa: N815 - the unit is written so


class TurnedWindow(Good):
    """Says its window the wrong way round."""

    g_min_uS = 25.0  # noqa: N815
    g_max_uS = 5.0  # noqa: N815


class WordsAsPulses(Good):
    """Says its pulses in words alone."""

    write = "1 V"  # type: ignore[assignment]


class NumberAsNote(Good):
    """Says its endurance in a number."""

    endurance = 1e6  # type: ignore[assignment]


class Computed(Good):
    """Works its window out, which a listing that reads the source cannot."""

    g_min_uS = 0.0  # noqa: N815
    g_max_uS = 1 / 0.04  # noqa: N815


class OtherKind(Good):
    """Gives something else than it says."""

    gives = "tile"


class NoConfig(Good):
    """Builds a config that no one can read."""

    gives = "config"

    def build(self) -> Any:
        return {"tile": {"type": "inference", "forwards": {}}}


class Moving(Good):
    """Builds something else at each call."""

    def build(self) -> Any:
        return registry("noise_model").get("pcm")(prog_noise_scale=1.0 + next(CALLS))


class Unregistered(Good):
    """Has no name."""


NAMED = (
    Good,
    GivesNothing,
    Guessed,
    Unsourced,
    NoFamily,
    HalfWindow,
    TurnedWindow,
    WordsAsPulses,
    NumberAsNote,
    OtherKind,
    NoConfig,
    Moving,
)
FAULTS: list[tuple[type[Preset], str, str]] = [
    (GivesNothing, "test_says_what_it_is", r"gives must be one of device, .*config, got 'noise'"),
    (Guessed, "test_says_what_it_is", r"status must be one of measured, .*got 'guessed'"),
    (Unsourced, "test_names_its_source", r"with its DOI, .*got 'personal communication'"),
    (NoFamily, "test_states_the_device_as_measured", r"family must be one of PCM, .*got 'vacuum tube'"),
    (HalfWindow, "test_states_the_device_as_measured", r"must be both None, .*got \(None, 25.0\)"),
    (TurnedWindow, "test_states_the_device_as_measured", r"0 <= g_min_uS < g_max_uS, got \(25.0, 5.0\)"),
    (WordsAsPulses, "test_states_the_device_as_measured", r"write must be None or WritePulses, got '1 V'"),
    (NumberAsNote, "test_states_the_device_as_measured", r"endurance must be text, got 1000000.0"),
    (
        Computed,
        "test_is_listed_as_it_is",
        r"reads window 'not known' from the source, and the class says '0 to 25 uS': write it as a literal",
    ),
    (OtherKind, "test_builds_what_it_says", r"must return a Tile since gives = 'tile', got PCM"),
    (NoConfig, "test_builds_what_it_says", r"unknown key 'forwards', did you mean 'forward'\?"),
    (Moving, "test_builds_what_it_says", r"gave other numbers when called again"),
    (Moving, "test_works_by_name", r"the name 'moving' gives"),
    (Unregistered, "test_works_by_name", r"not registered as a preset: declare it as an entry point in the group ohmlet.preset"),
]


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry("preset"), "_local", {})  # names that leave with the test
    for cls in NAMED:
        register(cls.__name__.lower(), cls)
    target = f"{Computed.__module__}:{Computed.__name__}"
    point = EntryPoint("computed", target, "ohmlet.preset")
    monkeypatch.setitem(registry("preset")._local, "computed", Entry("computed", target, point=point))
    monkeypatch.setitem(registry("preset")._classes, registry("preset")._local["computed"], Computed)


@pytest.mark.parametrize(("cls", "test", "message"), FAULTS, ids=[f"{cls.__name__}-{test}" for cls, test, _ in FAULTS])
def test_fault_is_caught(cls: type[Preset], test: str, message: str) -> None:
    assert_caught("preset", cls(), test, message)


def test_every_test_can_fail() -> None:
    assert not untested("preset", (test for _, test, _ in FAULTS))


def test_without_fault_all_pass() -> None:
    assert not caught("preset", Good())
