"""The part of all kits that concerns the spec as a value: each of its tests catches a spec that is wrong on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from attrs import define, evolve, field, frozen

from ohmlet.config import part
from ohmlet.interfaces.engine import Engine
from ohmlet.registry import register, registry
from ohmlet.spec import number
from tests.testing.faults import COMMON, assert_caught, caught


class NoKernels(Engine):
    """An engine is the spec with the least to implement."""

    def kernels(self) -> Mapping[str, Callable[..., Any]]:
        return {}

    def preference(self, device_type: str) -> int | None:
        return None


@frozen(kw_only=True)
class Good(NoKernels):
    """Good in all that concerns the spec."""

    speed: float = number(1.0, "products per second", unit="1/s")


@define
class Knobs:
    turn: float = number(1.0, "how far", unit="rad")


@frozen(kw_only=True)
class Assignable(NoKernels):
    """A frozen spec with settings inside that are not."""

    knobs: Knobs = part(Knobs, "knobs", {})


@frozen(kw_only=True, eq=False)
class WithoutEquality(NoKernels):
    """Equal to all of its class, whatever the numbers."""

    speed: float = number(1.0, "products per second", unit="1/s")


@frozen(kw_only=True)
class Unhashable(NoKernels):
    """Holds a list."""

    speeds: list[float] = field(factory=lambda: [1.0], metadata={"doc": "speeds"})


@frozen(kw_only=True)
class Holder(NoKernels):
    """Holds a tensor."""

    table: Any = field(default=torch.zeros(1), metadata={"doc": "a table"})


@frozen(kw_only=True)
class Unchecked(NoKernels):
    """Takes any number."""

    speed: float = field(default=1.0, metadata={"doc": "speed", "unit": "1/s"})


@frozen(kw_only=True)
class NoneIsNoDefault(NoKernels):
    """Takes None and defaults to a number."""

    speed: float | None = field(default=1.0, metadata={"doc": "speed", "unit": "1/s"})


@frozen(kw_only=True)
class Silent(NoKernels):
    """Says nothing of its field."""

    speed: float = field(default=1.0)


@frozen(kw_only=True)
class Unitless(NoKernels):
    """Says nothing of the unit."""

    speed: float = field(default=1.0, metadata={"doc": "speed"})


@frozen(kw_only=True)
class Undocumented(NoKernels): ...


@frozen(kw_only=True)
class ListOfEquations(NoKernels):
    """Returns a list."""

    def equations(self) -> tuple[str, ...]:
        return ["y = x"]  # type: ignore[return-value]


def doubled(value: float) -> float:
    return 2.0 * value


@frozen(kw_only=True)
class Doubling(NoKernels):
    """Changes what it is given."""

    speed: float = field(default=1.0, converter=doubled, metadata={"doc": "speed", "unit": "1/s"})


@frozen(kw_only=True)
class Lenient(NoKernels):
    """Takes text for a number."""

    speed: Any = field(default=1.0, converter=float, metadata={"doc": "speed", "unit": "1/s"})


def local() -> Engine:
    @frozen(kw_only=True)
    class Local(NoKernels):
        """A class that pickle cannot find."""

    return Local()


FAULTS: list[tuple[Any, str, str]] = [
    (Assignable(), "test_is_frozen", r"'knobs.turn' can be assigned: decorate Knobs with attrs.frozen"),
    (WithoutEquality(), "test_is_a_value", r"specs whose 'speed' is 1.0 and [0-9.]+ compare equal"),
    (Unhashable(), "test_is_a_value", r"cannot be hashed .*use tuples for lists"),
    (local(), "test_copies_and_pickles", r"Local"),
    (Holder(), "test_holds_plain_values", r"'table' holds a Tensor"),
    (Unchecked(), "test_numbers_are_checked", r"'speed' takes NaN: declare it with ohmlet.spec.number"),
    (NoneIsNoDefault(), "test_none_is_a_default", r"'speed' takes None and defaults to 1.0"),
    (Silent(), "test_fields_are_documented", r"'speed' says nothing about itself"),
    (Unitless(), "test_fields_are_documented", r"'speed' has no unit"),
    (Undocumented(), "test_class_is_documented", r"docstring of Undocumented must open with one sentence"),
    (ListOfEquations(), "test_equations_are_lines", r"must return a tuple of non-empty lines, got \['y = x'\]"),
    (Doubling(), "test_round_trips_through_plain_data", r"does not come back"),
    (Doubling(), "test_round_trips_through_files", r"comes back from YAML"),
    (Lenient(), "test_refuses_unknown_keys_and_text", r"a config may say speed: '1.0'"),
]


@pytest.mark.parametrize(("spec", "test", "message"), FAULTS, ids=[f"{type(spec).__name__}-{test}" for spec, test, _ in FAULTS])
def test_fault_is_caught(spec: Any, test: str, message: str) -> None:
    assert_caught("engine", spec, test, message)


def test_fault_is_caught_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry("engine"), "_local", {})  # names that leave with the test
    register("doubling", Doubling)
    assert_caught("engine", Doubling(), "test_round_trips_by_name", r"comes back as Doubling\(speed=4.0\)")


def test_every_test_can_fail() -> None:
    assert {test for _, test, _ in FAULTS} | {"test_round_trips_by_name"} == COMMON


def test_good_spec_passes() -> None:
    assert not COMMON & caught("engine", Good()).keys()
    assert not COMMON & caught("engine", evolve(Good(), speed=2.0)).keys()
