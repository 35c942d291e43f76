"""A whole run: train digitally, convert and fine-tune, program chips, evaluate them over time; resumable at any point."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ohmlet
from ohmlet.chip import program
from ohmlet.config import files
from ohmlet.conversion import analog_layers, convert, retarget
from ohmlet.errors import ConfigError, UnprogrammedWarning
from ohmlet.experiment.checkpoint import Checkpoint, Interrupted, Stopper
from ohmlet.experiment.data import Split
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Bars, Quiet
from ohmlet.experiment.report import write_report
from ohmlet.experiment.schema import Experiment
from ohmlet.experiment.train import accuracy, train
from ohmlet.hooks import hooks
from ohmlet.units import seconds
from ohmlet_kernels.noise import key

__all__ = ["Run", "batches", "on_threads"]

MASK = 2**63 - 1


def batches(split: Split, size: int = 512, on: str = "test") -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the test or the validation samples in batches."""
    x, y = split.evaluated(on)
    return [(x[i : i + size], y[i : i + size]) for i in range(0, len(x), size)]


class Run:
    """An experiment in its output folder; `results` fills as it goes and ends in results.json."""

    def __init__(
        self, experiment: Experiment, folder: Path, progress: Quiet | Bars, *, allow_import: bool = False, fresh: bool = False
    ) -> None:
        self.experiment, self.folder, self.progress = experiment, folder, progress
        self.imports = Imports(allow_import)
        self.results: dict[str, Any] = {}
        self.checkpoint = Checkpoint(folder, experiment.to_plain())
        folder.mkdir(parents=True, exist_ok=True)
        if fresh:
            self.checkpoint.remove()
        self.state: dict[str, Any] = self.checkpoint.load() or {}
        self.resumed = bool(self.state)

    def __call__(self) -> dict[str, Any]:
        """Run to the end and return the results; raises Interrupted, with a checkpoint written, when the user stops it."""
        files.write(self.experiment.to_plain(), self.folder / "experiment.yaml")
        stopper = Stopper()
        with stopper.listening(), on_threads(self.experiment.threads):
            try:
                self._run(stopper)
            except Interrupted:
                self.save()
                raise
        write_report(self)
        self.checkpoint.remove()
        hooks().ohmlet_run_finished(run=self)
        return self.results

    @classmethod
    def finished(cls, experiment: Experiment, folder: Path, progress: Quiet | Bars) -> dict[str, Any]:
        """Return the results of an experiment, from its folder if they are there, else by running what is left of it.

        For studies of many runs. Raises Interrupted, with a checkpoint written, when the user stops it, ConfigError when the folder
        holds a run with other settings.
        """
        results, settings = folder / "results.json", folder / "experiment.yaml"
        if results.exists():
            if Experiment.load(settings) != experiment:
                raise ConfigError(f"{folder} holds the results of other settings; choose another folder, or delete this one")
            found: dict[str, Any] = json.loads(results.read_text("utf-8"))
            return found
        return cls(experiment, folder, progress)()

    def save(self) -> None:
        """Write the checkpoint."""
        self.checkpoint.save(self.state)

    def _run(self, stopper: Stopper) -> None:
        e = self.experiment
        split = e.data.load(self.imports)
        evaluated = split.evaluated(e.evaluation.on)
        torch.manual_seed(e.seed)
        digital = e.model.build(split, self.imports)
        digital_accuracy = self._school("digital", digital, split, stopper)
        models, trained = {}, {"digital": digital_accuracy}
        if e.evaluation.direct:
            models["direct"] = _untrained(self._converted(digital))
        if e.training.hardware_aware is not None:
            aware = self._converted(digital)
            trained["hardware_aware"] = self._school("hardware_aware", aware, split, stopper)
            models["hardware_aware"] = aware
        rows = self._evaluate(models, split, stopper)
        self.results = {
            "schema": 1,
            "ohmlet": ohmlet.__version__,
            "name": e.name,
            "seed": e.seed,
            "evaluated_on": e.evaluation.on,
            "samples": len(evaluated[1]),
            "accuracy_before_programming": trained,
            "accuracy_on_chips": rows,
        }
        if "programming" in self.state:
            self.results["programming"] = self.state["programming"]

    def _converted(self, digital: nn.Module) -> nn.Module:
        e = self.experiment
        hardware = e.hardware if e.hardware.seed is not None else e.hardware.override({"seed": e.seed})
        return convert(copy.deepcopy(digital), hardware, e.rules).model

    def _school(self, phase: str, model: nn.Module, split: Split, stopper: Stopper) -> float:
        settings = getattr(self.experiment.training, phase)
        state = self.state.setdefault(phase, {})
        total = settings.epochs * -(-len(split.train_x) // settings.batch_size)
        with self.progress.stage(f"{phase.replace('_', '-')} training", total, state.get("step", 0)) as stage:
            train(model, split, settings, self.experiment.seed, phase, state, self.save, stopper, stage)
            if "accuracy" not in state:
                with _unprogrammed_on_purpose():
                    state["accuracy"] = accuracy(model, *split.evaluated(self.experiment.evaluation.on))
            stage.note(f"{self.experiment.evaluation.on} accuracy {100 * state['accuracy']:.1f} %")
        return float(state["accuracy"])

    def _evaluate(self, models: dict[str, nn.Module], split: Split, stopper: Stopper) -> list[dict[str, Any]]:
        ev = self.experiment.evaluation
        compensated = (True, False) if ev.uncompensated else (True,)
        done: dict[str, list[float]] = self.state.setdefault("evaluation", {})
        cells = [(v, m, c, t) for v in ev.variants for m in models for c in compensated for t in ev.times]
        samples = batches(split, on=ev.on)
        chips: dict[tuple[str, str], Any] = {}
        rows: list[dict[str, Any]] = []
        with self.progress.stage("evaluating chips", len(cells), len(done)) as stage:
            for variant, method, compensate, time in cells:
                label = f"{variant}|{method}|{compensate}|{seconds(time)}"
                if label not in done:
                    stopper.check()
                    if (variant, method) not in chips:
                        self.save()
                        chips = {(variant, method): self._chip(variant, method, models[method])}
                    view = chips[variant, method].at(time, compensated=compensate)
                    done[label] = view.accuracy(samples).tolist()
                    stage.advance()
                values = torch.tensor(done[label], dtype=torch.float64)
                mean, std = float(values.mean()), float(values.std()) if len(values) > 1 else 0.0
                rows.append(
                    {
                        "variant": variant,
                        "training": method,
                        "compensated": compensate,
                        "time_s": seconds(time),
                        "mean": mean,
                        "std": std,
                        "instances": done[label],
                    }
                )
            stage.note(f"{ev.instances} instances")
        return rows

    def _chip(self, variant: str, method: str, model: nn.Module) -> Any:
        """Return the chips of a model under a variant of its hardware; both methods meet the same programming noise."""
        changes = self.experiment.evaluation.variants[variant]
        model = copy.deepcopy(model)
        if changes:
            retarget(model, changes)
        ev = self.experiment.evaluation
        seed = key(self.experiment.seed, "chips", variant) & MASK
        chip = program(model, ev.instances, seed=seed, write=ev.write, faults=ev.faults)
        if chip.report is not None:
            self.state.setdefault("programming", {})[f"{variant}|{method}"] = chip.report.to_plain()
        return chip


def _untrained(model: nn.Module) -> nn.Module:
    """Return a converted model without the settings of hardware-aware training: its clip would change weights that never met it."""
    for layer in analog_layers(model, "direct mapping").values():
        if hasattr(layer.config.tile, "training"):
            layer.retarget(layer.config.override({"tile.training": {}}))
    return model


@contextmanager
def on_threads(count: int) -> Iterator[None]:
    """Let torch compute on this many threads, unless 0."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _unprogrammed_on_purpose() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnprogrammedWarning)
        yield
