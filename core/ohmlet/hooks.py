"""Moments at which plugins may act, through pluggy; parts with a name are entry points of their kind instead (`ohmlet.registry`)."""

from __future__ import annotations

import functools
import warnings
from typing import TYPE_CHECKING, Any

import pluggy

import ohmlet
from ohmlet.errors import PluginError
from ohmlet.registry import Entry, installed, switched_off

if TYPE_CHECKING:
    import click

    from ohmlet.chip import Chip, ChipView
    from ohmlet.config.analog import AnalogConfig

__all__ = ["hookimpl", "hooks", "manager"]

hookspec = pluggy.HookspecMarker("ohmlet")
hookimpl = pluggy.HookimplMarker("ohmlet")
"""Decorates a plugin's functions; the entry point in the group `ohmlet.hooks` names their module or an object that has them."""


class Moments:
    """Every moment with its arguments; implementations run last registered first, and an exception in one reaches the caller."""

    @hookspec
    def ohmlet_check_config(self, config: AnalogConfig) -> list[str]:  # type: ignore[empty-body]
        """A config was checked by `ohmlet check FILE`: return one line per further problem."""

    @hookspec
    def ohmlet_after_program(self, chip: Chip) -> None:
        """A model was programmed onto chip instances."""

    @hookspec
    def ohmlet_after_drift(self, chip: Chip, view: ChipView) -> None:
        """A chip is looked at at the time `view.t` seconds."""

    @hookspec
    def ohmlet_run_finished(self, run: Any) -> None:
        """An experiment finished: `run.experiment`, `run.results`, `run.folder`."""

    @hookspec
    def ohmlet_add_commands(self) -> list[click.Command]:  # type: ignore[empty-body]
        """The command line starts with a command that is not built in, or shows its help: return further commands."""

    @hookspec
    def ohmlet_report_sections(self, run: Any) -> list[tuple[str, str]]:  # type: ignore[empty-body]
        """An experiment's report is written: return (title, text) of further sections."""


def loaded(entries: list[Entry]) -> pluggy.PluginManager:
    """Return a manager with the given hook plugins; one that does not load or fit is left out with a warning that says why."""
    made = pluggy.PluginManager("ohmlet")
    made.add_hookspecs(Moments)
    for entry in entries:
        name = f"{entry.dist}:{entry.name}"
        try:
            if entry.requirement:
                raise PluginError(f"it needs {entry.requirement}, this is ohmlet {ohmlet.__version__}")
            assert entry.point is not None
            made.register(entry.point.load(), name=name)
            made.check_pending()
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # a stranger's module may even call sys.exit while it is imported
            if made.has_plugin(name):
                made.unregister(name=name)
            warnings.warn(f"hooks '{entry.name}' from {entry} are off: {type(error).__name__}: {error}", RuntimeWarning, stacklevel=2)
    return made


@functools.cache
def manager() -> pluggy.PluginManager:
    """Return the manager of this process, with the hook plugins of every installed distribution but those switched off."""
    return loaded([entry for entry in installed("ohmlet.hooks") if entry.dist not in switched_off()])


def hooks() -> Any:
    """Return the callable moments: `hooks().ohmlet_after_program(chip=chip)`."""
    return manager().hook
