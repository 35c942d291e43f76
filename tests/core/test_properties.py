"""What holds for every config: files, overrides and mutations of random ones, and random junk."""

from __future__ import annotations

import copy
import functools
import math
import types
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from attrs import fields, has
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from ohmlet.config import files
from ohmlet.config.analog import AnalogConfig
from ohmlet.config.dotted import with_paths
from ohmlet.config.structure import is_interface, plain
from ohmlet.explanation import explain
from ohmlet.registry import registry

from .conftest import refused

# Numbers are drawn from all that a field allows; that a noise is odd is told, and no error.
pytestmark = [
    pytest.mark.filterwarnings("ignore:out_noise .* times the product of one full input:UserWarning"),
    pytest.mark.filterwarnings("ignore:Generating overly large repr:hypothesis.errors.HypothesisWarning"),
]

few = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
many = settings(few, max_examples=200)


def numbers(metadata: Any) -> st.SearchStrategy[Any]:
    """Return numbers within the bounds that a field states."""
    bounds, infinite = metadata.get("bounds", {}), metadata.get("infinite", False)
    low = max((bounds[sign] for sign in (">", ">=") if sign in bounds), default=None)
    high = min((bounds[sign] for sign in ("<", "<=") if sign in bounds), default=None)
    unbounded = infinite and (low is None or high is None)
    return st.floats(low, high, exclude_min=">" in bounds, exclude_max="<" in bounds, allow_nan=False, allow_infinity=unbounded)


def values(annotation: Any, metadata: Any, within: frozenset[Any] = frozenset()) -> st.SearchStrategy[Any]:
    """Return what a field may hold, by its type and its metadata; parts of a kind that are made of the same kind, but once."""
    arms = get_args(annotation) if get_origin(annotation) in {Union, types.UnionType} else (annotation,)
    return st.one_of([st.none() if arm is type(None) else value(arm, metadata, within) for arm in arms])


def holds(cls: Any, kind: str) -> bool:
    """Whether a settings class has a field for parts of a kind."""
    return any(kind == getattr(arm, "kind", None) for hint in get_type_hints(cls).values() for arm in (hint, *get_args(hint)))


def value(kind: Any, metadata: Any, within: frozenset[Any]) -> st.SearchStrategy[Any]:
    if is_interface(kind):
        found = [cls for entry, cls in registry(kind.kind).survey() if isinstance(cls, type) and entry.dist == "ohmlet"]
        found = [cls for cls in found if kind.kind not in within or not holds(cls, kind.kind)]
        return st.one_of([instances(cls, within | {kind.kind}) for cls in found])  # type: ignore[arg-type]
    if isinstance(kind, type) and has(kind):
        return instances(kind, within)
    if get_origin(kind) is Mapping:
        return st.none()  # by names that another field decides on
    if get_origin(kind) is tuple and is_interface(get_args(kind)[0]):
        return st.lists(value(get_args(kind)[0], metadata, within), min_size=1, max_size=3).map(tuple)
    if get_origin(kind) is tuple:
        return st.lists(numbers({**metadata, "infinite": False}), min_size=1, max_size=3).map(tuple)
    if kind is float:
        return numbers(metadata)
    if kind is int:
        return st.integers(metadata["bounds"][">="], metadata["bounds"]["<="])
    if kind is bool:
        return st.booleans()
    return st.sampled_from(metadata.get("choices", ("auto", "reference")))


# What a class may hold is worked out once: kinds nest, and every device would be described in every place of every tile.
@functools.cache
def instances(cls: Any, within: frozenset[Any] = frozenset()) -> st.SearchStrategy[Any]:
    """Return instances of a settings class; values that contradict each other give way to the defaults."""
    hints = get_type_hints(cls)
    stated = {each.name: values(hints[each.name], each.metadata, within) for each in fields(cls) if each.init and each.name != "preset"}

    def made(chosen: dict[str, Any]) -> Any:
        for attempt in (chosen, {}):
            with suppress(ValueError, ArithmeticError):
                return cls(**attempt)
        return None

    return st.fixed_dictionaries({}, optional=stated).map(made).filter(lambda instance: instance is not None)


@pytest.fixture(scope="module")
def configs() -> st.SearchStrategy[AnalogConfig]:
    return instances(AnalogConfig)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4)
WORDS = "type tile mapping inference ideal forward adc bits preset pcm_inference noise_model pcm omega schema"
words = st.sampled_from(WORDS.split())
junk = st.recursive(
    scalars | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(words | st.text(max_size=4), inner, max_size=4)
        | st.dictionaries(scalars, inner, max_size=2)
    ),
    max_leaves=12,
)


