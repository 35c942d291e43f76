"""Catching faults: what a kit says of a plugin that is wrong on purpose."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from ohmlet.testing import SpecTests, kit_tests, run_kit

COMMON = {name for name in vars(SpecTests) if name.startswith("test_")}
"""Tests that the kits of all kinds of specs share; their faults are in test_spec_kit.py."""


def caught(kind: str, spec: Any) -> dict[str, str]:
    """Return the message of each test that fails."""
    return {result.name: result.message for result in run_kit(kind, spec) if not result.passed}


def assert_caught(kind: str, spec: Any, test: str, message: str) -> None:
    found = caught(kind, spec)
    assert test in found, f"{test} lets {spec!r} pass; failed: {sorted(found)}"
    assert re.search(message, found[test]), found[test]


def untested(kind: str, tests: Iterable[str]) -> set[str]:
    """Return the kit's own tests for which there is no fault: nobody knows that they can fail."""
    return set(kit_tests(kind)) - COMMON - set(tests)
