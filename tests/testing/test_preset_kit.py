"""The preset kit catches presets that are wrong on purpose, each fault by the test that is there for it."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import pytest

from ohmlet.interfaces.preset import Preset
from ohmlet.registry import register, registry
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


FAULTS: list[tuple[type[Preset], str, str]] = [
    (GivesNothing, "test_says_what_it_is", r"gives must be one of device, .*config, got 'noise'"),
    (Guessed, "test_says_what_it_is", r"status must be one of measured, .*got 'guessed'"),
    (Unsourced, "test_names_its_source", r"with its DOI, .*got 'personal communication'"),
    (OtherKind, "test_builds_what_it_says", r"must return a Tile since gives = 'tile', got PCM"),
    (NoConfig, "test_builds_what_it_says", r"unknown key 'forwards', did you mean 'forward'\?"),
    (Moving, "test_builds_what_it_says", r"gave other numbers when called again"),
    (Moving, "test_works_by_name", r"the name 'moving' gives"),
    (Unregistered, "test_works_by_name", r"not registered as a preset: declare it as an entry point in the group ohmlet.preset"),
]


@pytest.fixture(autouse=True)
def _named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry("preset"), "_local", {})  # names that leave with the test
    for cls in (Good, GivesNothing, Guessed, Unsourced, OtherKind, NoConfig, Moving):
        register(cls.__name__.lower(), cls)


@pytest.mark.parametrize(("cls", "test", "message"), FAULTS, ids=[f"{cls.__name__}-{test}" for cls, test, _ in FAULTS])
def test_fault_is_caught(cls: type[Preset], test: str, message: str) -> None:
    assert_caught("preset", cls(), test, message)


def test_every_test_can_fail() -> None:
    assert not untested("preset", (test for _, test, _ in FAULTS))


def test_without_fault_all_pass() -> None:
    assert not caught("preset", Good())
