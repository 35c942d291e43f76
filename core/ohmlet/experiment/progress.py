"""What a run shows while it works: bars on a terminal, a line per stage elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

__all__ = ["Bars", "Quiet", "Stage"]


class Stage:
    """One stage of a run; `advance` counts its units, `note` states how it stands."""

    def advance(self, count: int = 1) -> None:
        """Count units as done."""

    def note(self, words: str) -> None:
        """State how the stage stands."""


class Quiet:
    """Shows nothing: for programs and tests."""

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        """Enter a stage of `total` units, of which some are done already."""
        del name, total, done
        yield Stage()


class _Bar(Stage):
    def __init__(self, progress: Progress, name: str, total: int, done: int) -> None:
        self.progress, self.words = progress, ""
        self.task = progress.add_task(name, total=total, completed=done, note="")

    def advance(self, count: int = 1) -> None:
        self.progress.advance(self.task, count)

    def note(self, words: str) -> None:
        self.words = words
        self.progress.update(self.task, note=words)


class Bars:
    """Progress bars on a terminal; without one, a line when a stage ends, so that logs stay short."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        """Enter a stage of `total` units, of which some are done already."""
        columns = (
            TextColumn("{task.description:<24}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        began = time.monotonic()
        with Progress(*columns, console=self.console, disable=not self.console.is_terminal) as progress:
            bar = _Bar(progress, name, total, done)
            yield bar
        if not self.console.is_terminal:
            self.console.print(f"{name}: {bar.words} ({time.monotonic() - began:.1f} s)", highlight=False)
