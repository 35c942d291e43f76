"""What every spec promises: a frozen value that prints, travels through files and refuses nonsense."""

from __future__ import annotations

import copy
import inspect
import math
import pickle
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import SkipTest

from attrs import Attribute, Factory, evolve, fields, has

from ohmlet.config import files, plain, structure
from ohmlet.errors import ConfigError, PluginError
from ohmlet.registry import registry
from ohmlet.spec import Spec
from ohmlet.testing.expect import expect

__all__ = ["SpecTests"]


def _settings(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a spec and the attrs objects inside it that belong to it, each with its path; parts that are specs are tested as such."""
    yield path, value
    for attribute in fields(type(value)):
        inner = getattr(value, attribute.name)
        if has(type(inner)) and not isinstance(inner, Spec):
            yield from _settings(inner, f"{path}{attribute.name}.")


def _own_fields(spec: Any) -> Iterator[tuple[str, Any, Attribute[Any]]]:
    """Yield (path, the object that holds it, the attribute) of every setting."""
    for path, holder in _settings(spec):
        for attribute in fields(type(holder)):
            if attribute.init and attribute.name != "preset":
                yield f"{path}{attribute.name}", holder, attribute


def _refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except (ValueError, TypeError):  # ConfigError is a ValueError
        return True
    return False


class SpecTests:
    """The part of every kit that concerns the spec as a value; the kits of the kinds inherit it."""

    def test_is_frozen(self, spec: Spec) -> None:
        """No field can be assigned."""
        expect(has(type(spec)), f"{type(spec).__name__} must be decorated with attrs.frozen(kw_only=True)")
        for path, holder in _settings(spec):
            for attribute in fields(type(holder)):
                try:
                    setattr(holder, attribute.name, getattr(holder, attribute.name))
                except AttributeError:
                    continue
                raise AssertionError(
                    f"'{path}{attribute.name}' can be assigned: decorate {type(holder).__name__} with attrs.frozen(kw_only=True)"
                )

    def test_is_a_value(self, spec: Spec) -> None:
        """Two specs with the same settings are equal and hash alike, two with different numbers are not."""
        again = evolve(spec)
        expect(
            again == spec, f"{spec!r} does not equal a copy of itself: leave attrs' equality on, and keep what has none out of the fields"
        )
        try:
            expect(hash(again) == hash(spec), f"{spec!r} and its copy are equal and hash differently: leave attrs' hash on")
        except TypeError as error:
            raise AssertionError(
                f"{type(spec).__name__} cannot be hashed ({error}): use tuples for lists and frozen attrs classes for mappings"
            ) from error

        for path, holder, attribute in _own_fields(spec):
            value, name = getattr(holder, attribute.name), attribute.name
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            for other in {value + 1, value - 1, value / 2 + 0.01} - {value}:
                try:
                    changed = evolve(holder, **{name: other})
                except ValueError:
                    continue
                expect(changed != holder, f"specs whose '{path}' is {value!r} and {other!r} compare equal: leave attrs' equality on")

    def test_copies_and_pickles(self, spec: Spec) -> None:
        """Deep copies and pickles are equal to the spec."""
        expect(copy.deepcopy(spec) == spec, f"a deep copy of {spec!r} differs from it")
        expect(pickle.loads(pickle.dumps(spec)) == spec, f"a pickle of {spec!r} comes back different")

    def test_holds_plain_values(self, spec: Spec) -> None:
        """Fields hold numbers, text, tuples and parts; tensors live in the modules that tiles build."""

        def wrong(value: Any) -> Iterator[str]:
            if isinstance(value, tuple):
                for inner in value:
                    yield from wrong(inner)
            elif not (value is None or isinstance(value, bool | int | float | str) or has(type(value))):
                yield type(value).__name__

        for path, holder, attribute in _own_fields(spec):
            for name in wrong(getattr(holder, attribute.name)):
                raise AssertionError(
                    f"'{path}' holds a {name}: a spec holds numbers, text, tuples and parts, which a config file can state"
                )

    def test_numbers_are_checked(self, spec: Spec) -> None:
        """NaN is refused by every number."""
        for path, holder, attribute in _own_fields(spec):
            value = getattr(holder, attribute.name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                name = attribute.name
                expect(
                    _refused(lambda holder=holder, name=name: evolve(holder, **{name: math.nan})),  # type: ignore[misc]
                    f"'{path}' takes NaN: declare it with ohmlet.spec.number or ohmlet.spec.integer, which state its bounds, too",
                )

    def test_none_is_a_default(self, spec: Spec) -> None:
        """A setting that may be None is None unless given, since TOML cannot say None."""
        for path, holder, attribute in _own_fields(spec):
            name = attribute.name
            if _refused(lambda holder=holder, name=name: evolve(holder, **{name: None})):  # type: ignore[misc]
                continue
            default: Any = attribute.default
            if isinstance(default, Factory) and not default.takes_self:  # type: ignore[arg-type]
                default = default.factory()
            expect(
                default is None,
                f"'{path}' takes None and defaults to {default!r}: a TOML file has no None, so make it the default or refuse it",
            )

    def test_fields_are_documented(self, spec: Spec) -> None:
        """Every setting says what it is, and every number its unit."""
        for path, holder, attribute in _own_fields(spec):
            remedy = "declare it with number, integer, boolean, one_of (ohmlet.spec) or part (ohmlet.config)"
            expect(bool(attribute.metadata.get("doc")), f"'{path}' says nothing about itself: {remedy}")
            value = getattr(holder, attribute.name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            expect(not number or bool(attribute.metadata.get("unit")), f"'{path}' has no unit: {remedy}")

    def test_class_is_documented(self, spec: Spec) -> None:
        """The class docstring opens with one sentence, which lists and reports show."""
        first = inspect.cleandoc(vars(type(spec)).get("__doc__") or "").partition("\n")[0]
        expect(first.endswith("."), f"the docstring of {type(spec).__name__} must open with one sentence on one line, got {first!r}")

    def test_equations_are_lines(self, spec: Spec) -> None:
        """`equations()` returns a tuple of non-empty lines."""
        lines = spec.equations()
        good = isinstance(lines, tuple) and all(isinstance(line, str) and line.strip() and "\n" not in line for line in lines)
        expect(good, f"equations() must return a tuple of non-empty lines, got {lines!r}")

    def test_round_trips_through_plain_data(self, spec: Spec) -> None:
        """The spec comes back from the mapping that a config would hold."""
        data = plain(spec, tagged=False)
        expect(structure(data, type(spec)) == spec, f"{spec!r} does not come back from {data!r}: annotate every field with its type")

    def test_round_trips_through_files(self, spec: Spec) -> None:
        """The spec comes back from YAML, TOML and JSON."""
        for form in ("yaml", "toml", "json"):
            # Under a key, since an empty file is none, and a spec may have no settings.
            text = files.dumps({"part": plain(spec, tagged=False)}, form)
            again = structure(files.parse(text, form)["part"], type(spec))
            expect(again == spec, f"{spec!r} comes back from {form.upper()} as {again!r}; the file reads\n{text}")

    def test_round_trips_by_name(self, spec: Spec) -> None:
        """The registered name gives this class, and `type: name` beside the settings gives the spec."""
        known = registry(spec.kind)
        try:
            name = known.name_of(type(spec))
        except PluginError as error:
            raise SkipTest(str(error)) from error
        expect(known.get(name) is type(spec), f"the name '{name}' gives {known.get(name)!r} instead of {type(spec)!r}")
        again: Spec = structure(plain(spec), known.base())
        expect(again == spec, f"{spec!r} comes back as {again!r} from {plain(spec)!r}")

    def test_refuses_unknown_keys_and_text(self, spec: Spec) -> None:
        """A misspelled key and a quoted number in a config are errors."""
        data: Mapping[str, Any] = plain(spec, tagged=False)
        wrong: list[tuple[str, Any]] = [("no_such_setting", 1)]
        wrong += [(name, str(value)) for name, value in data.items() if isinstance(value, int | float) and not isinstance(value, bool)]
        for name, value in wrong:
            try:
                structure({**data, name: value}, type(spec))
            except ConfigError as error:
                expect(name in str(error), f"the error about '{name}' does not name it: {error}")
            else:
                raise AssertionError(
                    f"a config may say {name}: {value!r}: decorate with attrs.frozen and annotate numbers with float or int"
                )
