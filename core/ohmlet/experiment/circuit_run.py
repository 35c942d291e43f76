"""A whole run at circuit level: train digitally, program crossbars with pulses, run samples through them; resumable at any point."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import ohmlet
from ohmlet.chip.targets import targets_of
from ohmlet.circuit import Progress, Tuned
from ohmlet.config import files
from ohmlet.conversion import analog_layers, convert
from ohmlet.errors import ConfigError
from ohmlet.experiment.checkpoint import Checkpoint, Interrupted, Stopper
from ohmlet.experiment.circuit import CircuitExperiment, device_of
from ohmlet.experiment.circuit_chip import Cells, cells_of, chip_of, on_lines, program_crossbar
from ohmlet.experiment.circuit_reading import answers_of, variant_of
from ohmlet.experiment.circuit_report import write_report
from ohmlet.experiment.circuit_results import Programmed, crossbar_row, full_scale, variant_row
from ohmlet.experiment.data import Split
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Bars, Quiet, Stage
from ohmlet.experiment.run import on_threads
from ohmlet.experiment.train import accuracy, train
from ohmlet.hooks import hooks
from ohmlet_kernels.noise import key

__all__ = ["CircuitRun"]

MASK = 2**63 - 1

AT_ONCE = 50
"""Samples between looks at whether to stop."""


class CircuitRun:
    """An experiment at circuit level in its output folder; `results` fills at the end and is what results.json holds.

    A folder that holds the results of the same experiment is not computed again unless `fresh`: `found` says so.
    """

    def __init__(
        self, experiment: CircuitExperiment, folder: Path, progress: Quiet | Bars, *, allow_import: bool = False, fresh: bool = False
    ) -> None:
        self.experiment, self.folder, self.progress = experiment, folder, progress
        self.imports = Imports(allow_import)
        self.results: dict[str, Any] = {}
        self.programmed: list[Programmed] = []
        self.checkpoint = Checkpoint(folder, experiment.to_plain())
        folder.mkdir(parents=True, exist_ok=True)
        self.found = not fresh and self._finished()
        if fresh:
            self.checkpoint.remove()
        self.state: dict[str, Any] = {} if self.found else self.checkpoint.load() or {}
        self.resumed = bool(self.state)

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each part, over all sittings."""
        held: dict[str, float] = self.state.setdefault("seconds", {})
        return held

    def __call__(self) -> dict[str, Any]:
        """Run to the end and return the results; raises Interrupted, with a checkpoint written, when the user stops it."""
        if self.found:
            self.results = json.loads((self.folder / "results.json").read_text("utf-8"))
            return self.results
        files.write(self.experiment.to_plain(), self.folder / "experiment.yaml")
        stopper = Stopper()
        with stopper.listening(), on_threads(self.experiment.threads):
            try:
                self._run(stopper)
            except Interrupted:
                self.checkpoint.save(self.state)
                raise
        with self._timed("pictures"):
            write_report(self)
        self.checkpoint.remove()
        hooks().ohmlet_run_finished(run=self)
        return self.results

    def _finished(self) -> bool:
        settings = self.folder / "experiment.yaml"
        if not ((self.folder / "results.json").exists() and settings.exists()):
            return False
        try:
            return CircuitExperiment.load(settings) == self.experiment
        except ConfigError:
            return False

    def _run(self, stopper: Stopper) -> None:
        e = self.experiment
        split = e.data.load(self.imports)
        x, y = (each[: e.evaluation.samples] for each in split.evaluated(e.evaluation.on))
        torch.manual_seed(e.seed)
        digital = e.model.build(split, self.imports)
        self._school(digital, split, stopper)
        hardware = e.hardware if e.hardware.seed is not None else e.hardware.override({"seed": e.seed})
        analog = convert(copy.deepcopy(digital), hardware, e.rules).model
        models = {name: variant_of(name, analog, changes, x[:1]) for name, changes in e.evaluation.variants.items()}
        cells = self._program(analog, stopper)
        rows = self._evaluate(digital, models, cells, x, y, stopper)
        self.results = {
            "schema": 1,
            "ohmlet": ohmlet.__version__,
            "name": e.name,
            "seed": e.seed,
            "evaluated_on": e.evaluation.on,
            "samples": len(y),
            "digital_accuracy": accuracy(digital, x, y),
            "variants": rows,
            "programming": [crossbar_row(each) for each in self.programmed],
            "full_scale": [full_scale(each) for each in self.programmed],
        }

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] = self.seconds.get(part, 0.0) + time.perf_counter() - began

    def _school(self, model: nn.Module, split: Split, stopper: Stopper) -> None:
        settings, state = self.experiment.training, self.state.setdefault("training", {})
        total = settings.epochs * -(-len(split.train_x) // settings.batch_size)
        with self._timed("digital training"), self.progress.stage("digital training", total, state.get("step", 0)) as stage:

            def save() -> None:
                self.checkpoint.save(self.state)

            train(model, split, settings, self.experiment.seed, "digital", state, save, stopper, stage, place="training")
            stage.note(f"{100 * accuracy(model, *split.evaluated(self.experiment.evaluation.on)):.1f} %")

    def _program(self, analog: nn.Module, stopper: Stopper) -> dict[str, list[Cells]]:
        e, done = self.experiment, self.state.setdefault("programming", {})
        seed, device = key(e.seed, "chips", "circuit") & MASK, device_of(e.hardware)
        layers = analog_layers(analog, "programming")
        with torch.no_grad():
            targets = {name: targets_of(name, layer) for name, layer in layers.items()}
        count, sweeps = sum(map(len, targets.values())), e.programming.tuning.max_sweeps
        cells: dict[str, list[Cells]] = {}
        with self._timed("programming"), self.progress.stage("programming", count * sweeps, len(done) * sweeps) as stage:
            for name, its in targets.items():
                cells[name] = []
                for target in its:
                    if target.name not in done:
                        done[target.name] = _packed(*program_crossbar(target, e, seed, _watched(target.name, sweeps, stage, stopper)))
                        self.checkpoint.save(self.state)
                    tuned, stuck = _unpacked(done[target.name])
                    keys, window = target.keys(1, seed), target.array.config.tile.conductance_converter.window  # type: ignore[attr-defined]
                    module = on_lines(target)
                    cells[name].append(cells_of(target, tuned, stuck, module.laid, device, e.programming.tuning.v_read, window))
                    lines = module.lines(cells[name][-1].states, keys)
                    volts = module.driven(torch.ones(1, target.g.shape[-1], dtype=torch.float64, device=target.g.device))[0]
                    latched = None if stuck is None else ~module.laid(stuck).isnan()
                    self.programmed.append(Programmed(target.name, lines, volts, tuned, latched))
        return cells

    def _evaluate(
        self, digital: nn.Module, models: dict[str, nn.Module], cells: dict[str, list[Cells]], x: Tensor, y: Tensor, stopper: Stopper
    ) -> list[dict[str, Any]]:
        e, done = self.experiment, self.state.setdefault("evaluation", {})
        size, rows = min(AT_ONCE, -(-len(x) // 4)), []
        with self.progress.stage("running samples", len(models) * len(x), len(done) * len(x)) as stage:
            for name, model in models.items():
                if name not in done:
                    with self._timed(f"variant {name}"):
                        single = [path for path, layer in analog_layers(model, "a variant").items() if len(layer.arrays()) == 1]
                        seed = key(e.seed, "chips", "circuit") & MASK
                        chip = chip_of(model, cells, seed, device_of(e.hardware))
                        done[name] = answers_of(chip.at(0.0).instance(0), digital, single, x, size, stopper, stage)
                rows.append(variant_row(name, done[name], y))
            stage.note(f"{len(x)} samples, {len(models)} variant{'s' * (len(models) > 1)}")
        return rows


def _watched(name: str, sweeps: int, stage: Stage, stopper: Stopper) -> Any:
    """Return what looks on at the tuning of a crossbar: it counts sweeps, and stops when asked to."""

    def each(progress: Progress) -> None:
        stopper.check()
        if progress.sweep:
            stage.advance()
        words = f"{name}: {progress.pulses:.1f} pulses a cell, {100 * progress.pending:.1f} % of cells to go"
        stage.note(words)

    return each


def _packed(cells: Cells, tuned: Tuned) -> dict[str, Any]:
    """Return what a checkpoint keeps of a programmed crossbar."""
    names = ("g", "read", "target", "accepted", "pulses", "disturb", "energy", "seconds")
    return {
        **{name: getattr(tuned, name) for name in names},
        "history": [list(progress) for progress in tuned.history],
        "stuck": cells.stuck,
    }


def _unpacked(kept: dict[str, Any]) -> tuple[Tuned, Tensor | None]:
    history = tuple(Progress(*numbers) for numbers in kept["history"])
    rest = {name: value for name, value in kept.items() if name not in {"history", "stuck"}}
    return Tuned(**rest, history=history), kept["stuck"]
