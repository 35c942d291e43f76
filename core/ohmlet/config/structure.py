"""Plain data to specs and back: parts by name or mapping, strict scalars, every problem at once with its path."""

from __future__ import annotations

import contextlib
import functools
import math
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from attrs import NOTHING, Attribute, field, fields, has
from attrs import Converter as AttrsConverter
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.errors import ForbiddenExtraKeysError

from ohmlet.config.files import FORMATS
from ohmlet.errors import ConfigError, OhmletError, PluginError, shortened
from ohmlet.registry import did_you_mean, registry
from ohmlet.spec import Spec

__all__ = ["merged", "part", "plain", "shortened", "structure"]

T = TypeVar("T")

MOST_KEYS = 8
"""Unknown keys told one by one; more are counted."""
MOST_PROBLEMS = 40


def is_interface(cls: Any) -> bool:
    """Whether a class is the interface of a kind (it states the kind itself) rather than one of its plugins."""
    return isinstance(cls, type) and issubclass(cls, Spec) and cls is not Spec and "kind" in vars(cls)


def is_family(annotation: Any) -> bool:
    """Whether an annotation is a union of settings that `type` tells apart by their `type_name`."""
    if get_origin(annotation) not in {Union, types.UnionType}:
        return False
    members = [arm for arm in get_args(annotation) if arm is not type(None)]
    return bool(members) and all(hasattr(arm, "type_name") for arm in members)


def is_listed(annotation: Any) -> bool:
    """Whether an annotation is a tuple of any length, which configs write as a list."""
    origin: Any = get_origin(annotation)
    return origin is tuple and get_args(annotation)[1:] == (...,)


def is_named(annotation: Any) -> bool:
    """Whether an annotation is a mapping from names, which configs write as one."""
    origin: Any = get_origin(annotation)
    return origin is Mapping


def _number(value: Any, _: Any) -> float:
    if isinstance(value, str) and value in {"inf", "-inf"}:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = ""
        if isinstance(value, str):
            try:
                float(value)
                hint = "; write it without quotes"
            except ValueError:
                pass
        raise TypeError(f"expected a number, got {shortened(value)}{hint}")
    try:
        number = float(value)
    except OverflowError:
        raise TypeError("expected a number, got one beyond 1e308") from None
    if math.isnan(number):
        raise TypeError("expected a number, got nan")
    return number


def _number_or_text(value: Any, _: Any) -> float | str:
    return value if isinstance(value, str) else _number(value, _)


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {words}, got {shortened(value)}")
        return value

    return check


def _tagged(value: Any, words: str) -> tuple[str, dict[str, Any]]:
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, Mapping) or not isinstance(value.get("type"), str):
        raise TypeError(f"expected a {words} name or a mapping with 'type', got {shortened(value)}")
    rest = dict(value)
    return rest.pop("type"), rest


def _by_name(interface: type[Spec]) -> Callable[[Any, Any], Any]:
    def hook(value: Any, _: Any) -> Any:
        if isinstance(value, interface):
            return value
        default = getattr(interface, "assumed_type", None)
        if default is not None and isinstance(value, Mapping) and "type" not in value:
            value = {"type": default, **value}
        name, rest = _tagged(value, interface.kind)
        known = registry(interface.kind)
        given = preset_of(name, interface.kind) if name in registry("preset") else None
        if given is not None and name in known:
            raise TypeError(f"'{name}' is both a {interface.kind} and a preset; name its distribution, or rename the preset")
        if given is not None:
            spec = converter().structure(given, interface)
            return _filled(type(spec), {**merged(plain(spec, tagged=False), rest), "preset": name}, f"{interface.kind} '{name}'")
        if name not in known:
            names = [*known.entries(), *presets_giving(interface.kind)]
            raise TypeError(f"unknown {interface.kind} {shortened(name)}; {did_you_mean(name.rpartition(':')[2], names)}")
        return _filled(known.get(name), rest, f"{interface.kind} '{name}'")

    return hook


