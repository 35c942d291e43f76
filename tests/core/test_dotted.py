"""Dotted paths into plain data."""

from __future__ import annotations

from typing import Any

import pytest

from ohmlet.config.dotted import assignment, with_paths
from ohmlet.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tile.forward.adc.bits=6", ("tile.forward.adc.bits", 6)),
        (" seed = 3 ", ("seed", 3)),
        ("mapping.omega=1e-3", ("mapping.omega", 1e-3)),
        ("tile.noise_model=null", ("tile.noise_model", None)),
        ("tile.noise_model=", ("tile.noise_model", None)),
        ("tile=ideal", ("tile", "ideal")),
        ("tile.forward.dac={bits: 8, bound: 1.0}", ("tile.forward.dac", {"bits": 8, "bound": 1.0})),
        ("evaluation.times=[1 s, 1 h]", ("evaluation.times", ["1 s", "1 h"])),
        ("model.type=a=b", ("model.type", "a=b")),
        ("x='0.1'", ("x", "0.1")),
        ("x=true", ("x", True)),
        ("x=inf", ("x", "inf")),
    ],
)
def test_assignment_is_read_as_yaml(text: str, expected: tuple[str, Any]) -> None:
    assert assignment(text) == expected


@pytest.mark.parametrize("text", ["tile.forward.adc.bits", "", "=3", "  =3", "bits 6"])
def test_text_that_is_no_assignment(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^expected path=value, such as tile.forward.adc.bits=6, got '"):
        assignment(text)


@pytest.mark.parametrize("value", ["[1", "{a: 1", "a: b", "*x", "!!python/object:os.system {}", "\tx: [", "1\nvalue: 2", "1\n---\n2"])
def test_value_that_is_no_yaml(value: str) -> None:
    with pytest.raises(ConfigError, match=r"^--set seed: "):
        assignment(f"seed={value}")


@pytest.mark.parametrize(
    ("base", "changes", "expected"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a.b": 3}, {"a": {"b": 3, "c": 2}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({}, {"a.b.c": 1}, {"a": {"b": {"c": 1}}}),
        ({"a": None}, {"a.b": 1}, {"a": {"b": 1}}),
        ({"a": "pcm"}, {"a.scale": 2}, {"a": {"type": "pcm", "scale": 2}}),
        ({"a": {"type": "pcm"}}, {"a.scale": 2, "a.t_0": 1}, {"a": {"type": "pcm", "scale": 2, "t_0": 1}}),
        ({"a": 1}, {"a": {"b": 1}, "a.c": 2}, {"a": {"b": 1, "c": 2}}),
        ({"a": {"b": [1, 2]}}, {"a.b": []}, {"a": {"b": []}}),
    ],
)
def test_values_at_paths_are_replaced(base: dict[str, Any], changes: dict[str, Any], expected: dict[str, Any]) -> None:
    assert with_paths(base, changes) == expected


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("a.b", "'a' has no parts, so 'a.b' cannot be set"),
        ("a.b.c", "'a' has no parts, so 'a.b.c' cannot be set"),
        ("list.0", "'list' has no parts, so 'list.0' cannot be set"),
        ("deep.a.b", "'deep.a' has no parts, so 'deep.a.b' cannot be set"),
    ],
)
def test_path_through_a_value_is_refused(path: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{words}$"):
        with_paths({"a": 1, "list": [1], "deep": {"a": 1.5}}, {path: 2})


@pytest.mark.parametrize("path", [3, None, ("a", "b"), b"a"])
def test_path_that_is_no_text_is_refused(path: Any) -> None:
    with pytest.raises(ConfigError, match=r"^a path is text such as tile.forward.adc.bits, got "):
        with_paths({}, {path: 2})


def test_neither_side_is_changed() -> None:
    base: dict[str, Any] = {"a": {"b": 1}}
    value = {"x": 1}
    with_paths(base, {"a.b": 2, "c": value, "c.x": 3})
    assert base == {"a": {"b": 1}}
    assert value == {"x": 1}
