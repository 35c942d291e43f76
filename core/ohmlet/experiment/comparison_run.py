"""A whole comparison: every variant and the digital baseline trained with every seed; resumable at any point."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ohmlet
from ohmlet.config import files
from ohmlet.experiment.checkpoint import Stopper
from ohmlet.experiment.comparison import Comparison
from ohmlet.experiment.comparison_report import write_report
from ohmlet.experiment.contest import Job, checkpoint_of, jobs
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Bars, Quiet
from ohmlet.experiment.workers import in_turn, side_by_side
from ohmlet.hooks import hooks

__all__ = ["ComparisonRun"]


class ComparisonRun:
    """A comparison in its output folder; `results` fills at the end and is what results.json holds."""

    def __init__(
        self, experiment: Comparison, folder: Path, progress: Quiet | Bars, *, allow_import: bool = False, fresh: bool = False
    ) -> None:
        self.experiment, self.folder, self.progress = experiment, folder, progress
        self.imports = Imports(allow_import)
        self.results: dict[str, Any] = {}
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            shutil.rmtree(folder / "trainings", ignore_errors=True)
        found = [checkpoint_of(experiment, folder, job).load() for job in jobs(experiment)]
        self.done: dict[Job, dict[str, Any]] = {
            job: state["outcome"] for job, state in zip(jobs(experiment), found, strict=True) if state and "outcome" in state
        }
        self.resumed = any(state is not None for state in found)

    def __call__(self) -> dict[str, Any]:
        """Run to the end and return the results; raises Interrupted, with checkpoints written, when the user stops it."""
        e = self.experiment
        files.write(e.to_plain(), self.folder / "experiment.yaml")
        split = e.data.load(self.imports)
        per_epoch = -(-len(split.train_x) // e.training.batch_size)
        every = jobs(e)
        waiting = [job for job in every if job not in self.done]
        each = e.training.epochs * per_epoch
        stopper = Stopper()
        how = in_turn if e.processes == 1 else side_by_side
        with stopper.listening(), self.progress.stage("training in memory", len(every) * each, len(self.done) * each) as stage:
            if waiting:
                how(e, waiting, self.folder, self.imports, stopper, stage, self.done.__setitem__)
            stage.note(f"{len(every)} trainings")
        self.results = {
            "schema": 1,
            "ohmlet": ohmlet.__version__,
            "name": e.name,
            "seeds": list(e.seeds),
            "samples": len(split.test_y),
            "vectors": len(split.train_x) * e.training.epochs,
            "trainings": [self.done[job] for job in every],
        }
        write_report(self)
        shutil.rmtree(self.folder / "trainings")
        hooks().ohmlet_run_finished(run=self)
        return self.results
