"""Plain data to specs and back: parts by name, strict scalars, presets of parts, every problem at once."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any, cast

import pytest
from attrs import evolve, field, frozen

from ohmlet.config.structure import merged, part, plain, structure
from ohmlet.errors import ConfigError
from ohmlet.interfaces.noise_model import NoiseModel

from . import plugins
from .conftest import problems
from .plugins import Burst, Quiet, Steady

Register = Callable[[str, type], type]


@frozen(kw_only=True)
class Scalars:
    """One field of each type."""

    real: float = 0.0
    whole: int = 0
    switch: bool = False
    text: str = ""
    optional: float | None = None
    time: float | str = 0.0
    table: tuple[float, ...] = ()


@pytest.fixture
def quiet(register: Register) -> Register:
    register("quiet", Quiet)
    return register


def model(value: Any) -> Any:
    return structure(value, NoiseModel, "config.tile.noise_model")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("real", 1, 1.0),
        ("real", 2.5, 2.5),
        ("real", "inf", math.inf),
        ("real", "-inf", -math.inf),
        ("real", math.inf, math.inf),
        ("whole", -3, -3),
        ("switch", True, True),
        ("text", "0.1", "0.1"),
        ("optional", None, None),
        ("optional", 3, 3.0),
        ("time", "1 h", "1 h"),
        ("time", 60, 60.0),
        ("table", [1, 2.5], (1.0, 2.5)),
        ("table", (), ()),
    ],
)
def test_scalar_is_taken(name: str, value: Any, expected: Any) -> None:
    taken = getattr(structure({name: value}, Scalars), name)
    assert taken == expected
    assert type(taken) is type(expected)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("real", "0.1", "expected a number, got '0.1'; write it without quotes"),
        ("real", "1e-3", "expected a number, got '1e-3'; write it without quotes"),
        ("real", "abc", "expected a number, got 'abc'"),
        ("real", "nan", "expected a number, got 'nan'; write it without quotes"),
        ("real", True, "expected a number, got True"),
        ("real", None, "expected a number, got None"),
        ("real", [1.0], "expected a number, got [1.0]"),
        ("real", math.nan, "expected a number, got nan"),
        ("real", 10**400, "expected a number, got one beyond 1e308"),
        ("real", datetime.date(2001, 1, 1), "expected a number, got datetime.date(2001, 1, 1)"),
        ("whole", 2.7, "expected a whole number, got 2.7"),
        ("whole", 2.0, "expected a whole number, got 2.0"),
        ("whole", "2", "expected a whole number, got '2'"),
        ("whole", True, "expected a whole number, got True"),
        ("whole", math.nan, "expected a whole number, got nan"),
        ("switch", "false", "expected true or false, got 'false'"),
        ("switch", 0, "expected true or false, got 0"),
        ("switch", None, "expected true or false, got None"),
        ("text", 3, "expected text, got 3"),
        ("text", None, "expected text, got None"),
        ("text", True, "expected text, got True"),
        ("text", b"x", "expected text, got b'x'"),
        ("optional", "1", "expected a number, got '1'; write it without quotes"),
        ("time", True, "expected a number, got True"),
        ("time", None, "expected a number, got None"),
        ("table", "0.1", "expected a list, got '0.1'"),
        ("table", 0.1, "expected a list, got 0.1"),
        ("table", {"a": 1}, "expected a list, got {'a': 1}"),
        ("table", None, "expected a list, got None"),
        (
            "text",
            list(range(1000)),
            "expected text, got [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 2... (list)",
        ),
    ],
)
def test_scalar_of_the_wrong_type_is_refused(name: str, value: Any, words: str) -> None:
    assert problems(lambda: structure({name: value}, Scalars)) == [f"{words} @ config.{name}"]


def test_unknown_key_brings_up_the_nearest() -> None:
    assert problems(lambda: structure({"hole": 1}, Scalars)) == ["unknown key 'hole', did you mean 'whole'? @ config"]


def test_unknown_key_like_no_other_brings_up_all() -> None:
    words = "unknown key 'zzz', known: optional, real, switch, table, text, time, whole @ config"
    assert problems(lambda: structure({"zzz": 1}, Scalars)) == [words]


@pytest.mark.parametrize("key", [3, None, ("a", 1), math.nan, pytest.param(10**5000, id="huge")])
def test_key_that_is_no_text_is_refused(key: Any) -> None:
    with pytest.raises(ConfigError, match=r"^unknown key .*, known: optional, real"):
        structure({key: 1}, Scalars)


def test_many_unknown_keys_are_counted() -> None:
    told = problems(lambda: structure({f"k{number:03}": 1 for number in range(1000)}, Scalars))
    assert len(told) == 9
    assert told[-1] == "992 further unknown keys @ config"


def test_all_problems_come_at_once() -> None:
    told = problems(lambda: structure({"real": "x", "whole": 1.5, "switch": 1, "texd": ""}, Scalars))
    assert told == [
        "expected a number, got 'x' @ config.real",
        "expected a whole number, got 1.5 @ config.whole",
        "expected true or false, got 1 @ config.switch",
        "unknown key 'texd', did you mean 'text'? @ config",
    ]


@pytest.mark.parametrize("value", [None, 3, "x", [1], [("real", 1.0)], True])
def test_settings_are_a_mapping(value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^expected a mapping \(real, whole, switch, text, optional, time, table\), got .* @ config$"):
        structure(value, Scalars)


def test_wrong_number_in_a_list_has_its_place() -> None:
    told = problems(lambda: structure({"table": [1.0, "x", 2.0, True]}, Scalars))
    assert told == ["expected a number, got 'x' @ config.table[1]", "expected a number, got True @ config.table[3]"]


def test_many_problems_are_counted() -> None:
    told = problems(lambda: structure({"table": ["x"] * 1000}, Scalars))
    assert len(told) == 41
    assert told[-1] == "960 further problems @ config"


def test_missing_key_is_named() -> None:
    @frozen(kw_only=True)
    class Needs:
        size: float

    assert problems(lambda: structure({}, Needs)) == ["missing key 'size' @ config.size"]


def test_object_is_taken_as_it_is() -> None:
    scalars = Scalars(real=1.0)
    assert structure(scalars, Scalars) is scalars


@pytest.mark.parametrize("path", ["mine.yaml", "a/b.json"])
def test_path_of_a_file_is_set_off(path: str) -> None:
    assert problems(lambda: structure({"real": "x"}, Scalars, path)) == [f"expected a number, got 'x' @ {path}: real"]


def test_path_with_an_at_sign_is_kept() -> None:
    assert problems(lambda: structure({"real": "x"}, Scalars, "my @ file.yaml")) == ["expected a number, got 'x' @ my @ file.yaml: real"]


@pytest.mark.parametrize(
    "value", ["quiet", {"type": "quiet"}, {"type": "quiet", "sigma": 0.5}, Quiet(), {"type": "quiet", "shape": "steady"}]
)
def test_part_is_a_name_a_mapping_or_an_object(quiet: Register, value: Any) -> None:
    assert model(value) == Quiet()


def test_part_by_name_and_distribution() -> None:
    assert model("ohmlet:pcm") == model("pcm")


@pytest.mark.parametrize("value", [None, 3, {}, {"sigma": 1}, {"type": 3}, {"type": None}, ["quiet"], True])
def test_part_without_a_type(quiet: Register, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^expected a noise_model name or a mapping with 'type', got .* @ config.tile.noise_model$"):
        model(value)


def test_unknown_part_brings_up_the_nearest(quiet: Register) -> None:
    assert problems(lambda: model("quite")) == ["unknown noise_model 'quite'; did you mean 'quiet'? @ config.tile.noise_model"]


def test_unknown_part_stays_on_one_line(quiet: Register) -> None:
    (problem,) = problems(lambda: model("a\nb"))
    assert problem.startswith(r"unknown noise_model 'a\nb'; known: ")


def test_part_of_another_kind_is_refused(quiet: Register) -> None:
    with pytest.raises(ConfigError, match="unknown noise_model 'inference'"):
        model("inference")


def test_object_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a noise_model name or a mapping with 'type', got Burst"):
        model(Burst())


def test_problems_of_nested_parts_have_their_path(quiet: Register) -> None:
    told = problems(lambda: model({"type": "quiet", "inner": {"type": "quiet", "shape": {"type": "burst", "length": 0}, "sigma": "1"}}))
    assert told == [
        "expected a number, got '1'; write it without quotes @ config.tile.noise_model.inner.sigma",
        "'length' must be >= 1: 0 @ config.tile.noise_model.inner.shape",
    ]


@pytest.mark.parametrize(
    ("value", "expected"), [("burst", Burst()), ({"type": "burst", "length": 5}, Burst(length=5)), (Steady(), Steady())]
)
def test_family_is_told_apart_by_type(quiet: Register, value: Any, expected: Any) -> None:
    assert model({"type": "quiet", "shape": value}).shape == expected


def test_unknown_member_of_a_family_brings_up_the_nearest(quiet: Register) -> None:
    told = problems(lambda: model({"type": "quiet", "shape": "bust"}))
    assert told == ["unknown type 'bust'; did you mean 'burst'? @ config.tile.noise_model.shape"]


@pytest.mark.parametrize("value", [None, 3, {}, {"length": 3}])
def test_family_without_a_type(quiet: Register, value: Any) -> None:
    with pytest.raises(ConfigError, match=r"^expected a burst / steady name or a mapping with 'type', got .*\.shape$"):
        model({"type": "quiet", "shape": value})


def test_optional_family_may_be_left_out(quiet: Register) -> None:
    assert model({"type": "quiet", "maybe": None}).maybe is None
    assert model({"type": "quiet", "maybe": "burst"}).maybe == Burst()


@pytest.mark.parametrize("name", ["mild", {"type": "mild"}])
def test_preset_stands_for_its_part(quiet: Register, name: Any) -> None:
    quiet("mild", plugins.Mild)
    assert model(name) == Quiet(sigma=0.25, shape=Burst(length=7))


def test_preset_may_be_plain_data(quiet: Register) -> None:
    quiet("mild", plugins.MildMapping)
    assert model({"type": "mild", "clipped": False}) == Quiet(sigma=0.125, clipped=False)


def test_fields_beside_a_preset_replace_its_own(quiet: Register) -> None:
    quiet("mild", plugins.Mild)
    assert model({"type": "mild", "clipped": False}) == Quiet(sigma=0.25, clipped=False, shape=Burst(length=7))


def test_fields_beside_a_preset_reach_into_its_parts(quiet: Register) -> None:
    quiet("mild", plugins.Mild)
    assert model({"type": "mild", "shape": {"type": "burst", "length": 9}}).shape == Burst(length=9)
    assert model({"type": "mild", "shape": {"length": 9}}).shape == Burst(length=9)
    assert model({"type": "mild", "shape": "steady"}).shape == Steady()


def test_dump_of_a_preset_is_expanded_and_names_it(quiet: Register) -> None:
    quiet("mild", plugins.Mild)
    assert plain(model({"type": "mild", "clipped": False})) == {
        "type": "quiet",
        "preset": "mild",
        "sigma": 0.25,
        "limit": math.inf,
        "clipped": False,
        "shape": {"type": "burst", "length": 7},
        "maybe": None,
        "inner": None,
    }


def test_dump_of_a_preset_needs_the_preset_no_more(quiet: Register) -> None:
    assert model({**plain(Quiet(sigma=0.25)), "preset": "gone"}) == Quiet(sigma=0.25)


def test_unknown_key_beside_a_preset_is_refused(quiet: Register) -> None:
    quiet("mild", plugins.Mild)
    assert problems(lambda: model({"type": "mild", "sigm": 1})) == ["unknown key 'sigm', did you mean 'sigma'? @ config.tile.noise_model"]


def test_name_of_a_plugin_and_a_preset_is_refused(quiet: Register) -> None:
    quiet("quiet_too", Quiet)
    quiet("quiet_too", plugins.Mild)
    with pytest.raises(ConfigError, match="'quiet_too' is both a noise_model and a preset; name its distribution, or rename the preset"):
        model("quiet_too")


def test_distribution_settles_a_name_of_a_plugin_and_a_preset(quiet: Register) -> None:
    quiet("pcm_copy", plugins.Mild)
    assert model("ohmlet:pcm").kind == "noise_model"


def test_preset_of_another_kind_hides_nothing(quiet: Register) -> None:
    quiet("twice", plugins.Whole)
    quiet("twice", Quiet)
    assert model("twice") == Quiet()


def test_preset_of_another_kind_is_no_part(quiet: Register) -> None:
    quiet("whole", plugins.Whole)
    with pytest.raises(ConfigError, match="unknown noise_model 'whole'"):
        model("whole")


def test_failing_preset_is_told_with_its_reason(register: Register) -> None:
    register("failing", plugins.Failing)
    with pytest.raises(
        ConfigError, match=r"^preset 'failing' from this process \(.*\) failed to build: KeyError: 'missing' @ config.tile.noise_model$"
    ):
        model("failing")


def test_circular_preset_ends(register: Register) -> None:
    register("circular", plugins.Circular)
    with pytest.raises(ConfigError, match="nested too deeply"):
        model("circular")


def test_plugin_with_an_unreadable_field_is_named(register: Register) -> None:
    register("unreadable", plugins.Unreadable)
    with pytest.raises(
        ConfigError, match=r"^noise_model 'unreadable' has fields that no config can hold: NameError: name 'Sequence' is not defined @"
    ):
        model("unreadable")


def test_plain_data_is_built_of_mappings_lists_and_scalars(quiet: Register) -> None:
    assert plain({"a": (1, 2.0), "b": [Burst()], "c": "text"}) == {"a": [1, 2.0], "b": [{"type": "burst", "length": 3}], "c": "text"}


def test_plain_data_of_an_unregistered_class_says_what_to_do() -> None:
    with pytest.raises(LookupError, match=r"Quiet is not registered as a noise_model: .* or call ohmlet.register\(name, Quiet\)"):
        plain(Quiet())


def test_plain_data_makes_the_same_spec(quiet: Register) -> None:
    spec = Quiet(sigma=1.5, shape=Burst(length=2), maybe=Burst(), inner=Quiet(clipped=False))
    assert model(plain(spec)) == spec


def test_part_in_python_takes_names_too(quiet: Register) -> None:
    assert Quiet(**cast("Any", {"inner": "quiet", "shape": "burst"})) == Quiet(inner=Quiet(), shape=Burst())


def test_wrong_part_in_python_is_named_by_its_field() -> None:
    assert problems(lambda: Quiet(shape=cast("Any", {"type": "burst", "length": "x"}))) == [
        "expected a whole number, got 'x' @ shape.length"
    ]


def test_changed_copy_is_checked(quiet: Register) -> None:
    with pytest.raises(ConfigError, match="unknown type 'loud'"):
        evolve(Quiet(), shape=cast("Any", "loud"))


def test_part_without_a_default_is_required() -> None:
    @frozen(kw_only=True)
    class Needs:
        shape: Burst | Steady = part(Burst | Steady, "shape")

    with pytest.raises(TypeError, match="missing 1 required keyword-only argument: 'shape'"):
        Needs()


@pytest.mark.parametrize(
    ("base", "over", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 3}, {"a": 1, "b": 3}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}}, {"a": {"x": 1, "y": 3}}),
        ({"a": {"type": "t", "x": 1}}, {"a": {"type": "t", "y": 2}}, {"a": {"type": "t", "x": 1, "y": 2}}),
        ({"a": {"type": "t", "x": 1}}, {"a": {"y": 2}}, {"a": {"type": "t", "x": 1, "y": 2}}),
        ({"a": {"type": "t", "x": 1}}, {"a": {"type": "u", "y": 2}}, {"a": {"type": "u", "y": 2}}),
        ({"a": {"type": "t", "x": 1}}, {"a": "t"}, {"a": {"type": "t", "x": 1}}),
        ({"a": {"type": "t", "x": 1}}, {"a": "u"}, {"a": {"type": "u"}}),
        ({"a": "t"}, {"a": {"x": 1}}, {"a": {"type": "t", "x": 1}}),
        ({"a": "t"}, {"a": {"type": "u", "x": 1}}, {"a": {"type": "u", "x": 1}}),
        ({"a": "t"}, {"a": "u"}, {"a": "u"}),
        ({"a": {"x": 1}}, {"a": None}, {"a": None}),
        ({"a": None}, {"a": {"x": 1}}, {"a": {"x": 1}}),
    ],
)
def test_merging_goes_by_type(base: dict[str, Any], over: dict[str, Any], expected: dict[str, Any]) -> None:
    assert merged(base, over) == expected


def test_merging_changes_neither() -> None:
    base, over = {"a": {"x": 1}}, {"a": {"y": 2}}
    merged(base, over)
    assert (base, over) == ({"a": {"x": 1}}, {"a": {"y": 2}})


def test_error_of_several_lines_is_several_problems() -> None:
    def check(_: object, __: object, value: object) -> None:
        raise ConfigError("first", "second")

    @frozen(kw_only=True)
    class Strict:
        size: float = field(default=1.0, validator=check)

    assert problems(lambda: structure({}, Strict)) == ["first @ config", "second @ config"]
