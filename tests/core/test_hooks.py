"""Moments at which plugins act: what loads, what is left out and why, and what each is called with."""

from __future__ import annotations

import ast
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import ohmlet
from ohmlet.chip import Chip, ChipView
from ohmlet.hooks import Moments, hooks, loaded, manager
from ohmlet.registry import installed

from .conftest import Install

ROOT = Path(__file__).parents[2]
MOMENTS = sorted(name for name in vars(Moments) if name.startswith("ohmlet_"))
MARKED = "from ohmlet.hooks import hookimpl\n@hookimpl\n"
GOOD = """
from ohmlet.hooks import hookimpl

@hookimpl
def ohmlet_check_config(config):
    return [f"seen {config}"]
"""


@pytest.fixture
def listen() -> Iterator[Callable[[object], None]]:
    """Return a function that registers a plugin for one test."""
    added: list[object] = []

    def add(plugin: object) -> None:
        manager().register(plugin)
        added.append(plugin)

    yield add
    for plugin in added:
        manager().unregister(plugin)


@pytest.fixture
def chip() -> Callable[[], Chip]:
    def make() -> Chip:
        return ohmlet.program(ohmlet.convert(torch.nn.Linear(2, 2), "pcm_inference").model, instances=3)

    return make


def loading() -> tuple[Any, list[str]]:
    """Return the manager with the hook plugins of `install` and the warnings that its loading gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = loaded([entry for entry in installed("ohmlet.hooks") if entry.dist != "ohmlet"])
    assert all(each.category is RuntimeWarning for each in caught)
    return made, [str(each.message) for each in caught]


def test_there_are_at_most_six_moments() -> None:
    assert 0 < len(MOMENTS) <= 6


@pytest.mark.parametrize("name", MOMENTS)
def test_moment_says_when_it_comes(name: str) -> None:
    assert inspect.getdoc(getattr(Moments, name))


@pytest.mark.parametrize("name", MOMENTS)
def test_moment_stands_in_the_docs_with_its_arguments(name: str) -> None:
    arguments = [argument for argument in inspect.signature(getattr(Moments, name)).parameters if argument != "self"]
    assert f"`{name}({', '.join(arguments)})`" in (ROOT / "docs" / "hooks.md").read_text("utf-8")


def test_docs_name_no_other_moment() -> None:
    named = set(re.findall(r"ohmlet_\w+(?=\()", (ROOT / "docs" / "hooks.md").read_text("utf-8")))
    assert named == set(MOMENTS)


def test_every_moment_has_a_test() -> None:
    tests = [
        node.name
        for path in (ROOT / "tests").rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_hook_")
    ]
    untested = [name for name in MOMENTS if not any(name in test for test in tests)]
    assert not untested, f"write a test_hook_<name> for {', '.join(untested)}"


def test_moments_answer_with_what_plugins_return(install: Install) -> None:
    install("ohmlet-good", {"good": "goodhooks"}, group="ohmlet.hooks", goodhooks=GOOD)
    made, warned = loading()
    assert made.hook.ohmlet_check_config(config="it") == [["seen it"]]
    assert warned == []


def test_moment_without_plugins_answers_nothing() -> None:
    assert loaded([]).hook.ohmlet_check_config(config="it") == []


def test_plugin_may_take_fewer_arguments(install: Install) -> None:
    source = MARKED + "def ohmlet_after_drift(view): return view"
    install("ohmlet-good", {"good": "goodhooks"}, group="ohmlet.hooks", goodhooks=source)
    made, warned = loading()
    assert made.hook.ohmlet_after_drift(chip=1, view=2) == [2]
    assert warned == []


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import does_not_exist", "ModuleNotFoundError: No module named 'does_not_exist'"),
        ("from ohmlet.hooks import hookimpl\n@hookimpl\ndef ohmlet_after_programme(chip): pass", "unknown hook 'ohmlet_after_programme'"),
        (
            "from ohmlet.hooks import hookimpl\n@hookimpl\ndef ohmlet_after_drift(crossbar): pass",
            "hook impl .* not in hookspec|PluginValidationError: ",
        ),
    ],
)
def test_plugin_that_does_not_fit_is_off_with_its_reason(install: Install, source: str, reason: str) -> None:
    install("ohmlet-bad", {"bad": "badhooks"}, group="ohmlet.hooks", version="2.0", badhooks=source)
    install("ohmlet-good", {"good": "goodhooks"}, group="ohmlet.hooks", goodhooks=GOOD)
    made, warned = loading()
    assert len(warned) == 1
    assert re.match(rf"hooks 'bad' from ohmlet-bad==2\.0 \(badhooks\) are off: (?s:.*)({reason})", warned[0])
    assert [name for name, _ in made.list_name_plugin()] == ["ohmlet-good:good"]
    assert made.hook.ohmlet_check_config(config="it") == [["seen it"]]


def test_misspelt_moment_brings_up_the_plugin(install: Install) -> None:
    source = MARKED + "def ohmlet_after_programme(chip): pass\n@hookimpl\ndef ohmlet_after_drift(view): return 1"
    install("ohmlet-bad", {"bad": "badhooks"}, group="ohmlet.hooks", badhooks=source)
    made, _ = loading()
    assert made.hook.ohmlet_after_drift(chip=1, view=2) == []


def test_plugin_for_another_core_is_off_and_not_imported(install: Install, tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    source = f"open({str(trace)!r}, 'w').close()"
    install("ohmlet-new", {"new": "newhooks"}, group="ohmlet.hooks", requires=("ohmlet>=99",), newhooks=source)
    _, warned = loading()
    words = f"hooks 'new' from ohmlet-new==1.0 (newhooks) are off: PluginError: it needs ohmlet>=99, this is ohmlet {ohmlet.__version__}"
    assert warned == [words]
    assert not trace.exists()


def test_module_declared_twice_stays_on_once(install: Install) -> None:
    install("ohmlet-good", {"first": "goodhooks", "second": "goodhooks"}, group="ohmlet.hooks", goodhooks=GOOD)
    made, warned = loading()
    assert made.hook.ohmlet_check_config(config="it") == [["seen it"]]
    assert re.match(r"hooks 'second' from ohmlet-good==1\.0 \(goodhooks\) are off: ValueError: ", warned[0])


def test_interrupt_while_loading_is_not_swallowed(install: Install) -> None:
    install("ohmlet-slow", {"slow": "slowhooks"}, group="ohmlet.hooks", slowhooks="raise KeyboardInterrupt('stop')")
    with pytest.raises(KeyboardInterrupt, match=r"^stop$"):
        loading()


def test_switched_off_distribution_brings_no_hooks(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("ohmlet-good", {"good": "goodhooks"}, group="ohmlet.hooks", goodhooks=GOOD)
    monkeypatch.setenv("OHMLET_DISABLE_PLUGINS", "Ohmlet.Good")
    assert "ohmlet-good:good" not in dict(manager.__wrapped__().list_name_plugin())


def test_error_in_a_plugin_reaches_the_caller(listen: Callable[[object], None]) -> None:
    class Broken:
        @ohmlet.hookimpl
        def ohmlet_check_config(self, config: object) -> list[str]:
            raise ZeroDivisionError(f"in {config}")

    listen(Broken())
    with pytest.raises(ZeroDivisionError, match=r"^in it$"):
        hooks().ohmlet_check_config(config="it")


def test_hook_ohmlet_after_program(listen: Callable[[object], None], chip: Callable[[], Chip]) -> None:
    seen: list[Chip] = []

    class Observer:
        @ohmlet.hookimpl
        def ohmlet_after_program(self, chip: Chip) -> None:
            seen.append(chip)

    listen(Observer())
    made = chip()
    assert seen == [made]
    assert made.instances == 3


def test_hook_ohmlet_after_drift(listen: Callable[[object], None], chip: Callable[[], Chip]) -> None:
    seen: list[tuple[Chip, ChipView]] = []

    class Observer:
        @ohmlet.hookimpl
        def ohmlet_after_drift(self, chip: Chip, view: ChipView) -> None:
            seen.append((chip, view))

    listen(Observer())
    made = chip()
    assert seen == []
    hour, day = made.at("1 h"), made.at("1 day")
    assert seen == [(made, hour), (made, day)]
    assert [view.t for _, view in seen] == [3600.0, 86400.0]
