"""Distributions and plugins for one test: nothing here is installed, nothing stays."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any, Protocol

import pytest

import ohmlet
from ohmlet.errors import ConfigError
from ohmlet.registry import KINDS, Registry, registry

GADGET = '''
from abc import abstractmethod
from attrs import frozen
from ohmlet.spec import Spec, number

class Gadget(Spec):
    """An interface that no installed distribution has plugins for."""
    kind = "gadget"

    @abstractmethod
    def turn(self):
        """Turn."""

@frozen(kw_only=True)
class Good(Gadget):
    """Turns."""
    size: float = number(1.0, "its size", unit="m")

    def turn(self):
        return self.size
'''


class Install(Protocol):
    """Puts a distribution with its entry points and modules on the path, as an installer would."""

    def __call__(
        self, name: str, points: dict[str, str], *, group: str = ..., version: str = ..., requires: tuple[str, ...] = ..., **modules: str
    ) -> Path: ...


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)

    def put(
        name: str,
        points: dict[str, str],
        *,
        group: str = "ohmlet.gadget",
        version: str = "1.0",
        requires: tuple[str, ...] = (),
        **modules: str,
    ) -> Path:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
        (info / "METADATA").write_text("\n".join(lines) + "\n", "utf-8")
        declared = "".join(f"{key} = {value}\n" for key, value in points.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{declared}", "utf-8")
        for module, source in {"gadgets": GADGET, **modules}.items():
            (folder / f"{module}.py").write_text(dedent(source), "utf-8")
        importlib.invalidate_caches()
        return info

    yield put
    for module in set(sys.modules) - before:
        if getattr(sys.modules[module], "__file__", None) and str(folder) in str(sys.modules[module].__file__):
            del sys.modules[module]


@pytest.fixture
def gadgets() -> Registry[Any]:
    """Return a fresh registry of the kind `gadget`; its interface is in the module `gadgets` that `install` writes."""
    return Registry("gadget", lambda: importlib.import_module("gadgets").Gadget)


@pytest.fixture
def register() -> Iterator[Callable[[str, type], type]]:
    """Return `ohmlet.register`, whose effects end with the test."""
    before = {kind: dict(registry(kind)._local) for kind in KINDS}
    yield ohmlet.register
    for kind in KINDS:
        registry(kind)._local.clear()
        registry(kind)._local.update(before[kind])


def problems(call: Callable[[], object]) -> list[str]:
    """Return the problems of the ConfigError that a call raises."""
    with pytest.raises(ConfigError, match=r".") as caught:
        call()
    return list(caught.value.problems)


def built_in(*but: str) -> list[tuple[str, str]]:
    """Return kind and name of the built-in plugins of all kinds but those given."""
    found = [(kind, name, entries) for kind in KINDS if kind not in but for name, entries in registry(kind).entries().items()]
    return [(kind, name) for kind, name, entries in found if any(entry.dist == "ohmlet" for entry in entries)]


def refused(call: Callable[[], object]) -> ConfigError | None:
    """Return the ConfigError that a call raises, or None."""
    try:
        call()
    except ConfigError as error:
        return error
    return None
