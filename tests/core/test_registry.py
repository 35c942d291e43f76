"""Plugins by name: what is found, what is refused and in which words."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ohmlet
import ohmlet.registry
from ohmlet.errors import PluginError
from ohmlet.registry import KINDS, Registry, registry

from .conftest import Install

Register = Callable[[str, type], type]
GOOD = {"good": "gadgets:Good"}


def refusal(known: Registry[Any], name: str) -> str:
    with pytest.raises(PluginError, match=r".") as caught:
        known.get(name)
    return str(caught.value)


def test_name_gives_the_class(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", GOOD)
    assert gadgets.get("good")().turn() == 1.0


def test_class_is_imported_once(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", GOOD)
    assert gadgets.get("good") is gadgets.get("ohmlet-good:good")


def test_entries_import_nothing(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", GOOD)
    assert list(gadgets.entries()) == ["good"]
    assert "gadgets" not in sys.modules


def test_entry_tells_where_it_comes_from(install: Install, gadgets: Registry[Any]) -> None:
    install("Ohmlet_Good", GOOD, version="2.1")
    assert str(gadgets.find("good")) == "ohmlet-good==2.1 (gadgets:Good)"


def test_misspelt_name_brings_up_the_nearest(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", {"soft_bounds": "gadgets:Good"})
    assert refusal(gadgets, "soft_bound") == "unknown gadget 'soft_bound'; did you mean 'soft_bounds'?"


def test_name_like_no_other_brings_up_all(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", {"b": "gadgets:Good", "a": "gadgets:Good", "c": "gadgets:Good"})
    assert refusal(gadgets, "xyz") == "unknown gadget 'xyz'; known: a, b, c"


def test_unknown_name_among_none_says_so(gadgets: Registry[Any]) -> None:
    assert refusal(gadgets, "xyz") == "unknown gadget 'xyz'; none is known"


def test_unknown_name_stays_on_one_line(gadgets: Registry[Any]) -> None:
    assert refusal(gadgets, "x\ny") == r"unknown gadget 'x\ny'; none is known"


def test_name_of_two_distributions_is_refused(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-other", {"soft_bounds": "gadgets:Other"})
    install("ohmlet-good", {"soft_bounds": "gadgets:Good"})
    assert refusal(gadgets, "soft_bounds") == (
        "gadget 'soft_bounds' is registered by ohmlet-good==1.0 (gadgets:Good) and by ohmlet-other==1.0 (gadgets:Other); "
        "write the distribution too, for example 'ohmlet-good:soft_bounds'"
    )


def test_other_names_of_disputing_distributions_work(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-other", {"soft_bounds": "gadgets:Other"})
    install("ohmlet-good", {"soft_bounds": "gadgets:Good", **GOOD})
    assert gadgets.get("good")().turn() == 1.0


@pytest.mark.parametrize("spelling", ["ohmlet-good", "Ohmlet_Good", "OHMLET.good", "ohmlet--good"])
def test_distribution_may_be_written_as_packaging_allows(install: Install, gadgets: Registry[Any], spelling: str) -> None:
    install("ohmlet-other", {"soft_bounds": "gadgets:Other"})
    install("ohmlet_good", {"soft_bounds": "gadgets:Good"})
    assert gadgets.find(f"{spelling}:soft_bounds").dist == "ohmlet-good"


def test_membership_counts_the_distribution(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", GOOD)
    assert "good" in gadgets
    assert "ohmlet_good:good" in gadgets
    assert "ohmlet-other:good" not in gadgets


def test_failing_import_is_told_with_its_reason(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-broken", {"broken": "brokenplug:Nope"}, brokenplug="import does_not_exist")
    words = (
        "gadget 'broken' from ohmlet-broken==1.0 (brokenplug:Nope) failed to import: ModuleNotFoundError: No module named 'does_not_exist'"
    )
    assert refusal(gadgets, "broken") == words


def test_failing_import_is_chained(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-broken", {"broken": "brokenplug:Nope"}, brokenplug="1 / 0")
    with pytest.raises(PluginError, match="ZeroDivisionError: division by zero") as caught:
        gadgets.get("broken")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import sys; sys.exit()", "SystemExit: "),
        ("raise ImportError('first\\n   second')", "ImportError: first second"),
        ("x = (", r"SyntaxError: '\(' was never closed \(brokenplug.py, line 1\)"),
        ("pass", "AttributeError: module 'brokenplug' has no attribute 'Nope'"),
        ("class Stop(BaseException): pass\nraise Stop('x')", "Stop: x"),
    ],
)
def test_whatever_an_import_raises_is_a_line(install: Install, gadgets: Registry[Any], source: str, reason: str) -> None:
    install("ohmlet-broken", {"broken": "brokenplug:Nope"}, brokenplug=source)
    with pytest.raises(PluginError, match=rf"failed to import: {reason}$".replace(": $", ":$")):
        gadgets.get("broken")


def test_interrupt_at_import_is_not_swallowed(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-slow", {"slow": "slowplug:Slow"}, slowplug="raise KeyboardInterrupt('stop')")
    with pytest.raises(KeyboardInterrupt, match=r"^stop$"):
        gadgets.get("slow")


def test_broken_plugin_does_not_hurt_others(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-broken", {"broken": "brokenplug:Nope"}, brokenplug="1 / 0")
    install("ohmlet-good", GOOD)
    assert gadgets.get("good")().turn() == 1.0


def test_plugin_for_another_core_is_refused(install: Install, gadgets: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohmlet, "__version__", "0.1.0")
    install("ohmlet-old", {"old": "gadgets:Good"}, requires=("ohmlet<0.1",))
    words = "gadget 'old' from ohmlet-old==1.0 (gadgets:Good) is not loaded: it needs ohmlet<0.1, this is ohmlet 0.1.0"
    assert refusal(gadgets, "old") == words


def test_plugin_for_another_core_is_not_imported(install: Install, gadgets: Registry[Any], tmp_path: Path) -> None:
    trace = tmp_path / "imported"
    install("ohmlet-new", {"new": "newplug:New"}, requires=("ohmlet>=99",), newplug=f"open({str(trace)!r}, 'w').close()")
    assert "it needs ohmlet>=99" in refusal(gadgets, "new")
    assert not trace.exists()


@pytest.mark.parametrize(
    "line",
    [
        "ohmlet>=99",
        "Ohmlet >= 99",
        "ohmlet[triton]>=99",
        "ohmlet (>=99)",
        'ohmlet>=99; python_version >= "3"',
        "ohmlet==0.0.1",
    ],
)
def test_requirement_that_is_not_met(install: Install, gadgets: Registry[Any], line: str) -> None:
    install("ohmlet-new", GOOD, requires=("attrs", line))
    assert gadgets.find("good").requirement


@pytest.mark.parametrize(
    "line",
    [
        "ohmlet",
        "ohmlet>=0.0.1,<99",
        'ohmlet>=99; python_version < "3"',
        'ohmlet>=99; extra == "gpu"',
        "ohmlet-other>=99",
        "ohmlet @ https://example.org/ohmlet.whl",
    ],
)
def test_requirement_that_is_met(install: Install, gadgets: Registry[Any], line: str) -> None:
    install("ohmlet-good", GOOD, requires=("attrs", line))
    assert gadgets.find("good").requirement is None


def test_prerelease_of_the_core_counts(install: Install, gadgets: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ohmlet, "__version__", "0.3.0rc1")
    install("ohmlet-good", GOOD, requires=("ohmlet>=0.2",))
    assert gadgets.find("good").requirement is None


@pytest.mark.parametrize("line", ["ohmlet>>1", "ohmlet>=0; python_version ~= 'x'", "ohmlet; no_such_variable == '1'"])
def test_unreadable_requirement_is_refused_with_its_text(install: Install, gadgets: Registry[Any], line: str) -> None:
    install("ohmlet-odd", GOOD, requires=(line,))
    assert f"it needs a readable requirement instead of {line!r}" in refusal(gadgets, "good")


def test_core_does_not_check_itself(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet", GOOD, version="0.0", requires=("ohmlet>=99",))
    assert gadgets.find("good").requirement is None


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("Wrong = 3", "must be a subclass of gadgets.Gadget, got 3"),
        ("class Wrong: pass", r"must be a subclass of gadgets.Gadget, got <class 'wrongplug.Wrong'>"),
        ("def Wrong(): pass", r"must be a subclass of gadgets.Gadget, got <function Wrong"),
        ("class Wrong(Gadget): pass", "does not implement: turn"),
        ("class Wrong(Gadget):\n    def turn(self): pass", r"must be decorated with attrs.frozen\(kw_only=True\)"),
        (
            "@frozen(kw_only=True)\nclass Wrong(Gadget):\n    type: int = 3\n    def turn(self): pass",
            "has a field called 'type', which configs use for the plugin's name; rename the field",
        ),
        ("from gadgets import Good as Wrong", "must point at the defining module: write gadgets:Good"),
    ],
)
def test_class_that_is_no_plugin(install: Install, gadgets: Registry[Any], source: str, reason: str) -> None:
    install("ohmlet-wrong", {"wrong": "wrongplug:Wrong"}, wrongplug=f"from gadgets import Gadget\nfrom attrs import frozen\n{source}")
    with pytest.raises(PluginError, match=rf"^gadget 'wrong' from ohmlet-wrong==1.0 \(wrongplug:Wrong\) {reason}"):
        gadgets.get("wrong")


@pytest.mark.parametrize("name", ["Good", "soft-bounds", "2d", "_x", "größe", "a.b"])
def test_name_that_no_config_can_write_is_refused(install: Install, gadgets: Registry[Any], name: str) -> None:
    install("ohmlet-odd", {name: "gadgets:Good"})
    with pytest.raises(
        PluginError, match="a name that no config can write: use lower case letters, digits and underscores, a letter first"
    ):
        gadgets.get(name)


@pytest.mark.parametrize("target", ["gadgets:Good [extra]", "gadgets : Good"])
def test_target_may_be_written_as_packaging_allows(install: Install, gadgets: Registry[Any], target: str) -> None:
    install("ohmlet-good", {"good": target})
    assert gadgets.name_of(gadgets.get("good")) == "good"


def test_switched_off_distribution_is_known_but_not_used(install: Install, gadgets: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    install("ohmlet-good", GOOD)
    monkeypatch.setenv("OHMLET_DISABLE_PLUGINS", "other, Ohmlet_Good,")
    assert refusal(gadgets, "good") == "gadget 'good' from ohmlet-good==1.0 (gadgets:Good) is switched off by OHMLET_DISABLE_PLUGINS"


def test_switching_one_claim_off_leaves_the_other(install: Install, gadgets: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    install("ohmlet-other", {"good": "gadgets:Other"})
    install("ohmlet-good", GOOD)
    monkeypatch.setenv("OHMLET_DISABLE_PLUGINS", "ohmlet-other")
    assert gadgets.find("good").dist == "ohmlet-good"


def test_entry_found_twice_on_the_path_counts_once(install: Install, gadgets: Registry[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    install("ohmlet-good", GOOD)

    def twice(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [*importlib.metadata.entry_points(group=group), *importlib.metadata.entry_points(group=group)]

    monkeypatch.setattr(ohmlet.registry, "entry_points", twice)
    assert len(gadgets.entries()["good"]) == 1


def test_distribution_without_metadata_does_not_hide_others(install: Install, gadgets: Registry[Any]) -> None:
    (install("ohmlet-half", {"half": "gadgets:Half"}) / "METADATA").unlink()
    install("ohmlet-good", GOOD)
    assert str(gadgets.find("half")) == "unknown==? (gadgets:Half)"
    assert "good" in gadgets


def test_order_does_not_depend_on_the_hash_seed(install: Install) -> None:
    for name in ("ohmlet-c", "ohmlet-a", "ohmlet-b"):
        info = install(name, {"z": "gadgets:Good", "y": "gadgets:Other", "same": f"gadgets:{name[-1]}"})
    code = "from ohmlet.registry import Registry; print(Registry('gadget', None).entries())"
    shown = set()
    for seed in "012":
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(info.parent)}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        shown.add(done.stdout)
    assert len(shown) == 1
    assert shown.pop().count("Entry") == 9


def test_survey_gives_a_class_or_an_error_for_each(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-broken", {"broken": "brokenplug:Nope", "leaves": "leaver:Nope"}, brokenplug="1 / 0", leaver="raise SystemExit")
    install("ohmlet-odd", {"A:b": "gadgets:Good", "empty": "", "dots": "..:x"})
    install("ohmlet-good", GOOD)
    results = {entry.name: isinstance(found, type) for entry, found in gadgets.survey()}
    assert results == {"A:b": False, "broken": False, "dots": False, "empty": False, "good": True, "leaves": False}


def test_survey_loads_both_claims_of_a_name(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-other", {"good": "otherplug:Nope"}, otherplug="1 / 0")
    install("ohmlet-good", GOOD)
    assert [(entry.dist, isinstance(found, type)) for entry, found in gadgets.survey()] == [("ohmlet-good", True), ("ohmlet-other", False)]


def test_class_has_its_name_back(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", GOOD)
    assert gadgets.name_of(gadgets.get("good")) == "good"


def test_class_of_a_disputed_name_has_its_distribution_too(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-other", {"good": "gadgets:Other"})
    install("ohmlet-good", GOOD)
    assert gadgets.name_of(gadgets.get("ohmlet-good:good")) == "ohmlet-good:good"


def test_unregistered_class_has_no_name(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", {})
    with pytest.raises(
        PluginError, match=r"Gadget is not registered as a gadget: declare it .* ohmlet.gadget, or call ohmlet.register\(name, Gadget\)"
    ):
        gadgets.name_of(gadgets.base())


def test_registered_class_is_found_in_this_process(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-none", {})
    good = importlib.import_module("gadgets").Good
    assert gadgets.register("mine", good) is good
    assert gadgets.get("mine") is good
    assert gadgets.name_of(good) == "mine"
    assert str(gadgets.find("mine")) == "this process (gadgets:Good)"


def test_notebook_cell_may_run_again(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-none", {})
    first = gadgets.register("mine", importlib.import_module("gadgets").Good)
    del sys.modules["gadgets"]
    second = gadgets.register("mine", importlib.import_module("gadgets").Good)
    assert first is not second
    assert gadgets.get("mine") is second


def test_registering_never_shadows_an_installed_name(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-good", GOOD)
    with pytest.raises(
        PluginError, match=r"^gadget 'good' is already registered by ohmlet-good==1.0 \(gadgets:Good\); choose another name$"
    ):
        gadgets.register("good", gadgets.get("good"))


@pytest.mark.parametrize("name", ["Good", "soft-bounds", "2d", "", "a:b", "größe", 3])
def test_registered_name_is_one_that_configs_can_write(install: Install, gadgets: Registry[Any], name: Any) -> None:
    install("ohmlet-none", {})
    with pytest.raises(PluginError, match=r"a gadget name is lower case letters, digits and underscores, a letter first: "):
        gadgets.register(name, importlib.import_module("gadgets").Good)


def test_registered_class_is_checked(install: Install, gadgets: Registry[Any]) -> None:
    install("ohmlet-none", {})
    with pytest.raises(PluginError, match=r"gadget 'mine' from this process \(gadgets:Gadget\) does not implement: turn"):
        gadgets.register("mine", importlib.import_module("gadgets").Gadget)


@pytest.mark.parametrize("thing", [int, 3, "pcm"])
def test_register_asks_for_a_plugin_class(register: Register, thing: Any) -> None:
    with pytest.raises(PluginError, match=r"is no plugin class: subclass one of ohmlet.interfaces \(device, tile, noise_model"):
        register("mine", thing)


def test_unknown_kind_brings_up_the_nearest() -> None:
    with pytest.raises(PluginError, match=r"^unknown kind 'devise'; did you mean 'device'\?$"):
        registry("devise")


@pytest.mark.parametrize("kind", KINDS)
def test_interface_states_its_kind(kind: str) -> None:
    assert registry(kind).base().kind == kind


@pytest.mark.parametrize("kind", KINDS)
def test_interface_is_abstract(kind: str) -> None:
    base = registry(kind).base()
    with pytest.raises(TypeError, match="abstract"):
        base()
