"""Where a run stands, on disk, so that it can go on after Ctrl-C or a crash as if nothing had happened."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from ohmlet.errors import ConfigError

__all__ = ["Checkpoint", "Interrupted", "Stopper", "whole"]


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a path beside this one to write to, which takes its place at the end; after an error or Ctrl-C nothing is left of it."""
    path = Path(path)
    new = path.with_name(f"{path.stem}.new{path.suffix}")
    try:
        yield new
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


class Interrupted(Exception):  # noqa: N818 - a request of the user, not an error
    """The user asked the run to stop and its checkpoint is written."""


class Stopper:
    """Turns the first Ctrl-C (or a termination signal) into a request that the run honours at its next step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False

    def check(self) -> None:
        """Raise Interrupted when a stop was asked for."""
        if self.asked:
            raise Interrupted

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def listening(self) -> Iterator[Stopper]:
        """Listen while the block runs; does nothing outside the main thread, where Python delivers no signals."""
        import threading

        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class Checkpoint:
    """A run's state in its folder: plain tensors and values, replaced in one move so that a crash leaves the old one whole."""

    def __init__(self, folder: Path, experiment: dict[str, Any]) -> None:
        self.path, self.experiment = folder / "checkpoint.pt", json.dumps(experiment, sort_keys=True, default=str)

    def save(self, state: dict[str, Any]) -> None:
        """Write the state."""
        new = self.path.with_suffix(".new")
        torch.save({"experiment": self.experiment, "state": state}, new)
        new.replace(self.path)

    def load(self) -> dict[str, Any] | None:
        """Return the state, or None when there is none; raises ConfigError when it belongs to another experiment or cannot be read."""
        if not self.path.exists():
            return None
        try:
            found = torch.load(self.path, weights_only=True)
        except Exception as error:
            raise ConfigError(f"{self.path} cannot be read ({type(error).__name__}); start over with --fresh") from error
        if found["experiment"] != self.experiment:
            raise ConfigError(
                f"{self.path} belongs to an unfinished run with other settings; start over with --fresh, or choose another --out"
            )
        state: dict[str, Any] = found["state"]
        return state

    def remove(self) -> None:
        """Forget the state."""
        self.path.unlink(missing_ok=True)
