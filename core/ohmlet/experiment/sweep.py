"""The file of a sweep: an experiment or a comparison, and a section `sweep` that says which of its values are varied, and how."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ohmlet.config import files
from ohmlet.config.analog import AnalogConfig
from ohmlet.config.structure import plain, structure
from ohmlet.errors import ConfigError
from ohmlet.experiment.circuit import CircuitExperiment, is_circuit
from ohmlet.experiment.comparison import DIGITAL, Comparison, parsed
from ohmlet.experiment.schema import Experiment
from ohmlet.experiment.sweep_axis import Axis
from ohmlet.experiment.sweep_paths import Place, changed, places
from ohmlet.registry import did_you_mean
from ohmlet.spec import integer, one_of

__all__ = ["Sweep", "Swept", "load", "read"]

MOST_POINTS = 10_000
USUAL_TRIALS = 20

METHODS = {"direct": "direct", "hardware_aware": "hardware-aware"}


def _seeds(_: object, __: object, value: tuple[int, ...]) -> None:
    if value and (min(value) < 0 or len(set(value)) < len(value)):
        raise ValueError(f"'seeds' are not negative and none is given twice: {list(value)}")


@frozen(kw_only=True)
class Sweep:
    """What is varied, how points are chosen, and what is compared; the same file gives the same points."""

    over: dict[str, Axis] = field(hash=False, metadata={"doc": "dotted path, or a name -> a list of values, or an axis"})
    sampler: str = one_of(
        "auto",
        ("auto", "grid", "tpe", "random"),
        "how points are chosen: all combinations, by the results so far, or evenly; auto is grid where all axes have lists, else tpe",
    )
    trials: int | None = integer(
        None, f"points that tpe and random try, {USUAL_TRIALS} unless given; a grid has its own", ge=1, le=MOST_POINTS
    )
    seeds: tuple[int, ...] = field(
        default=(),
        validator=_seeds,
        metadata={"doc": "of an experiment, one run of each point each; `seed` if left out"},
    )
    objective: str | None = field(
        default=None, metadata={"doc": "the curve whose accuracy is best at the best point; the mean of all but the baselines if left out"}
    )
    processes: int = integer(1, "trials at a time, each on one thread", ge=1, le=256)
    seed: int = integer(0, "of the points that tpe and random choose", ge=0)

    def __attrs_post_init__(self) -> None:
        if not self.over:
            raise ValueError("'over' names nothing to vary: give it a dotted path and values, such as {training.batch_size: [5, 10]}")
        unlisted = [name for name, axis in self.over.items() if not axis.grid()]
        if self.sampler == "grid" and unlisted:
            raise ValueError(f"a grid needs the values of '{unlisted[0]}': list them, give it a 'step', or take sampler tpe or random")
        if self.grid and self.trials is not None:
            raise ValueError(f"'trials' {self.trials} has no effect on a grid, which has {self.size} points: leave it out")
        if self.grid and self.size > MOST_POINTS:
            raise ValueError(f"a grid of {self.size} points; at most {MOST_POINTS}")
        if self.grid and self.seed:
            raise ValueError(f"'seed' {self.seed} has no effect on a grid: leave it out, the seeds of trainings are `seeds`")
        for name, axis in self.over.items():
            for path in axis.named(name).set:
                first = path.partition(".")[0]
                if first in {"name", "processes", "seed", "sweep", "schema"}:
                    words = "the seeds of each point are `seeds`" if first == "seed" else "it changes no result"
                    raise ValueError(f"'{path}' cannot be swept: {words}")

    @property
    def grid(self) -> bool:
        """Whether all combinations are tried."""
        return self.sampler == "grid" or (self.sampler == "auto" and all(axis.grid() for axis in self.over.values()))

    @property
    def method(self) -> str:
        """The sampler that is used: grid, tpe or random."""
        return "grid" if self.grid else "tpe" if self.sampler == "auto" else self.sampler

    @property
    def size(self) -> int:
        """How many points are tried."""
        return math.prod(len(axis.grid()) for axis in self.over.values()) if self.grid else self.trials or USUAL_TRIALS

    def points(self) -> list[dict[str, Any]]:
        """Return the points of a grid, the last axis fastest; empty ones for samplers, which choose when it is their turn."""
        if not self.grid:
            return [{} for _ in range(self.size)]
        return [dict(zip(self.over, values, strict=True)) for values in itertools.product(*(a.grid() for a in self.over.values()))]


@frozen
class Swept:
    """A sweep and what it varies; `at` gives the experiment at a point."""

    content: dict[str, Any]
    base: Experiment | Comparison
    sweep: Sweep
    path: str

    @classmethod
    def parse(cls, content: Mapping[str, Any], path: str = "sweep") -> Swept:
        """Return a sweep from plain data with `sweep`; raises ConfigError with every problem and its path.

        Every value of every axis is tried, the others at their first.
        """
        rest = {name: value for name, value in content.items() if name != "sweep"}
        problems: list[str] = []
        found: list[Any] = []
        for parse in (lambda: parsed(rest, path), lambda: structure(content["sweep"], Sweep, f"{path}: sweep")):
            try:
                found.append(parse())
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(*problems)
        made = cls(rest, found[0], found[1], path)
        made.check()
        return made

    def check(self) -> None:
        """Raise ConfigError with every problem: settings without effect, paths that fit nothing, values that the experiment refuses."""
        problems = []
        if isinstance(self.base, Comparison):
            if self.sweep.seeds:
                problems.append(f"sweep.seeds {list(self.sweep.seeds)} has no effect on a comparison: change its `seeds` @ {self.path}")
            if self.base.processes > 1:
                problems.append(
                    f"processes {self.base.processes} has no effect in a sweep, whose trials run side by side: "
                    f"set sweep.processes instead @ {self.path}"
                )
        if self.sweep.objective is not None and self.sweep.objective not in self.curves():
            problems.append(
                f"no accuracy is called '{self.sweep.objective}', {did_you_mean(self.sweep.objective, self.curves())} "
                f"@ {self.path}: sweep.objective"
            )
        first = {name: axis.ends()[0] for name, axis in self.sweep.over.items()}
        for name, axis in self.sweep.over.items():
            for value in axis.ends():
                try:
                    self.at({**first, name: value})
                except ConfigError as error:
                    problems += [f"{problem} (sweep.over '{name}' at {value})" for problem in error.problems]
                    break
        if problems:
            raise ConfigError(*dict.fromkeys(problems))

    @property
    def name(self) -> str:
        """The name of the output folder and of the study."""
        return self.base.name

    @property
    def hardware(self) -> AnalogConfig:
        """The hardware that the sweep starts from."""
        return self.base.hardware

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of each point."""
        return self.base.seeds if isinstance(self.base, Comparison) else self.sweep.seeds or (self.base.seed,)

    def curves(self) -> list[str]:
        """Return the names of the accuracies that a point has, baselines first."""
        if isinstance(self.base, Comparison):
            return [DIGITAL, *self.base.compare]
        methods = ["direct"] * self.base.evaluation.direct + ["hardware_aware"] * (self.base.training.hardware_aware is not None)
        return [f"{variant} {METHODS[method]}" for method in methods for variant in self.base.evaluation.variants]

    def judged(self) -> list[str]:
        """Return the names whose mean is the objective: the one asked for, or all but the baselines."""
        if self.sweep.objective is not None:
            return [self.sweep.objective]
        if isinstance(self.base, Comparison):
            return list(self.base.compare)
        aware = [name for name in self.curves() if name.endswith(METHODS["hardware_aware"])]
        return aware or self.curves()

    def places(self, name: str) -> list[Place]:
        """Return the places that an axis sets, in the experiment as the file says it; of those to scale, all that are not 0."""
        axis = self.sweep.over[name].named(name)
        found = [place for path in axis.set for place in places(self.content, path, self.path, looked_up=axis.scale)]
        return [place for place in found if place.value != 0] if axis.scale else found

    def changes(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return the dotted changes of a point, as --set takes them."""
        out: dict[str, Any] = {}
        for name, value in point.items():
            axis = self.sweep.over[name].named(name)
            if axis.scale:
                found = self.places(name)
                if not found:
                    raise ConfigError(f"'scale' has no effect, since all of {', '.join(axis.set)} are 0 @ {self.path}")
                out |= {place.path: axis.to_set(value, place.value, place.path) for place in found}
            else:
                out |= {path: axis.to_set(value, None, path) for path in axis.set}
        return out

    def at(self, point: Mapping[str, Any]) -> Experiment | Comparison:
        """Return the experiment at a point; raises ConfigError when it is refused."""
        return parsed(changed(self.content, self.changes(point), self.path), self.path)

    def to_plain(self) -> dict[str, Any]:
        """Return the whole sweep as plain data, every part expanded."""
        return {**self.base.to_plain(), "sweep": plain(self.sweep)}


def read(content: Mapping[str, Any], path: str) -> Experiment | Comparison | CircuitExperiment | Swept:
    """Return what plain data say, a sweep where they have `sweep`; raises ConfigError with every problem and its path."""
    if is_circuit(content):
        return CircuitExperiment.parse(content, path)
    if content.get("sweep") is not None:
        return Swept.parse(content, path)
    return parsed({name: value for name, value in content.items() if name != "sweep"}, path)


def load(path: str | Path, changes: Mapping[str, Any] | None = None) -> Experiment | Comparison | CircuitExperiment | Swept:
    """Return what is in a file with dotted changes applied, see `read`; changes may have `*`, as in a sweep."""
    return read(changed(files.read(path), changes or {}, str(path)), str(path))
