"""The file of an experiment at circuit level: crossbars of memristors, programmed with pulses and read through their wires."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ohmlet.chip import Faults
from ohmlet.circuit import Tuning
from ohmlet.config import files
from ohmlet.config.analog import AnalogConfig
from ohmlet.config.structure import part, plain, structure
from ohmlet.errors import ConfigError
from ohmlet.experiment.data import DataSet
from ohmlet.experiment.models import Model
from ohmlet.experiment.schema import Phase, prepared
from ohmlet.interfaces.memristor import Memristor
from ohmlet.spec import integer, number, one_of

__all__ = ["CircuitExperiment", "Programming", "Reading", "device_of", "is_circuit"]


def device_of(hardware: AnalogConfig) -> Memristor:
    """Return the memristor on the crossbars of a config; raises ValueError where there is none to be pulsed."""
    device = getattr(hardware.tile, "device", None)
    if isinstance(device, Memristor):
        return device
    raise ValueError(
        "'programming' sends voltage pulses to memristors, and hardware.tile has none: take {type: circuit, device: metal_oxide}, "
        "or leave 'programming' out for a tile whose noise_model programs it"
    )


@frozen(kw_only=True)
class Programming:
    """How every cell of every crossbar is brought from one conductance to its own; the wires are those of the tile."""

    way: str = one_of("closed_loop", ("closed_loop", "open_loop"), "pulses until a read is within tolerance, or as planned, without a look")
    start_uS: float | None = number(None, "all cells before the first pulse; left out: the converter's smallest", unit="uS", gt=0)  # noqa: N815
    tuning: Tuning = part(Tuning, "pulses, biasing of the lines, tolerance", {})
    faults: Faults | None = part(Faults | None, "stuck devices", None)


@frozen(kw_only=True)
class Reading:
    """What is computed with the programmed crossbars, and under which variants of the hardware."""

    samples: int = integer(300, "number of samples, the first ones; all where there are fewer", ge=1)
    on: str = one_of("test", ("test", "validation"), "samples that accuracies are taken on; validation is for choosing settings")
    variants: dict[str, dict[str, Any]] = field(
        factory=lambda: {"circuit": {}},
        hash=False,
        metadata={"doc": "name -> dotted changes to the hardware that reads the same cells, such as {tile.wires.r_bit: 0}"},
    )

    def __attrs_post_init__(self) -> None:
        if not self.variants:
            raise ValueError("'variants' needs at least one, such as {circuit: {}}")


@frozen(kw_only=True)
class CircuitExperiment:
    """A network trained digitally, its crossbars programmed with pulses, and samples run through them; the same file, the same results."""

    name: str = field(default="circuit", metadata={"doc": "of the output folder"})
    seed: int = integer(0, "of initial weights, data order, devices and all noise", ge=0)
    threads: int = integer(0, "of the CPU, 0 for torch's own choice", ge=0, le=1024)
    data: DataSet = part(DataSet, "what is learned", "digits")
    model: Model = part(Model, "what learns it", "mlp")
    training: Phase = part(Phase, "how it is learned, digitally", {})
    hardware: AnalogConfig = part(AnalogConfig, "crossbars of memristors, such as tile circuit with a device")
    rules: dict[str, Any] = field(
        factory=dict, hash=False, metadata={"doc": "layers that differ: name pattern or type:Class -> digital, or dotted changes"}
    )
    programming: Programming = part(Programming, "how the cells are programmed", {})
    evaluation: Reading = part(Reading, "what is computed with them", {})

    def __attrs_post_init__(self) -> None:
        if not self.name or Path(self.name).name != self.name:
            raise ValueError(f"'name' becomes a folder, so it cannot be {self.name!r}")
        known = device_of(self.hardware).window
        start = self.start_uS
        if not known.g_min * (1 - 1e-6) <= start <= known.g_max * (1 + 1e-6):
            raise ValueError(
                f"'programming.start_uS' {start:g} uS is no conductance of the device, {known.g_min:g} to {known.g_max:g} uS: set it within"
            )
        for changes in self.evaluation.variants.values():
            self.hardware.override(changes)

    @property
    def start_uS(self) -> float:  # noqa: N802
        """The conductance of all cells before the first pulse."""
        tile: Any = self.hardware.tile
        given = self.programming.start_uS
        return float(tile.conductance_converter.window.g_min if given is None else given)

    @classmethod
    def prepare_plain(cls, value: Any) -> Any:
        """Check and take out the schema's version."""
        return prepared(value, "name, seed, threads, data, model, training, hardware, rules, programming, evaluation")

    @classmethod
    def parse(cls, value: Any, path: str = "experiment") -> CircuitExperiment:
        """Return an experiment from plain data; raises ConfigError with every problem and its path."""
        if isinstance(value, Mapping):
            for key, why in (("compare", "trains in memory"), ("sweep", "is for experiments and comparisons")):
                if value.get(key) is not None:
                    raise ConfigError(f"{path}: 'programming' pulses crossbars at circuit level and '{key}' {why}: leave one of them out")
        return structure(value, cls, path)

    @classmethod
    def load(cls, path: str | Path) -> CircuitExperiment:
        """Return the experiment in a file; raises ConfigError with every problem and its path."""
        return cls.parse(files.read(path), str(path))

    def to_plain(self) -> dict[str, Any]:
        """Return the whole experiment as plain data, every part expanded."""
        return {"schema": 1, **plain(self)}


def is_circuit(content: Mapping[str, Any]) -> bool:
    """Whether a file's content is an experiment at circuit level."""
    return "programming" in content
