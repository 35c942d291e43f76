"""A whole sweep: every point tried, in this process or in several, on this machine or on more; resumable at any point."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from ohmlet.config import files
from ohmlet.experiment import sweep_workers
from ohmlet.experiment.checkpoint import Stopper
from ohmlet.experiment.progress import Bars, Quiet, Stage
from ohmlet.experiment.sweep import Swept
from ohmlet.experiment.sweep_report import results_of, write_report
from ohmlet.experiment.sweep_storage import url_of
from ohmlet.experiment.sweep_study import Study

__all__ = ["SweepRun"]


class SweepRun:
    """A sweep in its output folder; `results` fills at the end and is what results.json holds."""

    def __init__(
        self,
        experiment: Swept,
        folder: Path,
        progress: Quiet | Bars,
        *,
        storage: str | None = None,
        allow_import: bool = False,
        fresh: bool = False,
    ) -> None:
        self.experiment, self.folder, self.progress, self.allow_import = experiment, folder, progress, allow_import
        self.results: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self.url = url_of(folder, storage)
        self.study = Study(experiment, self.url, fresh=fresh)
        self.resumed = bool(self.study.latest())
        if fresh:
            shutil.rmtree(folder / "trials", ignore_errors=True)

    def __call__(self) -> dict[str, Any]:
        """Try all points and return the results; raises Interrupted, with all points kept, when the user stops it."""
        swept, stopper = self.experiment, Stopper()
        files.write(swept.to_plain(), self.folder / "experiment.yaml")
        self.study.fill()
        with stopper.listening(), self.progress.stage("trials", swept.sweep.size, self.study.counts()[0]) as stage:
            shown = Shown(self.study, stage)
            while True:
                shown.look()
                over, waiting, running = self.study.counts()
                if not waiting and not running:
                    break
                stopper.check()
                if not waiting:
                    stage.note(f"{running} run elsewhere, or died less than a minute ago")
                    time.sleep(sweep_workers.OFTEN)
                    self.study.rescue()
                elif swept.sweep.processes == 1:
                    self._one(stage)
                else:
                    sweep_workers.side_by_side(swept, self.study, self.url, self.folder, self.allow_import, stopper, shown)
            stage.note(f"{over} points")
        self.results = results_of(swept, self.study)
        write_report(self)
        return self.results

    def _one(self, stage: Stage) -> None:
        """Try one point in this process."""
        if taken := self.study.take():
            try:
                sweep_workers.tried(self.experiment, self.study, taken, self.folder, stage.note, self.allow_import)
            except BaseException:
                self.study.give_back(taken.trial_id)
                raise


class Shown:
    """A stage that counts the points that are over, whoever tried them."""

    def __init__(self, study: Study, stage: Stage) -> None:
        self.study, self.stage, self.over = study, stage, study.counts()[0]

    def look(self) -> None:
        """Count what has come since the last look."""
        over = self.study.counts()[0]
        if over > self.over:
            self.stage.advance(over - self.over)
        self.over = over
