"""What was measured on devices: responses to pulses, conductances over time, or programming errors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ohmlet.errors import ConfigError, shortened
from ohmlet.fitting.table import Table, read_table

__all__ = ["DriftTraces", "Measurements", "ProgrammingErrors", "PulseTraces", "Trace", "read"]

Array = NDArray[np.float64]

DIRECTIONS = {"up": 1, "u": 1, "+": 1, "+1": 1, "1": 1, "set": 1, "down": -1, "d": -1, "-1": -1, "reset": -1}
"""How a row may state the direction of its pulses."""

QUANTITIES = ("device", "pulse", "direction", "up", "down", "weight", "conductance", "time", "target", "measured")


@frozen(eq=False)
class Trace:
    """One device: `direction` int8 [T] of each event, +1 and -1 a pulse, 0 none; `seen` [T] what was read after it, NaN where nothing was.

    The first event is a read without a pulse: the start.
    """

    device: str
    direction: NDArray[np.int8]
    seen: Array

    @property
    def pulses(self) -> int:
        """How many pulses were given."""
        return int(np.abs(self.direction).sum())

    def __attrs_post_init__(self) -> None:
        if self.direction.shape != self.seen.shape or self.direction.ndim != 1:
            raise ConfigError(f"a trace takes as many directions as reads: {self.direction.shape}, {self.seen.shape}")
        if not len(self.seen) or self.direction[0] != 0 or not math.isfinite(self.seen[0]):
            raise ConfigError(f"the trace of device {self.device} must start with a read before its first pulse")


@frozen(eq=False)
class PulseTraces:
    """Pulse responses, in weights or, with `unit` uS, in conductances."""

    traces: tuple[Trace, ...]
    unit: str
    source: str

    @property
    def span(self) -> tuple[float, float]:
        """The smallest and the largest value that was read."""
        values = np.concatenate([trace.seen for trace in self.traces])
        return float(np.nanmin(values)), float(np.nanmax(values))

    @classmethod
    def of(cls, direction: Any, seen: Any, *, start: float | None = None, unit: str = "weight", source: str = "arrays") -> PulseTraces:
        """Return the traces of arrays: `direction` [T] or [T, devices] of each pulse, `seen` of the same shape, read after it.

        `start` is what was read before the first pulse; without it the first pulse has no effect on the fit, as nothing tells from where
        it started.
        """
        ways, values = (np.asarray(each, dtype=np.float64) for each in np.broadcast_arrays(direction, seen))
        ways, values = (each.reshape(len(each), -1) for each in (ways, values))
        if not np.isin(ways, (-1, 0, 1)).all():
            raise ConfigError("directions are +1 for a pulse up, -1 for one down, 0 for none")
        made = []
        for device in range(ways.shape[1]):
            way, value = ways[:, device].astype(np.int8), values[:, device]
            if start is not None:
                way, value = np.insert(way, 0, 0), np.insert(value, 0, start)
            made.append(_trace(str(device + 1), way.tolist(), value.tolist()))
        return cls(tuple(made), unit, source)


@frozen(eq=False)
class DriftTraces:
    """Conductances [uS] of each device at times [s] since it was programmed."""

    traces: tuple[tuple[str, Array, Array], ...]
    """Device, times, conductances, without missed reads."""
    source: str


@frozen(eq=False)
class ProgrammingErrors:
    """Conductances [uS] that were asked for and what was measured."""

    target: Array
    measured: Array
    source: str


Measurements = PulseTraces | DriftTraces | ProgrammingErrors


def _trace(device: str, ways: Sequence[int], values: Sequence[float]) -> Trace:
    """Return a trace that starts with its first read: what pulses did before nobody saw."""
    first = next((place for place, value in enumerate(values) if math.isfinite(value)), None)
    if first is None:
        raise ConfigError(f"device {device} was never read: all its values are missing")
    way = np.array(ways[first:], dtype=np.int8)
    way[0] = 0
    return Trace(device, way, np.array(values[first:]))


def _by_device(table: Table) -> dict[str, list[int]]:
    """Return the rows of each device; notes rows that name none where others do."""
    if "device" not in table.columns:
        return {"1": list(range(len(table.rows)))}
    found: dict[str, list[int]] = {}
    for row, (line, name) in enumerate(zip(table.lines(), table.text("device"), strict=True)):
        if not name:
            table.problems.add(line, "names no device: other rows do, so it is open whose it is")
        found.setdefault(name, []).append(row)
    return found


def _counts(table: Table, quantity: str) -> list[int]:
    """Return a column of pulse counters."""
    out = []
    for line, value in zip(table.lines(), table.numbers(quantity, least=0), strict=True):
        if math.isfinite(value) and value != int(value):
            table.problems.add(line, f"{quantity} must be a whole number of pulses: {value:g}")
        out.append(int(value) if math.isfinite(value) else 0)
    return out


def _risen(table: Table, quantity: str, line: int, before: int, after: int) -> int:
    if after < before:
        hint = "" if "device" in table.columns else "; where another device begins, give a column device"
        table.problems.add(line, f"{quantity} goes back from {before} to {after}: it counts the pulses of a device{hint}")
    return max(after - before, 0)


def _pulses(table: Table) -> PulseTraces:
    value = "weight" if "weight" in table.columns else "conductance"
    unit = "weight" if value == "weight" else "uS"
    seen = table.numbers(value, least=-math.inf if value == "weight" else 0.0, missing=True)
    lines, devices = table.lines(), _by_device(table)
    stepped = _directed if "direction" in table.columns else _counted
    events = stepped(table, devices, lines)
    table.problems.check()
    traces = []
    for name, rows in devices.items():
        ways: list[int] = []
        reads: list[float] = []
        for row, (way, count) in zip(rows, events[name], strict=True):
            ways += [way] * count if count else [0]
            reads += [math.nan] * (count - 1) + [seen[row]]
        if all(math.isnan(read) for read in reads):
            table.problems.add(lines[rows[0]], f"device {shortened(name)} was never read: all its values are missing")
            continue
        traces.append(_trace(name, ways, reads))
    table.problems.check()
    return PulseTraces(tuple(traces), unit, table.name)


def _directed(table: Table, devices: dict[str, list[int]], lines: list[int]) -> dict[str, list[tuple[int, int]]]:
    """Return direction and number of the pulses before each read, from a counter and a direction."""
    counts, words = _counts(table, "pulse"), table.text("direction")
    out: dict[str, list[tuple[int, int]]] = {}
    for name, rows in devices.items():
        before, out[name] = None, []
        for row in rows:
            # What came before the first row nobody saw; a counter may start anywhere.
            given = 0 if before is None else _risen(table, "pulse", lines[row], before, counts[row])
            way = DIRECTIONS.get(words[row].lower(), 0)
            if not way and (given or words[row]):
                table.problems.add(lines[row], f"direction must be up or down (also +1 and -1): {shortened(words[row])}")
            out[name].append((way, given))
            before = counts[row]
    return out


def _counted(table: Table, devices: dict[str, list[int]], lines: list[int]) -> dict[str, list[tuple[int, int]]]:
    """Return direction and number of the pulses before each read, from counters of pulses up and down."""
    ups, downs = _counts(table, "up"), _counts(table, "down")
    out: dict[str, list[tuple[int, int]]] = {}
    for name, rows in devices.items():
        before, out[name] = rows[0], []
        for row in rows:
            up = _risen(table, "up", lines[row], ups[before], ups[row])
            down = _risen(table, "down", lines[row], downs[before], downs[row])
            if up and down:
                table.problems.add(lines[row], f"{up} pulses up and {down} down since the row before: give a row after each direction")
            out[name].append((1, up) if up else (-1, down))
            before = row
    return out


def _drift(table: Table) -> DriftTraces:
    times, seen = table.numbers("time", least=0.0), table.numbers("conductance", least=0.0, missing=True)
    traces, lines = [], table.lines()
    for name, rows in _by_device(table).items():
        before = 0.0
        for row in rows:
            if times[row] <= before:
                what = (
                    "time must be above zero: it counts from programming"
                    if times[row] <= 0
                    else f"time goes back or stands: {times[row]:g} s"
                )
                table.problems.add(lines[row], what + f" (device {shortened(name)}, before {before:g} s)" if before else what)
            before = max(before, times[row])
            if seen[row] == 0:
                table.problems.add(lines[row], "conductance is 0, which has no logarithm: leave it empty if it is below what can be read")
        read = [row for row in rows if math.isfinite(seen[row])]
        traces.append((name, np.array([times[row] for row in read]), np.array([seen[row] for row in read])))
    table.problems.check()
    return DriftTraces(tuple(traces), table.name)


def _programming(table: Table) -> ProgrammingErrors:
    target, measured = table.numbers("target", least=0.0), table.numbers("measured", least=0.0, missing=True)
    table.problems.check()
    read = np.isfinite(measured)
    return ProgrammingErrors(np.array(target)[read], np.array(measured)[read], table.name)


KINDS: tuple[tuple[frozenset[str], Callable[[Table], Measurements]], ...] = (
    (frozenset({"pulse", "direction", "weight"}), _pulses),
    (frozenset({"pulse", "direction", "conductance"}), _pulses),
    (frozenset({"up", "down", "weight"}), _pulses),
    (frozenset({"up", "down", "conductance"}), _pulses),
    (frozenset({"time", "conductance"}), _drift),
    (frozenset({"target", "measured"}), _programming),
)
"""The columns that a kind of file has, besides `device`."""


def read(path: str | Path) -> Measurements:
    """Return the measurements of a file, of the kind that its columns tell; raises ConfigError with the line of what makes no sense.

    Pulse responses: `pulse`, `direction`, or `up`, `down`, with `weight` or `conductance_UNIT`. Drift: `time_UNIT`, `conductance_UNIT`.
    Programming: `target_UNIT`, `measured_UNIT`. All with or without `device`; conductances become uS and times seconds.
    """
    table = read_table(path, QUANTITIES)
    given = frozenset(table.columns) - {"device"}
    for columns, make in KINDS:
        if given == columns:
            return make(table)
    kinds = "; ".join(", ".join(_named(name) for name in QUANTITIES if name in columns) for columns, _ in KINDS)
    raise ConfigError(f"{path}: no kind of measurement has the columns {', '.join(sorted(table.columns))}; known, besides device: {kinds}")


def _named(quantity: str) -> str:
    return {"conductance": "conductance_uS", "time": "time_s", "target": "target_uS", "measured": "measured_uS"}.get(quantity, quantity)
