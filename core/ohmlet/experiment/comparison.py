"""The file of a comparison: one network trained in memory under several algorithms or devices, several times each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ohmlet.config import files
from ohmlet.config.analog import AnalogConfig
from ohmlet.config.dotted import with_paths
from ohmlet.config.structure import part, plain, structure
from ohmlet.errors import ConfigError
from ohmlet.experiment.aging import Chips, can_age
from ohmlet.experiment.data import DataSet
from ohmlet.experiment.models import Model
from ohmlet.experiment.schema import Experiment, Phase, prepared
from ohmlet.spec import integer

__all__ = ["DIGITAL", "Comparison", "load", "parsed"]

DIGITAL = "digital"
"""What the baseline is called: the same network and training without hardware."""


def _seeds(_: object, __: object, value: tuple[int, ...]) -> None:
    if not value or min(value) < 0 or len(set(value)) < len(value):
        raise ValueError(f"'seeds' are at least one, none of them negative or given twice: {list(value)}")


@frozen(kw_only=True)
class Comparison:
    """Variants of hardware that learns, compared by training the same network on them; the same file gives the same results."""

    name: str = field(default="comparison", metadata={"doc": "of the output folder"})
    seeds: tuple[int, ...] = field(
        default=(0, 1, 2), validator=_seeds, metadata={"doc": "one training each, of initial weights, data order, devices and all noise"}
    )
    processes: int = integer(1, "trainings at a time, each on one thread", ge=1, le=256)
    data: DataSet = part(DataSet, "what is learned", "digits")
    model: Model = part(Model, "what learns it", "mlp")
    training: Phase = part(Phase, "how it is learned", {})
    hardware: AnalogConfig = part(AnalogConfig, "what it learns on, but for what `compare` changes", {"tile": "in_memory"})
    compare: dict[str, dict[str, Any]] = field(
        hash=False, metadata={"doc": "name -> dotted changes to the hardware, such as {tile.update_algorithm: {type: tiki_taka}}"}
    )
    chips: Chips | None = part(Chips | None, "the trained cells over time; left out, nothing is evaluated after training", None)

    def __attrs_post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"'name' becomes a folder, so it cannot be {self.name!r}")
        if not self.compare:
            raise ValueError("'compare' needs at least one, such as {sgd: {}}")
        if self.training.epochs < 1:
            raise ValueError("'training.epochs' 0 leaves nothing to compare")
        if self.hardware.seed is not None:
            raise ValueError(
                f"hardware.seed {self.hardware.seed} would give every training the same devices: leave it out, seeds are `seeds`"
            )
        for name in self.compare:
            if name == DIGITAL or not name.strip() or Path(name).name != name:
                raise ValueError(f"'compare' cannot name a variant {name!r}: names become files, and {DIGITAL} is the baseline")
            if not hasattr(self._checked(name).tile, "update_algorithm"):
                raise ValueError(f"variant '{name}' does not learn in memory: give it tile in_memory")
            if self.chips is not None and not can_age(self.of(name)):
                raise ValueError(f"'chips' needs to know what becomes of the cells of variant '{name}': give it a tile.noise_model")

    @classmethod
    def prepare_plain(cls, value: Any) -> Any:
        """Check and take out the schema's version."""
        return prepared(value, "name, seeds, processes, data, model, training, hardware, compare, chips")

    @classmethod
    def parse(cls, value: Any, path: str = "comparison") -> Comparison:
        """Return a comparison from plain data; raises ConfigError with every problem and its path."""
        return structure(value, cls, path)

    def of(self, variant: str) -> AnalogConfig:
        """Return the hardware of a variant."""
        return self.hardware.override(self.compare[variant])

    def _checked(self, variant: str) -> AnalogConfig:
        """Return the hardware of a variant; every problem names the variant."""
        try:
            return self.of(variant)
        except ConfigError as error:
            raise ConfigError(*(f"compare.{variant}: {problem}" for problem in error.problems)) from None

    def to_plain(self) -> dict[str, Any]:
        """Return the whole comparison as plain data, every part expanded."""
        return {"schema": 1, **plain(self)}


def parsed(content: Mapping[str, Any], path: str) -> Experiment | Comparison:
    """Return what plain data say, a comparison where they have `compare`; raises ConfigError with every problem and its path."""
    if "compare" in content and "evaluation" in content:
        raise ConfigError(
            f"{path}: 'compare' trains in memory and 'evaluation' programs chips: leave one of them out; `chips` lets trained cells age"
        )
    return Comparison.parse(content, path) if "compare" in content else Experiment.parse(content, path)


def load(path: str | Path, changes: Mapping[str, Any] | None = None) -> Experiment | Comparison:
    """Return what is in a file with dotted changes applied, see `parsed`."""
    return parsed(with_paths(files.read(path), changes or {}), str(path))
