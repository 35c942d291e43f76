"""One trial of a sweep: the experiment at a point run to the end with every seed, and the accuracies that it came to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ohmlet.experiment.comparison import Comparison, load
from ohmlet.experiment.comparison_report import final
from ohmlet.experiment.comparison_run import ComparisonRun
from ohmlet.experiment.progress import Bars, Quiet
from ohmlet.experiment.run import Run
from ohmlet.experiment.schema import Experiment
from ohmlet.experiment.sweep import METHODS, Swept

__all__ = ["objective", "outcome_of"]


def outcome_of(
    swept: Swept, index: int, point: Mapping[str, Any], folder: Path, progress: Quiet | Bars, allow_import: bool
) -> dict[str, Any]:
    """Return `curves`, name -> seed -> accuracy, how many `samples` that is taken on, and which; goes on where the trial was stopped.

    Raises Interrupted, with checkpoints written, when the user stops it, and whatever the experiment raises.
    """
    place, found = folder / "trials" / f"{index:04d}", swept.at(point)
    threads = torch.get_num_threads()
    # As in processes side by side: sums come out the same however many these are.
    torch.set_num_threads(1)
    try:
        if isinstance(found, Comparison):
            results = _results(found, place, progress, allow_import)
            curves: dict[str, dict[str, float]] = {}
            for training in results["trainings"]:
                curves.setdefault(training["variant"], {})[str(training["seed"])] = final(training)
            return {"curves": curves, "samples": results["samples"], "on": "test"}
        curves = {name: {} for name in swept.curves()}
        for seed in swept.seeds:
            plain = {**found.to_plain(), "seed": seed}
            results = _results(Experiment.parse(plain), place / f"seed {seed}", progress, allow_import)
            last = max(row["time_s"] for row in results["accuracy_on_chips"])
            for row in results["accuracy_on_chips"]:
                if row["compensated"] and row["time_s"] == last:
                    curves[f"{row['variant']} {METHODS[row['training']]}"][str(seed)] = row["mean"]
        return {"curves": curves, "samples": results["samples"], "on": results["evaluated_on"]}
    finally:
        torch.set_num_threads(threads)


def _results(experiment: Experiment | Comparison, folder: Path, progress: Quiet | Bars, allow_import: bool) -> dict[str, Any]:
    settings, results = folder / "experiment.yaml", folder / "results.json"
    if results.exists() and load(settings) == experiment:
        found: dict[str, Any] = json.loads(results.read_text("utf-8"))
        return found
    results.unlink(missing_ok=True)
    kind: Any = ComparisonRun if isinstance(experiment, Comparison) else Run
    made: dict[str, Any] = kind(experiment, folder, progress, allow_import=allow_import)()
    return made


def objective(swept: Swept, curves: Mapping[str, Mapping[str, float]]) -> float:
    """Return the mean accuracy over seeds, and over all curves that are judged."""
    means = [sum(curves[name].values()) / len(curves[name]) for name in swept.judged()]
    return sum(means) / len(means)