def places(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of each value in nested mappings."""
    if path:
        yield path
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from places(inner, (*path, key))


def without_preset_names(value: Any) -> Any:
    return {key: without_preset_names(inner) for key, inner in value.items() if key != "preset"} if isinstance(value, dict) else value


MARKS = [*"{}[]:,-&*!?|>#'\"%@ \n\tab1", "<<: ", "&a ", "*a ", "!!int ", "- ", ": ", "---\n"]


@few
@given(st.data())
def test_config_survives_plain_data(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    config = data.draw(configs)
    assert AnalogConfig.parse(plain(config)) == config


@pytest.mark.parametrize("form", ["yaml", "toml", "json"])
@few
@given(st.data())
def test_config_survives_a_text(configs: st.SearchStrategy[AnalogConfig], form: str, data: st.DataObject) -> None:
    config = data.draw(configs)
    assert AnalogConfig.parse(files.parse(config.dumps(form), form)) == config


@few
@given(st.data())
def test_text_does_not_depend_on_how_a_config_was_made(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    config = data.draw(configs)
    assert AnalogConfig.parse(config.to_plain()).dumps() == config.dumps()


@few
@given(st.data())
def test_equal_configs_have_equal_hashes(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    config = data.draw(configs)
    assert hash(AnalogConfig.parse(plain(config))) == hash(config)


@few
@given(st.data())
def test_every_config_is_explained(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    config = data.draw(configs)
    assert explain(config).startswith("config\n  tile: ")


@few
@given(st.data())
def test_override_with_own_values_changes_nothing(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    config = data.draw(configs)
    base = plain(config)
    path = data.draw(st.sampled_from(list(places(base))))
    own: Any = base
    for key in path:
        own = own[key]
    assert config.override({".".join(path): own}) == config


@few
@given(st.data())
def test_override_replaces_what_it_names_and_nothing_else(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    config, other = data.draw(configs), data.draw(configs)
    name = data.draw(st.sampled_from(["mapping", "tile", "seed", "engine"]))
    pinned, engine = (other if name == "tile" else config).tile.engine, (other if name == "engine" else config).engine
    assume(pinned is None or engine in {"auto", pinned})
    changed = config.override({name: plain(getattr(other, name))})
    for attribute in ("tile", "mapping", "engine", "seed"):
        assert getattr(changed, attribute) == getattr(other if attribute == name else config, attribute)


@many
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), junk, max_size=3),
    st.lists(st.text("abc", min_size=1, max_size=2), min_size=1, max_size=3),
    junk,
)
def test_value_set_at_a_path_is_found_there(base: dict[str, Any], path: list[str], value: Any) -> None:
    before = copy.deepcopy(base)
    changes = {".".join(path): value}
    error = refused(lambda: with_paths(base, changes))
    if error is None:
        at: Any = with_paths(base, changes)
        for key in path:
            at = at[key]
        assert same(at, value)
    else:
        assert "has no parts" in str(error)
    assert same(base, before)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal, NaN included."""
    return repr(left) == repr(right)


@settings(many, max_examples=400)
@given(junk)
def test_junk_is_parsed_or_refused(value: Any) -> None:
    error = refused(lambda: AnalogConfig.parse(value))
    if error is None:
        config = AnalogConfig.parse(value)
        assert AnalogConfig.parse(plain(config)) == config
    else:
        assert error.problems
        assert all("config" in problem and "\n" not in problem and len(problem) < 500 for problem in error.problems)


@many
@given(st.data())
def test_mutated_config_is_parsed_or_refused_with_its_path(configs: st.SearchStrategy[AnalogConfig], data: st.DataObject) -> None:
    base = plain(data.draw(configs))
    path = data.draw(st.sampled_from(list(places(base))))
    at = base
    for key in path[:-1]:
        at = at[key]
    kind = data.draw(st.sampled_from(["replace", "rename", "delete", "add"]))
    if kind in {"rename", "delete"}:
        held = at.pop(path[-1])
    if kind == "rename":
        at[path[-1] + data.draw(st.text(min_size=1, max_size=3))] = held
    if kind == "replace":
        at[path[-1]] = data.draw(junk)
    if kind == "add":
        at[data.draw(st.text(max_size=3))] = data.draw(scalars)
    error = refused(lambda: AnalogConfig.parse(base))
    # What is wrong between two parts is told of the part that has both.
    owner = ".".join(("config", *path[:-1]))
    told = [problem.rpartition(" @ ")[2] for problem in error.problems] if error else [owner]
    assert any(where.startswith(owner) or owner.startswith(f"{where}.") for where in told)


@many
@given(st.text(max_size=60), st.sampled_from(["yaml", "toml", "json"]))
def test_any_text_is_read_or_refused(text: str, form: str) -> None:
    error = refused(lambda: files.parse(text, form))
    assert error is None or str(error).startswith("config: ")


@many
@given(st.lists(st.sampled_from(MARKS), max_size=25).map("".join))
def test_any_yaml_marks_are_read_or_refused(text: str) -> None:
    error = refused(lambda: files.parse(text, "yaml"))
    assert error is None or str(error).startswith("config: ")


@few
@given(
    st.dictionaries(
        st.text(max_size=5),
        st.text(max_size=10) | st.floats(allow_nan=False) | st.integers(-(2**63), 2**63 - 1) | st.booleans(),
        max_size=4,
    )
)
@pytest.mark.parametrize("form", ["yaml", "toml", "json"])
def test_plain_data_survives_a_text(form: str, content: dict[str, Any]) -> None:
    assume(content)
    read = files.parse(files.dumps(content, form), form)
    expected = {
        key: str(value) if form == "json" and isinstance(value, float) and math.isinf(value) else value for key, value in content.items()
    }
    assert read == expected
