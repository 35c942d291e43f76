"""One training of a comparison: a variant with a seed, its learning curve, and how often its devices were pulsed."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import torch
from attrs import asdict
from torch import nn

from ohmlet.cells import DeviceArray
from ohmlet.conversion import convert
from ohmlet.errors import UnprogrammedWarning
from ohmlet.experiment.aging import accuracies
from ohmlet.experiment.checkpoint import Checkpoint, Stopper
from ohmlet.experiment.comparison import DIGITAL, Comparison
from ohmlet.experiment.data import Split
from ohmlet.experiment.imports import Imports
from ohmlet.experiment.progress import Stage
from ohmlet.experiment.train import accuracy, train
from ohmlet.nn import AnalogLayer

__all__ = ["Job", "checkpoint_of", "jobs", "pulse_counts", "take_part", "transfers"]


class Job(NamedTuple):
    """One training."""

    variant: str
    seed: int

    @property
    def folder(self) -> str:
        """The name of its folder among the trainings."""
        return f"{self.variant}, seed {self.seed}"


def jobs(comparison: Comparison) -> list[Job]:
    """Return all trainings, the baseline's first, seed by seed."""
    return [Job(variant, seed) for seed in comparison.seeds for variant in (DIGITAL, *comparison.compare)]


def checkpoint_of(comparison: Comparison, folder: Path, job: Job) -> Checkpoint:
    """Return where a training stands on disk; how many run at a time is none of its business."""
    settings = {name: value for name, value in comparison.to_plain().items() if name != "processes"}
    return Checkpoint(folder / "trainings" / job.folder, settings)


def pulse_counts(model: nn.Module) -> list[dict[str, Any]]:
    """Return the pulses of each array whose devices count them: layer, array, devices, and pulses up and down of all its devices."""
    rows = []
    for layer_name, layer in model.named_modules():
        for name, module in layer.named_modules() if isinstance(layer, AnalogLayer) else ():
            if isinstance(module, DeviceArray) and hasattr(module, "pulses"):
                up, down = module.get_buffer("pulses").flatten(1).sum(1).tolist()
                array = ".".join(re.findall(r"arrays\.(\w+)", name)) or "device"
                rows.append({"layer": layer_name, "array": array, "devices": module.w.numel(), "up": up, "down": down})
    return rows


def transfers(model: nn.Module) -> list[dict[str, Any]]:
    """Return what has arrived of the transfers of each crossbar whose algorithm keeps account of them: layer, and a report's numbers."""
    asked: dict[str, Any] = {name: module for name, module in model.named_modules() if hasattr(module, "transferred")}
    told = {name: module.transferred() for name, module in asked.items()}
    return [{"layer": name.partition(".array.")[0], **asdict(report)} for name, report in told.items() if report is not None]


def take_part(
    comparison: Comparison, job: Job, folder: Path, split: Split, imports: Imports, stopper: Stopper, stage: Stage
) -> dict[str, Any]:
    """Train from where the training stands and return its outcome; raises Interrupted, with a checkpoint written, when asked to stop."""
    checkpoint = checkpoint_of(comparison, folder, job)
    checkpoint.path.parent.mkdir(parents=True, exist_ok=True)
    state: dict[str, Any] = checkpoint.load() or {"curve": [], "training": {}}
    if "outcome" in state:
        stage.advance(state["training"]["step"])
        found: dict[str, Any] = state["outcome"]
        return found
    stage.advance(state["training"].get("step", 0))
    torch.manual_seed(job.seed)
    model = comparison.model.build(split, imports)
    if job.variant != DIGITAL:
        with warnings.catch_warnings():
            # How the devices start is part of what is compared.
            warnings.filterwarnings("ignore", message=".*devices of layer .* cannot hold their weight.*")
            model = convert(model, comparison.of(job.variant).override({"seed": job.seed})).model

    def look() -> None:
        with warnings.catch_warnings():
            # The curve is that of learning; what becomes of the cells afterwards is what `chips` is for.
            warnings.simplefilter("ignore", UnprogrammedWarning)
            state["curve"].append(accuracy(model, split.test_x, split.test_y))
        stage.note(f"{job.folder}: {100 * state['curve'][-1]:.1f} % after {len(state['curve'])} epochs")

    def save() -> None:
        checkpoint.save(state)

    try:
        train(
            model,
            split,
            comparison.training,
            job.seed,
            "training",
            state["training"],
            save,
            stopper,
            stage,
            place="training",
            after_epoch=look,
        )
    finally:
        if state["training"]:
            save()
    outcome = {"variant": job.variant, "seed": job.seed, "accuracy": state["curve"], "pulses": pulse_counts(model)}
    if arrived := transfers(model):
        outcome["transfers"] = arrived
    if comparison.chips is not None and job.variant != DIGITAL:
        outcome["chips"] = accuracies(model, comparison.chips, split, job.seed)
    checkpoint.save({"outcome": outcome, "training": {"step": state["training"]["step"]}})
    return outcome
