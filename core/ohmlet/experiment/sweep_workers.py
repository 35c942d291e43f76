"""Trials of a sweep: one in this process, or several side by side, each in a process of its own that may die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ohmlet.errors import ConfigError, OhmletError
from ohmlet.experiment.checkpoint import Interrupted, Stopper
from ohmlet.experiment.progress import Quiet, Stage
from ohmlet.experiment.sweep import Swept
from ohmlet.experiment.sweep_study import Study, Taken
from ohmlet.experiment.sweep_trial import objective, outcome_of

if TYPE_CHECKING:
    from ohmlet.experiment.sweep_run import Shown

__all__ = ["side_by_side", "tried"]

OFTEN = 0.5
"""Seconds between looks at the storage."""


class Told(Quiet):
    """Passes on what a run says of its stages, as words."""

    def __init__(self, words: str, note: Callable[[str], None]) -> None:
        self.words, self.told = words, note

    @contextmanager
    def stage(self, name: str, total: int, done: int = 0) -> Iterator[Stage]:
        """Enter a stage."""
        del total, done
        self.told(f"{self.words}: {name}")
        yield _Words(f"{self.words}: ", self.told)


class _Words(Stage):
    def __init__(self, words: str, told: Callable[[str], None]) -> None:
        self.words, self.told = words, told

    def note(self, words: str) -> None:
        self.told(self.words + words)


def tried(swept: Swept, study: Study, taken: Taken, folder: Path, note: Callable[[str], None], allow_import: bool) -> None:
    """Run a trial and record its outcome, or the words of its error; raises Interrupted when the user stops it."""
    progress = Told(f"point {taken.index}", note)
    with study.alive(taken):
        try:
            outcome = outcome_of(swept, taken.index, taken.point, folder, progress, allow_import)
        except Interrupted:
            raise
        except Exception as error:
            words = str(error) or "no words"
            study.fail(taken.trial_id, words if isinstance(error, ConfigError) else f"{type(error).__name__}: {words}")
        else:
            study.finish(taken, outcome, objective(swept, outcome["curves"]))


def _work(plain: dict[str, Any], path: str, url: str, folder: Path, allow_import: bool, told: Connection) -> None:
    """Try points until none waits; stop at SIGTERM, or when the parent is gone."""
    # Ctrl-C goes to the whole group of a terminal; the parent passes it on, once.
    os.setpgrp()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    try:
        with Stopper().listening() as stopper:
            _work_on(Swept.parse(plain, path), url, folder, allow_import, told, stopper)
    except Exception as error:  # of the storage, say: the experiments' own are recorded with their points
        _tell(told, ("failed", f"{type(error).__name__}: {error}"))


def _follow(parent: Any) -> None:
    """Ask this process to stop when its parent is gone."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)


def _work_on(swept: Swept, url: str, folder: Path, allow_import: bool, told: Connection, stopper: Stopper) -> None:
    study = Study(swept, url)
    while not stopper.asked and (taken := study.take()):
        _tell(told, ("trial", taken.trial_id))
        try:
            tried(swept, study, taken, folder, lambda words: _tell(told, ("note", words)), allow_import)
        except (Interrupted, KeyboardInterrupt):
            study.give_back(taken.trial_id)
            return
        finally:
            _tell(told, ("trial", None))


def _tell(told: Connection, message: tuple[str, Any]) -> None:
    try:
        told.send(message)
    except OSError:  # the parent is gone, and the storage holds what matters
        return


def side_by_side(swept: Swept, study: Study, url: str, folder: Path, allow_import: bool, stopper: Stopper, shown: Shown) -> None:
    """Try points in processes until none waits; a process that dies is replaced and its point queued again.

    Raises Interrupted when all have stopped because the user asked for it.
    """
    context = multiprocessing.get_context("spawn")
    workers: dict[Connection, tuple[Any, int | None]] = {}
    plain, told = {**swept.content, "sweep": swept.to_plain()["sweep"]}, False
    try:
        while True:
            waiting = study.counts()[1]
            while not stopper.asked and waiting > 0 and len(workers) < swept.sweep.processes:
                ours, theirs = context.Pipe(duplex=False)
                worker = context.Process(target=_work, args=(plain, swept.path, url, folder, allow_import, theirs), daemon=True)
                worker.start()
                theirs.close()
                workers[ours] = (worker, None)
                waiting -= 1
            if not workers:
                break
            if stopper.asked and not told:
                told = True
                for worker, _ in workers.values():
                    worker.terminate()
            _listen(workers, study, shown)
            shown.look()
    finally:
        for worker, _ in workers.values():
            worker.terminate()
            worker.join(timeout=10)
    stopper.check()


def _listen(workers: dict[Connection, tuple[Any, int | None]], study: Study, shown: Shown) -> None:
    """Hear what processes say for a while; raises OhmletError when one of them cannot work at all."""
    for ready in wait(list(workers), timeout=OFTEN):
        assert isinstance(ready, Connection)
        worker, trial = workers[ready]
        try:
            word, what = ready.recv()
        except EOFError:
            worker.join()
            del workers[ready]
            words = f"its process ended with exit status {worker.exitcode}"
            if worker.exitcode and trial is not None:
                study.died(trial, words)
            continue
        if word == "failed":
            raise OhmletError(f"a process that tries points stopped: {what}")
        if word == "trial":
            workers[ready] = (worker, what)
        else:
            shown.stage.note(what)
