"""Plugins by name: one entry-point group per kind, imported on first use, never shadowed, each problem told with its distribution."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from attrs import define, field, frozen, has

from ohmlet.errors import PluginError, shortened
from ohmlet.spec import Spec

__all__ = ["KINDS", "Entry", "Registry", "did_you_mean", "register", "registry"]

T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_]*")

KINDS = {
    "device": "ohmlet.interfaces.device:UnitCell",
    "tile": "ohmlet.interfaces.tile:Tile",
    "noise_model": "ohmlet.interfaces.noise_model:NoiseModel",
    "drift_compensation": "ohmlet.interfaces.drift_compensation:DriftCompensation",
    "conductance_converter": "ohmlet.interfaces.conductance_converter:ConductanceConverter",
    "adc": "ohmlet.interfaces.adc:ADC",
    "update_algorithm": "ohmlet.interfaces.update_algorithm:UpdateAlgorithm",
    "engine": "ohmlet.interfaces.engine:Engine",
    "preset": "ohmlet.interfaces.preset:Preset",
}


MOST_NAMES = 20
"""How many names an error lists."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the words that end an error about an unknown name: the nearest known one, or the first of them."""
    from difflib import get_close_matches

    known = sorted(known)
    close = get_close_matches(word, known, 1)
    if close:
        return f"did you mean '{close[0]}'?"
    listed = ", ".join(known[:MOST_NAMES]) + (f" and {len(known) - MOST_NAMES} more: `ohmlet list`" if len(known) > MOST_NAMES else "")
    return f"known: {listed}" if known else "none is known"