def _filled(cls: type[Spec], values: Mapping[str, Any], words: str) -> Any:
    try:
        hook = converter().get_structure_hook(cls)
    except Exception as error:  # the author's annotations, such as a name imported for type checking only
        raise PluginError(f"{words} has fields that no config can hold: {type(error).__name__}: {error}") from error
    return hook(values, cls)


def preset_of(name: str, kind: str) -> Any:
    """Return what the preset of a name builds when it gives a spec of this kind, else None; raises PluginError when it fails."""
    preset = registry("preset").get(name)
    try:
        return preset().build() if preset.gives == kind else None
    except Exception as error:
        raise PluginError(
            f"preset '{name}' from {registry('preset').find(name)} failed to build: {type(error).__name__}: {error}"
        ) from error


def presets_giving(kind: str) -> list[str]:
    """Return the names of the presets that fit where a spec of this kind is expected, those that cannot be imported left out."""
    names = []
    for name in registry("preset").entries():
        with contextlib.suppress(Exception):  # a stranger's preset that fails is told where it is named, not here
            if registry("preset").get(name).gives == kind:
                names.append(name)
    return names


def _by_type_name(annotation: Any) -> Callable[[Any, Any], Any]:
    members = {arm.type_name: arm for arm in get_args(annotation) if arm is not type(None)}
    optional = type(None) in get_args(annotation)

    def hook(value: Any, _: Any) -> Any:
        if (value is None and optional) or isinstance(value, tuple(members.values())):
            return value
        name, rest = _tagged(value, " / ".join(members))
        if name not in members:
            raise TypeError(f"unknown type '{name}'; {did_you_mean(name, members)}")
        return converter().structure(rest, members[name])

    return hook


@functools.cache
def converter() -> Converter:
    """Return the one converter of Ohmlet."""
    made = Converter(forbid_extra_keys=True)
    made.register_structure_hook(float, _number)
    made.register_structure_hook(int, _exactly(int, "a whole number"))
    made.register_structure_hook(bool, _exactly(bool, "true or false"))
    made.register_structure_hook(str, _exactly(str, "text"))

    def mapping_only(cls: Any) -> Callable[[Any, Any], Any]:
        from cattrs.gen import make_dict_structure_fn

        inner = make_dict_structure_fn(cls, made, _cattrs_forbid_extra_keys=True)

        def hook(value: Any, cl: Any) -> Any:
            if isinstance(value, cls):
                return value
            if hasattr(cls, "prepare_plain"):
                value = cls.prepare_plain(value)
            if not isinstance(value, Mapping):
                raise TypeError(f"expected a mapping ({', '.join(known_fields(cls))}), got {shortened(value)}")
            return inner(value, cl)

        return hook

    made.register_structure_hook_factory(lambda cls: isinstance(cls, type) and has(cls), mapping_only)
    made.register_structure_hook_func(
        lambda annotation: get_origin(annotation) in {Union, types.UnionType} and set(get_args(annotation)) == {float, str}, _number_or_text
    )

    def listed(annotation: Any) -> Callable[[Any, Any], Any]:
        inner = made.get_structure_hook(list[get_args(annotation)[0]])  # type: ignore[misc]

        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, list | tuple):
                raise TypeError(f"expected a list, got {shortened(value)}")
            return tuple(inner(value, list))

        return hook

    def named(annotation: Any) -> Callable[[Any, Any], Any]:
        inner = made.get_structure_hook(dict[get_args(annotation)])  # type: ignore[misc]

        def hook(value: Any, _: Any) -> Any:
            if not isinstance(value, Mapping):
                raise TypeError(f"expected a mapping from names, got {shortened(value)}")
            return inner(dict(value), dict[get_args(annotation)])  # type: ignore[misc]

        return hook

    made.register_structure_hook_factory(is_named, named)
    made.register_structure_hook_factory(is_listed, listed)
    made.register_structure_hook_factory(is_interface, _by_name)
    made.register_structure_hook_factory(is_family, _by_type_name)
    return made


