"""The experiment file: data, model, training, hardware and evaluation as one strict schema."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ohmlet.chip import Faults, WriteVerify
from ohmlet.config import files
from ohmlet.config.analog import SCHEMA, AnalogConfig
from ohmlet.config.dotted import with_paths
from ohmlet.config.structure import part, plain, shortened, structure
from ohmlet.errors import ConfigError
from ohmlet.experiment.data import DataSet
from ohmlet.experiment.models import Model
from ohmlet.experiment.optimizers import Optimizer
from ohmlet.spec import boolean, integer, one_of
from ohmlet.units import seconds

__all__ = ["Evaluation", "Experiment", "Phase", "Training", "checked_times", "is_experiment"]


@frozen(kw_only=True)
class Phase:
    """One phase of training by backpropagation on cross-entropy."""

    epochs: int = integer(20, "passes over the training data", ge=0)
    batch_size: int = integer(32, "samples per step", ge=1)
    optimizer: Optimizer = part(Optimizer, "update rule of the parameters", "sgd")
    schedule: str = one_of(
        "cosine",
        ("constant", "cosine", "halved"),
        "of the learning rate over the phase; cosine falls to zero, halved is halved after 50 % and again after 80 % of the epochs",
    )

    def rate(self, step: int, per_epoch: int) -> float:
        """Return the learning rate of a step, of `per_epoch` steps an epoch."""
        if self.schedule == "cosine":
            return self.optimizer.lr * 0.5 * (1 + math.cos(math.pi * step / (self.epochs * per_epoch)))
        done = step // per_epoch / self.epochs
        return self.optimizer.lr * (0.5 ** ((done >= 0.5) + (done >= 0.8)) if self.schedule == "halved" else 1.0)


@frozen(kw_only=True)
class Training:
    """First digitally, then, unless left out, on the analog model with its noise in the loop."""

    digital: Phase = part(Phase, "digital training", {})
    hardware_aware: Phase | None = part(Phase | None, "fine-tuning of the converted model", None)


def checked_times(value: Any) -> tuple[float | str, ...]:
    """Return points in time as they were given, checked."""
    found = tuple(value)
    for time in found:
        seconds(time)
    if not found:
        raise ValueError("'times' needs at least one time")
    return found


@frozen(kw_only=True)
class Evaluation:
    """How programmed chips are evaluated: how many, when, under which variants of the hardware."""

    instances: int = integer(25, "chips, each programmed with its own errors", ge=1)
    times: tuple[float | str, ...] = field(
        default=("1 s", "1 h", "1 day", "1 month", "1 year"), converter=checked_times, metadata={"doc": "after the first read-out"}
    )
    variants: dict[str, dict[str, Any]] = field(
        factory=lambda: {"nominal": {}},
        hash=False,
        metadata={"doc": "name -> dotted changes to the hardware, such as {tile.noise_model.prog_noise_scale: 4}"},
    )
    write: WriteVerify | None = part(WriteVerify | None, "closed-loop programming; left out, each device is written once", None)
    faults: Faults | None = part(Faults | None, "stuck devices", None)
    on: str = one_of("test", ("test", "validation"), "samples that accuracies are taken on; validation is for choosing settings")
    direct: bool = boolean(True, "also map the digitally trained weights without hardware-aware training")
    uncompensated: bool = boolean(True, "also evaluate without drift compensation")

    def __attrs_post_init__(self) -> None:
        if not self.variants:
            raise ValueError("'variants' needs at least one, such as {nominal: {}}")


@frozen(kw_only=True)
class Experiment:
    """A whole experiment; the same file and seed give the same results."""

    name: str = field(default="experiment", metadata={"doc": "of the output folder"})
    seed: int = integer(0, "of initial weights, data order and all noise", ge=0)
    threads: int = integer(
        0, "of the CPU, 0 for torch's own choice; a small network is fastest on one, and sums in one order", ge=0, le=1024
    )
    data: DataSet = part(DataSet, "what is learned", "digits")
    model: Model = part(Model, "what learns it", "cnn")
    training: Training = part(Training, "how it is learned", {})
    hardware: AnalogConfig = part(AnalogConfig, "what it runs on", "pcm_inference")
    rules: dict[str, Any] = field(
        factory=dict, hash=False, metadata={"doc": "layers that differ: name pattern or type:Class -> digital, or dotted changes"}
    )
    evaluation: Evaluation = part(Evaluation, "how chips are evaluated", {})

    def __attrs_post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"'name' becomes a folder, so it cannot be {self.name!r}")
        for variant, changes in self.evaluation.variants.items():
            try:
                self.hardware.override(changes)
            except ConfigError as error:
                raise ConfigError(*(f"evaluation.variants.{variant}: {problem}" for problem in error.problems)) from None
        if self.training.hardware_aware is None and not self.evaluation.direct:
            raise ValueError("nothing to evaluate: 'training.hardware_aware' is left out and 'evaluation.direct' is false")

    @classmethod
    def prepare_plain(cls, value: Any) -> Any:
        """Check and take out the schema's version."""
        return prepared(value, "name, seed, threads, data, model, training, hardware, evaluation")

    @classmethod
    def parse(cls, value: Any, path: str = "experiment") -> Experiment:
        """Return an experiment from plain data; raises ConfigError with every problem and its path."""
        return structure(value, cls, path)

    @classmethod
    def load(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Experiment:
        """Return the experiment in a file with dotted changes applied; raises ConfigError with every problem and its path."""
        return cls.parse(with_paths(files.read(path), changes or {}), str(path))

    def to_plain(self) -> dict[str, Any]:
        """Return the whole experiment as plain data, every part expanded."""
        return {"schema": SCHEMA, **plain(self)}


def prepared(value: Any, keys: str) -> dict[str, Any]:
    """Return a file's content without its schema's version, which is checked."""
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping ({keys}), got {shortened(value)}")
    content: dict[str, Any] = dict(value)
    schema = content.pop("schema", SCHEMA)
    if schema != SCHEMA or isinstance(schema, bool):
        raise TypeError(
            f"this experiment is written for schema {schema!r}, and this Ohmlet reads schema {SCHEMA}; install the matching version"
        )
    return content


def is_experiment(content: Mapping[str, Any]) -> bool:
    """Whether a file's content is an experiment rather than a bare analog config."""
    return bool({"data", "model", "training", "hardware", "evaluation", "compare", "sweep", "programming"} & content.keys())