def canonical(distribution: str) -> str:
    """Return a distribution's name as packaging tools compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@frozen
class Entry:
    """One registered name: where it comes from, not yet what it is."""

    name: str
    target: str
    dist: str | None = None
    version: str | None = None
    point: EntryPoint | None = field(default=None, repr=False, eq=False)

    def __str__(self) -> str:
        return f"{self.dist}=={self.version} ({self.target})" if self.dist else f"this process ({self.target})"

    @property
    def requirement(self) -> str | None:
        """The core version that the plugin asks for and this core does not meet, or None; read from metadata, nothing is imported."""
        if self.point is None or self.point.dist is None or canonical(self.dist or "") == "ohmlet":
            return None
        from packaging.requirements import Requirement

        import ohmlet

        for line in self.point.dist.requires or ():
            try:
                wanted = Requirement(line)
                applies = wanted.marker is None or wanted.marker.evaluate({"extra": ""})
            except ValueError:  # of either: not written, or not comparable, as packaging defines it
                return f"a readable requirement instead of {line!r}"
            if applies and canonical(wanted.name) == "ohmlet" and not wanted.specifier.contains(ohmlet.__version__, prereleases=True):
                return f"{wanted.name}{wanted.specifier}"
        return None


def installed(group: str) -> Iterator[Entry]:
    """Yield the entries that installed distributions declare in a group, each once, ordered by distribution and name."""
    found = {}
    for point in entry_points(group=group):
        # An interrupted uninstall leaves entry points without a name and a version, for which newer Pythons warn who asks.
        told: Any = {} if point.dist is None else point.dist.metadata
        dist = canonical(told.get("Name") or "unknown")
        version = told.get("Version") or "?"
        target = "".join(point.value.partition("[")[0].split())
        found[(dist, point.name, target)] = Entry(point.name, target, dist, version, point)
    yield from (found[key] for key in sorted(found))


def switched_off() -> set[str]:
    """Return the distributions that OHMLET_DISABLE_PLUGINS names, separated by commas."""
    return {canonical(part.strip()) for part in os.environ.get("OHMLET_DISABLE_PLUGINS", "").split(",") if part.strip()}


@define
class Registry(Generic[T]):
    """All plugins of one kind; `read` lists the declared entries of an entry-point group."""

    kind: str
    base: Callable[[], type[T]]
    read: Callable[[str], Iterable[Entry]] = installed
    _entries: dict[str, list[Entry]] | None = field(default=None, init=False)
    _local: dict[str, Entry] = field(factory=dict, init=False)
    _classes: dict[Entry, type[T]] = field(factory=dict, init=False)

    def entries(self) -> dict[str, list[Entry]]:
        """Return every declared name with its entries; metadata is read once and nothing is imported."""
        if self._entries is None:
            self._entries = {}
            for entry in self.read(f"ohmlet.{self.kind}"):
                self._entries.setdefault(entry.name, []).append(entry)
        merged = {name: list(entries) for name, entries in self._entries.items()}
        for name, entry in self._local.items():
            merged.setdefault(name, []).append(entry)
        return dict(sorted(merged.items()))

    def __contains__(self, name: str) -> bool:
        """Whether a name, or `distribution:name`, is declared."""
        return bool(self._claims(name))

    def _claims(self, name: str) -> list[Entry]:
        dist, _, bare = name.rpartition(":")
        claims = self.entries().get(bare, [])
        return [entry for entry in claims if canonical(entry.dist or "") == canonical(dist)] if dist else claims

    def find(self, name: str) -> Entry:
        """Return the one entry of a name, written `name` or `distribution:name`.

        Raises PluginError for an unknown name (with the nearest known one), for a name that two distributions claim, and for one
        whose distribution is switched off by OHMLET_DISABLE_PLUGINS.
        """
        found, bare = self._claims(name), name.rpartition(":")[2]
        active = [entry for entry in found if entry.dist is None or canonical(entry.dist) not in switched_off()]
        if found and not active:
            raise PluginError(f"{self.kind} '{name}' from {found[0]} is switched off by OHMLET_DISABLE_PLUGINS")
        if not active:
            raise PluginError(f"unknown {self.kind} {shortened(name)}; {did_you_mean(bare, self.entries())}")
        if len(active) > 1:
            raise PluginError(
                f"{self.kind} '{name}' is registered by {' and by '.join(map(str, active))}; "
                f"write the distribution too, for example '{active[0].dist or '<distribution>'}:{bare}'"
            )
        return active[0]

    def get(self, name: str) -> type[T]:
        """Return the class of a name, imported and checked on first use; raises PluginError with the distribution and the reason."""
        entry = self.find(name)
        if entry not in self._classes:
            self._classes[entry] = self._load(entry)
        return self._classes[entry]

    def name_of(self, cls: type) -> str:
        """Return the name under which a class is registered, for dumping configs; raises PluginError when it is not."""
        target = f"{cls.__module__}:{cls.__qualname__}"
        names = {entry.name: entry for entries in self.entries().values() for entry in entries if entry.target == target}
        if not names:
            raise PluginError(
                f"{target} is not registered as a {self.kind}: declare it as an entry point in the group ohmlet.{self.kind}, "
                f"or call ohmlet.register(name, {cls.__name__}) in this process"
            )
        name = min(names)
        return f"{names[name].dist}:{name}" if len(self.entries()[name]) > 1 and names[name].dist else name

    def register(self, name: str, cls: type[T]) -> type[T]:
        """Register a class for this process only (notebooks, tests); the same name may be registered again, an installed one may not."""
        if not (isinstance(name, str) and NAME.fullmatch(name)):
            raise PluginError(f"a {self.kind} name is lower case letters, digits and underscores, a letter first: {shortened(name)}")
        if name in self.entries() and name not in self._local:
            claims = " and by ".join(map(str, self.entries()[name]))
            raise PluginError(f"{self.kind} '{name}' is already registered by {claims}; choose another name")
        entry = Entry(name, f"{cls.__module__}:{cls.__qualname__}")
        self._classes.pop(entry, None)
        self._classes[entry] = self._checked(entry, cls)
        self._local[name] = entry
        return cls

    def survey(self) -> Iterator[tuple[Entry, type[T] | PluginError]]:
        """Load everything and yield each entry with its class or with what is wrong; never raises."""
        for name, entries in self.entries().items():
            for entry in entries:
                try:
                    yield entry, self.get(f"{entry.dist}:{name}" if entry.dist else name)
                except PluginError as error:
                    yield entry, error

    def _load(self, entry: Entry) -> type[T]:
        words = f"{self.kind} '{entry.name}' from {entry}"
        if entry.requirement:
            import ohmlet

            raise PluginError(f"{words} is not loaded: it needs {entry.requirement}, this is ohmlet {ohmlet.__version__}")
        if not NAME.fullmatch(entry.name):
            raise PluginError(
                f"{words} has a name that no config can write: use lower case letters, digits and underscores, a letter first"
            )
        module, _, qualname = entry.target.partition(":")
        try:
            found: Any = import_module(module)
            for part in qualname.split("."):
                found = getattr(found, part)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a stranger's module may even call sys.exit while it is imported
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise PluginError(f"{words} failed to import: {reason}") from error
        return self._checked(entry, found)

    def _checked(self, entry: Entry, found: Any) -> type[T]:
        words, base = f"{self.kind} '{entry.name}' from {entry}", self.base()
        if not (isinstance(found, type) and issubclass(found, base)):
            raise PluginError(f"{words} must be a subclass of {base.__module__}.{base.__name__}, got {found!r}")
        if inspect.isabstract(found):
            missing = ", ".join(sorted(getattr(found, "__abstractmethods__")))  # noqa: B009 - mypy knows it of ABCMeta only
            raise PluginError(f"{words} does not implement: {missing}")
        if issubclass(found, Spec):
            if not has(found) or "__attrs_attrs__" not in vars(found):
                raise PluginError(f"{words} must be decorated with attrs.frozen(kw_only=True)")
            if any(attribute.name == "type" for attribute in found.__attrs_attrs__):
                raise PluginError(f"{words} has a field called 'type', which configs use for the plugin's name; rename the field")
        if f"{found.__module__}:{found.__qualname__}" != entry.target:
            raise PluginError(f"{words} must point at the defining module: write {found.__module__}:{found.__qualname__}")
        return found  # type: ignore[no-any-return]


@functools.cache
def registry(kind: str) -> Registry[Any]:
    """Return the registry of a kind in this process; raises PluginError for an unknown kind."""
    if kind not in KINDS:
        raise PluginError(f"unknown kind {shortened(kind)}; {did_you_mean(kind, KINDS)}")

    def base() -> type:
        module, _, name = KINDS[kind].partition(":")
        return getattr(import_module(module), name)  # type: ignore[no-any-return]

    return Registry(kind, base)


def register(name: str, cls: type[T]) -> type[T]:
    """Register a plugin class under a name for this process only; its interface tells the kind."""
    kind = getattr(cls, "kind", None)
    if not isinstance(kind, str) or kind not in KINDS:
        raise PluginError(f"{cls!r} is no plugin class: subclass one of ohmlet.interfaces ({', '.join(KINDS)})")
    return registry(kind).register(name, cls)