def known_fields(cls: type) -> list[str]:
    """Return the field names of an attrs class as configs show them."""
    return [attribute.name for attribute in fields(cls) if attribute.name != "preset"]


def _words(error: BaseException, cls: type | None) -> str:
    if isinstance(error, ArithmeticError):
        return f"these settings cannot be worked with ({type(error).__name__}): take moderate numbers"
    if isinstance(error, ForbiddenExtraKeysError):
        known = known_fields(error.cl)
        unknown = sorted(error.extra_fields, key=shortened)
        lines = [f"unknown key {shortened(key)}, {did_you_mean(key if isinstance(key, str) else '', known)}" for key in unknown[:MOST_KEYS]]
        if len(unknown) > MOST_KEYS:
            lines.append(f"{len(unknown) - MOST_KEYS} further unknown keys")
        return "\n".join(lines)
    if isinstance(error, KeyError) and not isinstance(error, OhmletError) and error.args:
        return f"missing key {error.args[0]!r}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)


def structure(value: Any, cls: type[T], path: str = "config") -> T:
    """Return an instance of `cls` made from plain data; raises ConfigError with every problem and its path."""
    try:
        return converter().structure(value, cls)
    except BaseValidationError as error:
        lines: list[str] = []
        for line in transform_error(error, path="", format_exception=_words):
            words, _, where = line.rpartition(" @ ")
            place = f"{path}: {where[1:]}" if where and Path(path).suffix.lower() in FORMATS else f"{path}{where}"
            lines.extend(f"{part} @ {place}" for part in words.split("\n"))
        further = len(lines) - MOST_PROBLEMS
        raise ConfigError(*lines[:MOST_PROBLEMS], *([f"{further} further problems @ {path}"] if further > 0 else [])) from None
    except (TypeError, ValueError, ArithmeticError, OhmletError, RecursionError) as error:
        raise ConfigError(*(f"{part} @ {path}" for part in _words(error, cls).split("\n"))) from None


def plain(value: Any, *, tagged: bool = True) -> Any:
    """Return specs as mappings, lists and scalars, each part with its `type`, ready for YAML, TOML or JSON."""
    if has(type(value)):
        out: dict[str, Any] = {}
        if tagged and hasattr(value, "type_name"):
            out["type"] = value.type_name
        elif tagged and isinstance(value, Spec):
            name = registry(value.kind).name_of(type(value))
            # What a kind means without a type is written without one.
            out.update({} if name == getattr(value, "assumed_type", None) else {"type": name})
        for attribute in fields(type(value)):
            inner = getattr(value, attribute.name)
            if attribute.init and not (attribute.name == "preset" and inner is None):
                out[attribute.name] = plain(inner)
        return out
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the keys of `over`; mappings merge, unless `over` names another `type`; a name is a mapping with that `type`."""
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        if isinstance(below, str) and isinstance(value, Mapping):
            below = {"type": below}
        if isinstance(below, Mapping) and "type" in below and isinstance(value, str):
            value = {"type": value}
        if isinstance(value, Mapping) and isinstance(below, Mapping) and value.get("type", below.get("type")) == below.get("type"):
            out[key] = merged(below, value)
        else:
            out[key] = value
    return out


def part(annotation: Any, doc: str, default: Any = NOTHING) -> Any:
    """Return an attrs field for a part given as an object, a name or a mapping; `default` is in the same form."""

    def convert(value: Any, place: Attribute[Any] | None = None) -> Any:
        return structure(value, annotation, place.name if place else "value")

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        del attribute, value  # the converter has refused everything else

    named = AttrsConverter(convert, takes_field=True)
    if default is NOTHING:
        return field(converter=named, validator=check, metadata={"doc": doc})
    return field(factory=lambda: convert(default), converter=named, validator=check, metadata={"doc": doc})
