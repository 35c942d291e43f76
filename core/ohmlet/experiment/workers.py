"""Trainings side by side, each in a process of its own on one thread; one process does them in turn where that is asked for."""

from __future__ import annotations

import multiprocessing
import queue
from collections.abc import Callable
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch

from ohmlet.errors import ConfigError, OhmletError
from ohmlet.experiment.checkpoint import Interrupted, Stopper
from ohmlet.experiment.comparison import Comparison
from ohmlet.experiment.contest import Job, take_part
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Stage

__all__ = ["in_turn", "side_by_side"]

Finished = Callable[[Job, dict[str, Any]], None]
OFTEN = 0.2
"""Seconds between looks at processes that say nothing."""


def in_turn(
    comparison: Comparison, waiting: list[Job], folder: Path, imports: Imports, stopper: Stopper, stage: Stage, finished: Finished
) -> None:
    """Do the trainings one after the other in this process."""
    split, threads = comparison.data.load(imports), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for job in waiting:
            finished(job, take_part(comparison, job, folder, split, imports, stopper, stage))
    finally:
        torch.set_num_threads(threads)


class _Told(Stage):
    """Tells the parent process of progress, a hundred steps at a time."""

    def __init__(self, told: Any) -> None:
        self.told, self.held = told, 0

    def advance(self, count: int = 1) -> None:
        self.held += count
        if self.held >= 100:
            self.told.put(("advance", self.held))
            self.held = 0

    def note(self, words: str) -> None:
        self.told.put(("advance", self.held))
        self.told.put(("note", words))
        self.held = 0


class _Watched(Stopper):
    """Asks to stop when the parent does, or is gone."""

    def __init__(self, stop: Event) -> None:
        super().__init__()
        self.stop, self.looks = stop, 0

    @property
    def asked(self) -> bool:
        """Whether to stop at the next step."""
        self.looks += 1
        parent = multiprocessing.parent_process()
        return self.stop.is_set() or (self.looks % 100 == 0 and parent is not None and not parent.is_alive())

    @asked.setter
    def asked(self, value: bool) -> None:
        del value


def _work(plain: dict[str, Any], waiting: Any, told: Any, stop: Event, folder: Path, allow_import: bool) -> None:
    """Do trainings until none waits."""
    import signal

    # The terminal sends Ctrl-C to all processes; the parent passes it on.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    comparison, imports = Comparison.parse(plain), Imports(allow_import)
    torch.set_num_threads(1)
    try:
        split = comparison.data.load(imports)
        while True:
            job = Job(*waiting.get_nowait())
            told.put(("finished", job, take_part(comparison, job, folder, split, imports, _Watched(stop), _Told(told))))
    except (queue.Empty, Interrupted):
        told.put(("ended",))
    except ConfigError as error:
        told.put(("failed", list(error.problems)))
    except Exception as error:
        told.put(("failed", [f"{type(error).__name__}: {error}"]))


def side_by_side(
    comparison: Comparison, waiting: list[Job], folder: Path, imports: Imports, stopper: Stopper, stage: Stage, finished: Finished
) -> None:
    """Do the trainings in `comparison.processes` processes; raises Interrupted when all of them have stopped, OhmletError when one died."""
    context = multiprocessing.get_context("spawn")
    queued, told, stop = context.Queue(), context.Queue(), context.Event()
    for job in waiting:
        queued.put(tuple(job))
    arguments = (comparison.to_plain(), queued, told, stop, folder, imports.allowed)
    workers = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(min(comparison.processes, len(waiting)))]
    for worker in workers:
        worker.start()
    try:
        ended = 0
        while ended < len(workers):
            if stopper.asked:
                stop.set()
            try:
                word, *rest = told.get(timeout=OFTEN)
            except queue.Empty:
                dead = [worker.exitcode for worker in workers if worker.exitcode]
                if dead:
                    raise OhmletError(
                        f"a training's process ended with exit status {dead[0]}; run again to go on from the last checkpoint"
                    ) from None
                continue
            if word == "failed":
                raise ConfigError(*rest[0])
            if word == "ended":
                ended += 1
            elif word == "finished":
                finished(*rest)
            else:
                getattr(stage, word)(*rest)
        stopper.check()
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=10)
            worker.terminate()
