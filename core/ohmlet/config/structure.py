"""Plain data to specs and back: parts by name or mapping, strict scalars, every problem at once with its path."""

from __future__ import annotations

import functools
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, Union, cast, get_args, get_origin

from attrs import NOTHING, Attribute, field, fields, has
from cattrs import BaseValidationError, Converter, transform_error
from cattrs.errors import ForbiddenExtraKeysError

from ohmlet.errors import ConfigError, OhmletError
from ohmlet.registry import did_you_mean, registry
from ohmlet.spec import Spec

__all__ = ["merged", "part", "plain", "structure"]

T = TypeVar("T")


def is_interface(cls: Any) -> bool:
    """Whether a class is the interface of a kind (it states the kind itself) rather than one of its plugins."""
    return isinstance(cls, type) and issubclass(cls, Spec) and cls is not Spec and "kind" in vars(cls)


def is_family(annotation: Any) -> bool:
    """Whether an annotation is a union of settings that `type` tells apart by their `type_name`."""
    if get_origin(annotation) not in {Union, types.UnionType}:
        return False
    members = [arm for arm in get_args(annotation) if arm is not type(None)]
    return bool(members) and all(hasattr(arm, "type_name") for arm in members)


def _number(value: Any, _: Any) -> float:
    if value in ("inf", "-inf") and isinstance(value, str):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        hint = ""
        if isinstance(value, str):
            try:
                float(value)
                hint = "; write it without quotes"
            except ValueError:
                pass
        raise TypeError(f"expected a number, got {value!r}{hint}")
    if math.isnan(value):
        raise TypeError("expected a number, got nan")
    try:
        return float(value)
    except OverflowError:
        raise TypeError(f"expected a number, got one of {len(str(value))} digits") from None


def _exactly(kind: type, words: str) -> Callable[[Any, Any], Any]:
    def check(value: Any, _: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"expected {words}, got {value!r}")
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
        name, rest = _tagged(value, interface.kind)
        known, bare = registry(interface.kind), name.rpartition(":")[2]
        preset = preset_of(name, interface.kind) if bare in registry("preset").entries() else None
        if preset is not None:
            if bare in known.entries():
                raise TypeError(f"'{name}' is both a {interface.kind} and a preset; name its distribution, or rename the preset")
            spec = preset.build()
            return converter().structure({**merged(plain(spec, tagged=False), rest), "preset": name}, type(spec))
        if bare not in known.entries():
            names = [*known.entries(), *registry("preset").entries()]
            raise TypeError(f"unknown {interface.kind} '{name}'; {did_you_mean(bare, known.entries() if interface.kind != 'device' else names)}")
        return converter().structure(rest, known.get(name))

    return hook


def preset_of(name: str, kind: str) -> Any:
    """Return the preset of a name when it gives a spec of this kind, else None."""
    preset = registry("preset").get(name)
    return preset() if preset.gives == kind else None


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
    made.register_structure_hook_factory(is_interface, _by_name)
    made.register_structure_hook_factory(is_family, _by_type_name)
    return made


def known_fields(cls: type) -> list[str]:
    """Return the field names of an attrs class as configs show them."""
    return [attribute.name for attribute in fields(cls) if attribute.name != "preset"]


def shortened(value: Any, limit: int = 80) -> str:
    """Return a value's repr, cut when it is long, for error messages."""
    words = repr(value)
    return words if len(words) <= limit else f"{words[:limit]}... ({type(value).__name__})"


def _words(error: BaseException, cls: type | None) -> str:
    if isinstance(error, ForbiddenExtraKeysError):
        known = known_fields(error.cl)
        return "; ".join(f"unknown key {key!r}, {did_you_mean(str(key), known)}" for key in sorted(error.extra_fields, key=str))
    if isinstance(error, KeyError) and not isinstance(error, OhmletError):
        return f"missing key {error.args[0]!r}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return str(error)


def structure(value: Any, cls: type[T], path: str = "config") -> T:
    """Return an instance of `cls` made from plain data; raises ConfigError with every problem and its path."""
    try:
        return cast("T", converter().structure(value, cls))
    except BaseValidationError as error:
        lines = []
        for line in transform_error(error, path=path, format_exception=_words):
            words, _, where = line.rpartition(" @ ")
            lines.extend(f"{part} @ {where}" for part in words.split("\n"))
        raise ConfigError(*lines) from None
    except (TypeError, ValueError, OhmletError, RecursionError) as error:
        raise ConfigError(f"{_words(error, cls)} @ {path}") from None


def plain(value: Any, *, tagged: bool = True) -> Any:
    """Return specs as mappings, lists and scalars, each part with its `type`, ready for YAML, TOML or JSON."""
    if has(type(value)):
        out: dict[str, Any] = {}
        if tagged and hasattr(value, "type_name"):
            out["type"] = value.type_name
        elif tagged and isinstance(value, Spec):
            out["type"] = registry(value.kind).name_of(type(value))
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
    """Return `base` with the keys of `over`; mappings merge, unless `over` names another `type`."""
    out = dict(base)
    for key, value in over.items():
        below = out.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping) and value.get("type", below.get("type")) == below.get("type"):
            out[key] = merged(below, value)
        else:
            out[key] = value
    return out


def part(annotation: Any, doc: str, default: Any = NOTHING) -> Any:
    """Return an attrs field for a part given as an object, a name or a mapping; `default` is in the same form."""

    def convert(value: Any) -> Any:
        return structure(value, annotation, "value")

    def check(_: object, attribute: Attribute[Any], value: object) -> None:
        del attribute, value  # the converter has refused everything else

    if default is NOTHING:
        return field(converter=convert, validator=check, metadata={"doc": doc})
    return field(factory=lambda: convert(default), converter=convert, validator=check, metadata={"doc": doc})
